import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';
import { createConfigFolder, runPdp, startTestApp } from '../support/app.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const at = (path: string): string => join(ROOT, path);
const read = (path: string): string => readFileSync(at(path), 'utf8');

/** The fenced blocks of a language on a page. */
function blocks(page: string, language: string): string[] {
  return [...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, text = '']) => text,
  );
}

/** What pages leave out, since they are about something else. */
const REST = {
  spiffe: {
    source: 'files',
    cert_file: 'tls/pdp.pem',
    key_file: 'tls/pdp-key.pem',
    bundles: [{ trust_domain: 'prod.example.com', file: 'tls/bundle.pem' }],
  },
  policies: { sets: ['policies/clinic'] },
};

describe.each(['docs/authzen.md', 'docs/decision-service.md'])('%s', (page) => {
  const examples = blocks(page, 'yaml');
  test('shows configurations', () => expect(examples.length).toBeGreaterThan(0));

  test.each(examples)('shows one that is valid: %#', (text) => {
    const { error } = ConfigSchema.safeParse({ ...REST, ...(parse(text) as object) });
    expect(error?.issues ?? []).toEqual([]);
  });
});

test('shows a configuration for a mesh that is valid', () => {
  const [text = ''] = blocks('deploy/README.md', 'yaml');
  const { error } = ConfigSchema.safeParse(parse(text));
  expect(error?.issues ?? []).toEqual([]);
});

test('what the quick start serves passes `pdp config check`', async () => {
  const { code, err } = await runPdp('config', 'check', '--config', at('deploy/local/pdp.yaml'));
  expect([code, err]).toEqual([0, '']);
});

test('of the configuration of the example only files are missing that its reader is to make', async () => {
  const { err } = await runPdp('config', 'check', '--config', at('examples/clinic-app/pdp.yaml'));
  expect(
    err
      .trimEnd()
      .split('\n')
      .map((line) => line.trim()),
  ).toEqual(
    ['spiffe.bundles[0].file', 'spiffe.cert_file', 'spiffe.key_file'].map(
      (key) => `would not serve now: ${key}: the file does not exist`,
    ),
  );
});

test('the command on docs/authzen.md is answered by the quick start as the page says', async () => {
  const [shown = ''] = blocks('docs/authzen.md', 'console');
  const [, path = '', body = '', answer = ''] =
    /^\$ curl -s http:\/\/127\.0\.0\.1:8181(\S+) -H '[^']*' -d '([^']*)'\n(.*)/ms.exec(shown) ?? [];
  const { authzen, check } = parse(read('deploy/local/pdp.yaml')) as Record<string, unknown>;
  await using folder = await createConfigFolder({ authzen, check });
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const headers = { 'content-type': 'application/json' };
  const url = `http://${app.addresses.http}${path}`;
  const answered = (await (await fetch(url, { method: 'POST', headers, body })).json()) as {
    readonly decision: boolean;
    readonly context: { readonly reason: string; readonly message: string };
  };
  expect(answered.decision).toBe(false);
  for (const { reason, message } of [answered.context]) {
    expect(answer).toContain(`"reason":"${reason}"`);
    expect(answer).toContain(`"message":"${message}"`);
  }
  expect(answer).toContain('{"decision":false,');
});

test('the questions on docs/authzen.md are JSON', () => {
  for (const text of blocks('docs/authzen.md', 'json')) expect(JSON.parse(text)).toHaveProperty('subject');
});

test('what docs/client.md shows compiles', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-docs-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
  for (const [index, text] of blocks('docs/client.md', 'ts').entries())
    writeFileSync(join(folder, `example-${index}.ts`), text);
  const { compilerOptions } = JSON.parse(read('tsconfig.json')) as { compilerOptions: object };
  const paths = { 'cedar-pdp/client': [at('src/client/client.ts')] };
  const options = { ...compilerOptions, paths, typeRoots: [at('node_modules/@types')] };
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, include: ['*.ts'] }),
  );
  execFileSync(at('node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' });
});

test('the client is what its users import, with types', () => {
  const script = `
    import { createPdpClient } from 'cedar-pdp/client';
    const { allowed, failure } = await createPdpClient({ url: 'http://127.0.0.1:1', retries: 0 }).check({});
    console.log(JSON.stringify({ allowed, failure }));`;
  const args = ['--input-type=module', '--eval', script];
  const out = execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  expect(JSON.parse(out)).toEqual({ allowed: false, failure: 'unavailable' });
  const { exports } = JSON.parse(read('package.json')) as { exports: Record<string, { types: string }> };
  expect(read(exports['./client']?.types ?? '')).toContain('createPdpClient');
});
