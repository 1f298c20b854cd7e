import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createConfigFolder } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { stopProcess } from '../../support/stop-process.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CALLER = 'spiffe://prod.example.com/ns/mesh/sa/pep';
const NOBODY = 'nobody may ask: grpc.allow is empty';

let ca: TestCa;
let pdp: Leaf;
beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  pdp = await ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/pdp/sa/pdp', dns: ['pdp.test'] });
});
afterAll(() => ca[Symbol.asyncDispose]());

/** What `pdp serve` writes until its banner is complete: log and banner. */
async function started(overrides: object): Promise<{ readonly log: string; readonly banner: string }> {
  const folder = await createConfigFolder({
    spiffe: {
      source: 'files',
      cert_file: pdp.certFile,
      key_file: pdp.keyFile,
      bundles: [{ trust_domain: 'prod.example.com', file: ca.bundleFile }],
    },
    grpc: { address: '127.0.0.1:0' },
    ...overrides,
  });
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const args = ['src/main.ts', 'serve', '--config', folder.configFile];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => stopProcess(child));
  const written = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.err += text));
  await eventually('the banner', () => (/^ {2}log /m.test(written.out) ? true : undefined));
  const lines = `${written.out}\n${written.err}`.split('\n');
  return {
    log: lines.filter((line) => line.startsWith('{')).join('\n'),
    banner: lines.filter((line) => !line.startsWith('{')).join('\n'),
  };
}

test('says so loudly where nobody may ask', async () => {
  const { log, banner } = await started({});
  expect(log).toContain(NOBODY);
  expect(banner).toContain(NOBODY);
});

test.each([
  ['a PEP', { grpc: { address: '127.0.0.1:0', allow: [CALLER] } }],
  ['an application', { check: { callers: [{ allow: [CALLER] }] } }],
  ['an operator', { check: { explain: { allow: [CALLER] } } }],
  ['everybody', { grpc: { address: '127.0.0.1:0', plaintext: true } }],
])(
  'says nothing of it where %s may ask',
  async (_who, overrides) => {
    const { log, banner } = await started(overrides);
    expect(log + banner).not.toContain(NOBODY);
  },
  40_000,
);

test('says what is served over HTTP, and warns where whoever reaches it may ask', async () => {
  const quiet = await started({ http: { address: '127.0.0.1:0' }, authzen: {} });
  expect(quiet.banner).toMatch(/^ {2}http +http:\/\/127\.0\.0\.1:\d+ {3}\/access\/v1 \(AuthZEN\)$/m);
  expect(quiet.log).not.toContain('may ask the AuthZEN API');
  const { log, banner } = await started({
    http: { address: '127.0.0.1:0' },
    authzen: { base_url: 'https://pdp.example.com' },
    check: { plaintext_callers: {} },
  });
  expect(banner).toContain('/access/v1 (AuthZEN) /.well-known/authzen-configuration');
  expect(log).toContain('whoever reaches the HTTP surface may ask the AuthZEN API, as configured');
});
