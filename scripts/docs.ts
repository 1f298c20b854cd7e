// Generates docs/configuration.md and docs/config.schema.json from the configuration schema, docs/reasons.md from the status
// table, docs/fail-closed.md from the matrix of faults, and docs/security-tests.md from the bypass suite. With --check, fails where the files on disk differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { type SchemaNode, configJsonSchema, settings } from '../src/config/file.ts';
import { DENY_REASONS } from '../src/pdp/decision.ts';
import { STATUS, type WireStatus } from '../src/api/status.ts';
import { viewsPage } from '../src/audit/query/views.ts';
import { failClosedPage } from './fail-closed.ts';
import { securityTestsPage } from './security-tests.ts';

const check = process.argv.includes('--check');
const root = new URL('..', import.meta.url);
const schema = configJsonSchema();

const files: Record<string, string> = {
  'docs/config.schema.json': JSON.stringify({ title: 'cedar-pdp configuration (pdp.yaml)', ...schema }),
  'docs/configuration.md': configurationPage(),
  'docs/reasons.md': reasonsPage(),
  'docs/fail-closed.md': failClosedPage(),
  'docs/security-tests.md': securityTestsPage(),
  'docs/audit-views.md': viewsPage(),
};

let stale = 0;
for (const [name, text] of Object.entries(files)) {
  const url = new URL(name, root);
  const options = await resolveConfig(url);
  const formatted = await format(text, { ...options, filepath: url.pathname });
  if (!check) writeFileSync(url, formatted);
  else if (read(url) !== formatted) {
    console.error(`${name} is out of date; run 'npm run docs'`);
    stale += 1;
  }
}
process.exitCode = stale > 0 ? 1 : 0;

function read(url: URL): string | undefined {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}

function configurationPage(): string {
  const rows = settings().map(
    ({ path, env, node }) =>
      `| \`${path.join('.')}\` | \`${env}\` | ${typeOf(node)} | ${defaultOf(node)} | ${node.description ?? ''} |`,
  );
  return [
    '# Configuration',
    '',
    'Generated from the schema in `src/config.ts` by `npm run docs`; do not edit.',
    '',
    'Order: defaults, then the file (`--config`, else `PDP_CONFIG`, else `pdp.yaml` in the working directory), then the environment.',
    'Unknown keys are refused, and all problems are told at once. Secrets are never values, only paths of files. Paths in the file are',
    'relative to the file; paths in the environment to the working directory. Lists and objects in the environment are YAML.',
    'For editors: [config.schema.json](config.schema.json). See what is in force with `pdp config print`.',
    '',
    '| Key | Environment | Type | Default | Meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    ...listSections(''),
    '',
  ].join('\n');
}

function shapesOf(node: SchemaNode | undefined): readonly SchemaNode[] {
  return node === undefined ? [] : node.properties ? [node] : (node.anyOf ?? node.oneOf ?? []);
}

/** A section for each list of objects, and for those in its objects. */
function listSections(prefix: string, node?: SchemaNode): string[] {
  return settings(node).flatMap(({ path, node: { items } }) => {
    const shapes = shapesOf(items);
    const name = `${prefix}${path.join('.')}`;
    return shapes.flatMap((shape) => [
      ...listSection(name, shape, shapes),
      ...listSections(`${name}[].`, shape),
    ]);
  });
}

function listSection(name: string, shape: SchemaNode, shapes: readonly SchemaNode[]): string[] {
  const kind = shape.properties?.['kind']?.const;
  const own = (shape.required ?? []).find((key) =>
    shapes.every((one) => one === shape || !one.properties?.[key]),
  );
  const which =
    kind !== undefined
      ? ` of kind \`${JSON.stringify(kind)}\``
      : own && shapes.length > 1
        ? ` with \`${own}\``
        : '';
  const title = `\`${name}[]\`${which}`;
  const rows = settings(shape).map(
    ({ path, node }) =>
      `| \`${path.join('.')}\` | ${typeOf(node)} | ${defaultOf(node)} | ${node.description ?? ''} |`,
  );
  return ['', `## ${title}`, '', '| Key | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows];
}

function typeOf(node: SchemaNode): string {
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``;
  if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (node.type === 'array') return `list of ${node.items?.type ?? 'objects'}`;
  if (node.anyOf)
    return node.anyOf
      .map((one) =>
        one.properties === undefined
          ? typeOf(one)
          : Object.keys(one.properties)
              .map((key) => `\`${key}\``)
              .join('+'),
      )
      .join(' or ');
  return node.format === 'path' ? 'path' : (node.type ?? 'object');
}

function defaultOf(node: SchemaNode): string {
  return node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
}

function reasonsPage(): string {
  const rows = DENY_REASONS.map((reason) => {
    const status: WireStatus = STATUS[reason];
    const challenge =
      status.challenge === undefined
        ? ''
        : status.challenge === ''
          ? 'without error'
          : `\`${status.challenge}\``;
    return `| \`${reason}\` | ${status.http} | ${status.grpc} | ${challenge} | ${status.message} |`;
  });
  return [
    '# Reasons for a deny',
    '',
    'Generated from `src/api/status.ts` by `npm run docs`; do not edit.',
    '',
    'The reason is in the record, in the dynamic metadata, in the metric label and in the problem details of the answer. ext_authz',
    'answers always carry gRPC status code 7 inside of a successful RPC: Envoy takes any other failure as its own to judge.',
    '',
    '| Reason | HTTP | gRPC (other RPCs) | WWW-Authenticate error | Public message |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
