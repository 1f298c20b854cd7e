import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { type Draft, draftFromOpenApi, namespaceFor } from '../pdp/bindings/draft.ts';
import { InputError } from '../pdp/errors.ts';
import { type Command, EXIT, parseCommandArgs, positionals } from './command.ts';

const OPTIONS = {
  openapi: { type: 'string' },
  namespace: { type: 'string' },
  out: { type: 'string' },
  force: { type: 'boolean' },
} as const;

/** `pdp policy bind`: drafts bindings and a schema from an OpenAPI document. Nothing is overwritten without `--force`. */
export const policyBind: Command = {
  name: 'policy bind',
  usage: '--openapi FILE [--namespace NAME] [--out DIR] [--force]',
  summary: 'draft bindings.yaml and a schema from an OpenAPI 3 document (JSON or YAML)',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, OPTIONS);
    positionals(rest);
    if (values.openapi === undefined) throw usageError('--openapi FILE is missing');
    const document = readDocument(values.openapi);
    const draft = draftOf(values.openapi, document, values.namespace);
    if (values.out === undefined) terminal.out(`${draft.bindings}\n// schema.cedarschema\n${draft.schema}`);
    else terminal.out(`wrote ${writeDraft(draft, values.out, values.force === true).join(' and ')}\n`);
    return EXIT.ok;
  },
};

function draftOf(file: string, document: unknown, namespace: string | undefined): Draft {
  try {
    return draftFromOpenApi(document, { namespace: namespace ?? namespaceFor(document) });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const problems = error.problems.map(({ where, message }) => ({ where: `${file}: ${where}`, message }));
    throw new InputError('bindings cannot be drafted:', problems);
  }
}

function usageError(message: string): InputError {
  return new InputError('bad usage:', [{ where: 'pdp policy bind', message }]);
}

/** Parses JSON or YAML, of which JSON is a part. */
function readDocument(file: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(readText(file), { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map(({ pos, message }) => {
    const { line, col } = lines.linePos(pos[0]);
    return { where: file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  });
  if (problems.length > 0) throw new InputError('the document cannot be parsed:', problems);
  try {
    return document.toJS({ maxAliasCount: 1000 });
  } catch (error) {
    throw new InputError('the document cannot be read:', [
      { where: file, message: (error as Error).message },
    ]);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new InputError('the document cannot be read:', [
      { where: file, message: (error as Error).message },
    ]);
  }
}

/** Writes both files and returns their names. Writes none where one would be overwritten. */
function writeDraft(draft: Draft, folder: string, force: boolean): string[] {
  const files = [
    { file: join(folder, 'bindings.yaml'), text: draft.bindings },
    { file: join(folder, 'schema.cedarschema'), text: draft.schema },
  ];
  const taken = force ? [] : files.filter(({ file }) => existsSync(file));
  const message = 'is there already; --force overwrites it';
  if (taken.length > 0)
    throw new InputError(
      'nothing was written:',
      taken.map(({ file }) => ({ where: file, message })),
    );
  try {
    mkdirSync(folder, { recursive: true });
    for (const { file, text } of files) writeFileSync(file, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    throw new InputError('the draft cannot be written:', [
      { where: folder, message: (error as Error).message },
    ]);
  }
  return files.map(({ file }) => file);
}
