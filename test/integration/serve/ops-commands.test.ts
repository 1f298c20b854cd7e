import { createServer } from 'node:https';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type ConfigFolder, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { freePort } from '../../support/free-port.ts';
import { createPolicyFolder } from '../../support/snapshot.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { derOf, startWorkloadApi, svidMessage } from '../../support/workload-api-server.ts';

const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';
const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
const permit = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;

const filesOf = ({ certFile, keyFile }: Leaf, { trustDomain, bundleFile }: TestCa) => ({
  source: 'files',
  cert_file: certFile,
  key_file: keyFile,
  bundles: [{ trust_domain: trustDomain, file: bundleFile }],
});

interface Setup {
  readonly spiffe: object;
  readonly port?: number;
  readonly allow?: readonly string[];
}

/** A configuration whose ops surface is mutual TLS, with a candidate and an admin token; gone when the test is. */
async function configured({ spiffe, port, allow = [PDP] }: Setup): Promise<ConfigFolder> {
  const [active, candidate] = [
    await createPolicyFolder(permit('first')),
    await createPolicyFolder(permit('second')),
  ];
  const ops = { address: `127.0.0.1:${port ?? (await freePort())}`, plaintext: false, allow };
  const folder = await createConfigFolder({
    spiffe,
    pips: [],
    ops: { ...ops, admin_token_file: 'token' },
    policies: { sets: [active.path], candidate: { sets: [candidate.path] } },
  });
  await writeFile(join(folder.path, 'token'), `${TOKEN}\n`);
  onTestFinished(async () => {
    for (const made of [folder, active, candidate]) await made[Symbol.asyncDispose]();
  });
  return folder;
}

async function serve(folder: ConfigFolder): Promise<string> {
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  return app.addresses.ops;
}

test('the candidate is looked at, promoted and rolled back over mutual TLS, as the SVID of the configuration', async () => {
  await using ca = await createTestCa('prod.example.com');
  const folder = await configured({ spiffe: filesOf(await ca.issue({ spiffeId: PDP }), ca) });
  const ops = await serve(folder);
  const config = ['--config', folder.configFile];
  const shadow = await runPdp('policy', 'shadow', ...config);
  expect(shadow).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/candidate {2}sha256:/) });
  const promoted = await runPdp('policy', 'promote', ...config, '--ops', ops);
  expect(promoted).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringContaining('1 policies of candidate'),
  });
  const digest = `sha256:${'0'.repeat(64)}`;
  expect(await runPdp('policy', 'rollback', ...config, '--digest', digest)).toMatchObject({
    code: 1,
    out: '',
  });
  expect(await runPdp('policy', 'rollback', ...config)).toMatchObject({ code: 0, err: '' });
  // Without the configuration an address is plaintext, and a plaintext caller is nobody.
  expect(await runPdp('policy', 'shadow', '--ops', ops)).toMatchObject({ code: 3, out: '' });
});

test('an SVID is fetched from the Workload API where the configuration says so', async () => {
  await using ca = await createTestCa('prod.example.com');
  await using api = await startWorkloadApi();
  const own = await ca.issue({ spiffeId: PDP });
  api.send('FetchX509SVID', { svids: [svidMessage(own, ca.bundle)] });
  api.send('FetchX509Bundles', { bundles: { 'spiffe://prod.example.com': derOf(ca.bundle) } });
  api.send('FetchJWTBundles', { bundles: { 'spiffe://prod.example.com': Buffer.from('{"keys":[]}') } });
  const folder = await configured({ spiffe: { source: 'workload_api', endpoint: api.endpoint } });
  await serve(folder);
  const shadow = await runPdp('policy', 'shadow', '--config', folder.configFile, '--json');
  expect(shadow).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/"candidate":"sha256:/) });
});

test('who is not on the allow list of ops is told so', async () => {
  await using ca = await createTestCa('prod.example.com');
  const allow = ['spiffe://prod.example.com/ns/monitoring/*'];
  const folder = await configured({ spiffe: filesOf(await ca.issue({ spiffeId: PDP }), ca), allow });
  await serve(folder);
  const answer = await runPdp('policy', 'promote', '--config', folder.configFile);
  expect(answer).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/403|not allowed|allow/i) });
});

test('an SVID of ours that does not hold is told, and nothing is asked', async () => {
  await using ca = await createTestCa('prod.example.com');
  await using other = await createTestCa('prod.example.com');
  const spiffe = filesOf(await other.issue({ spiffeId: PDP }), ca);
  const folder = await configured({ spiffe });
  const answer = await runPdp('policy', 'promote', '--config', folder.configFile);
  expect(answer).toMatchObject({
    code: 3,
    out: '',
    err: expect.stringMatching(/we hold no SVID of our own; ./),
  });
});

test.each<[string, (ours: TestCa, theirs: TestCa) => Promise<Leaf>, RegExp]>([
  [
    'has a certificate of another CA',
    async (_ours, theirs) => theirs.issue({ spiffeId: PDP }),
    /no SVID that we trust/,
  ],
  [
    'is of another trust domain, which we know',
    async (_ours, theirs) => theirs.issue({ spiffeId: 'spiffe://partner.example.org/ns/pdp/sa/pdp' }),
    /partner\.example\.org.*another trust domain/,
  ],
  [
    'has no SPIFFE ID',
    async (ours) => ours.issue({ spiffeId: PDP, uris: [], dns: ['localhost'] }),
    /no SVID that we trust/,
  ],
  ['shows one that has expired', async (ours) => ours.issue({ spiffeId: PDP, lifetimeMs: -1000 }), /expired/],
])('a server that %s is sent nothing, the token least of all', async (_what, issue, words) => {
  await using ca = await createTestCa('prod.example.com');
  await using partner = await createTestCa('partner.example.org');
  const { cert, key } = await issue(ca, partner);
  const asked: unknown[] = [];
  const server = createServer(
    { cert, key, requestCert: true, rejectUnauthorized: false },
    (question, answer) => {
      asked.push(question.headers);
      answer.end('{}');
    },
  );
  server.on('secureConnection', (socket) => socket.on('data', (bytes) => asked.push(bytes)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const files = filesOf(await ca.issue({ spiffeId: PDP }), ca);
  const bundles = [...files.bundles, { trust_domain: partner.trustDomain, file: partner.bundleFile }];
  const { port } = server.address() as AddressInfo;
  const folder = await configured({ spiffe: { ...files, bundles }, port });
  const answer = await runPdp('policy', 'promote', '--config', folder.configFile);
  expect(answer).toMatchObject({ code: 3, out: '', err: expect.stringMatching(words) });
  expect(asked).toEqual([]);
});
