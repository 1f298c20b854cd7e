import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, generateProof } from 'dpop';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../../src/compose.ts';
import type { PresetName } from '../../src/pip/token/issuer-presets.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../support/app.ts';
import { type Envoy, type EnvoyConfig, type Listener, startEnvoy } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { findEnvoy } from '../support/parts.ts';
import { readRecords } from '../support/pdp-process.ts';
import {
  ASSERTIONS,
  PRESET_NAMES,
  type PresetIssuer,
  createPresetIssuers,
} from '../support/preset-issuers.ts';
import { POLICIES } from '../support/snapshot.ts';
import { type Leaf, type TestCa, createTestCa } from '../support/test-ca.ts';
import { type Upstream, startUpstream } from '../support/upstream.ts';

const HOST = 'wiki.example.com';
/** Proxies of the mesh, whose assertions count on their own connection only. */
const IN_MESH: ReadonlySet<PresetName> = new Set(['pomerium', 'teleport']);

const stack = new AsyncDisposableStack();
let ca: TestCa;
let folder: ConfigFolder;
let app: App;
let envoy: Envoy;
let upstream: Upstream;
let issuers: ReadonlyMap<PresetName, PresetIssuer>;
let proxy: Leaf;
let intruder: Leaf;

interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly challenge: string | undefined;
}

interface Question {
  /** The listener that asks for certificates where there is one, the edge without. */
  readonly as?: Leaf | undefined;
  readonly headers: readonly (readonly [string, string])[];
  readonly path?: string;
}

async function send({ as, headers, path = '/pages/start' }: Question): Promise<Answer> {
  const to: Listener = as ? 'ledger-api' : 'edge';
  return await new Promise((resolve, reject) => {
    const identity = as && { cert: as.cert, key: as.key };
    const options = {
      host: '127.0.0.1',
      port: envoy.ports[to],
      servername: HOST,
      ca: ca.bundle,
      ...identity,
    };
    const outgoing = request({ ...options, path, agent: false }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const status = incoming.statusCode ?? 0;
        const problem = status === 200 ? {} : (JSON.parse(body) as { reason?: string });
        resolve({ status, reason: problem.reason, challenge: incoming.headers['www-authenticate'] });
      });
    });
    outgoing.on('error', reject);
    outgoing.setHeader('host', HOST);
    for (const [name, value] of headers) outgoing.setHeader(name, value);
    outgoing.end();
  });
}

function issuerOf(name: PresetName): PresetIssuer {
  const issuer = issuers.get(name);
  if (issuer === undefined) throw new Error(`no issuer ${name}`);
  return issuer;
}

async function credential(name: PresetName): Promise<readonly [string, string]> {
  return issuerOf(name).credential(await issuerOf(name).sign());
}

/** Where the product's requests come from: its own workload, or somewhere outside of the mesh. */
const routeOf = (name: PresetName): Leaf | undefined => (IN_MESH.has(name) ? proxy : undefined);

/** As deployed, but for a plaintext PDP on this machine: who asks is another test. */
function edit(config: EnvoyConfig): void {
  for (const cluster of config.static_resources.clusters)
    if (cluster.name === 'cedar-pdp') delete cluster.transport_socket;
}

async function startAll(): Promise<void> {
  const files = await mkdtemp(join(tmpdir(), 'pdp-iap-'));
  stack.defer(() => rm(files, { recursive: true, force: true, maxRetries: 20 }));
  ca = stack.use(await createTestCa('prod.example.com'));
  const leaf = (path: string, shape: object = {}): Promise<Leaf> =>
    ca.issue({ spiffeId: `spiffe://prod.example.com${path}`, ...shape });
  // The wiki is known by its host: its certificate holds no SPIFFE ID.
  const wiki = await leaf('/unused', { uris: [], dns: [HOST] });
  proxy = await leaf('/ns/identity-proxy/sa/pomerium');
  intruder = await leaf('/ns/frontend/sa/web');
  issuers = await createPresetIssuers(files);
  const subjectOf = (name: PresetName): string => `${name}/${ASSERTIONS[name].subject}`;
  const directory = { [subjectOf('google-iap')]: ENGINEER, [subjectOf('google')]: ENGINEER };
  await writeFile(join(files, 'directory.json'), JSON.stringify(directory));
  folder = stack.use(await createConfigFolder(configOf(files)));
  app = await startTestApp(folder);
  stack.defer(() => app.stop());
  upstream = stack.use(await startUpstream());
  envoy = stack.use(
    await startEnvoy({
      bundleFile: ca.bundleFile,
      pep: proxy,
      ledgerApi: wiki,
      reportsApi: wiki,
      pdpPort: Number(app.addresses.grpc.split(':').at(-1)),
      upstreamPort: upstream.port,
      pdpTimeout: '5s',
      edit,
    }),
  );
}

const ENGINEER = { groups: ['engineering'] };

function configOf(files: string): Record<string, unknown> {
  return {
    demo: false,
    decision: { timeout_ms: 4000 },
    policies: { sets: [join(POLICIES, 'identity-aware-proxy')] },
    issuers: [...issuers.values()].map(({ config }) => config),
    tokens: { dpop: { origins: { [HOST]: `https://${HOST}` } } },
    pips: [
      {
        name: 'directory',
        kind: 'static_file',
        subject: 'user',
        gives: ['groups'],
        file: join(files, 'directory.json'),
      },
    ],
  };
}

/** The record of the one request that `ask` sends. */
async function recorded(
  ask: () => Promise<Answer>,
): Promise<{ answer: Answer; record: Record<string, unknown> }> {
  const before = (await readRecords(folder.auditDir)).length;
  const answer = await ask();
  const records = await eventually('the record is written', async () => {
    const all = await readRecords(folder.auditDir);
    return all.length > before ? all : undefined;
  });
  return { answer, record: records.at(-1) as unknown as Record<string, unknown> };
}

describe.skipIf(findEnvoy() === undefined)('a wiki behind identity-aware proxies and a real Envoy', () => {
  beforeAll(startAll);
  afterAll(() => stack.disposeAsync());

  test.each(PRESET_NAMES)('lets in whom %s vouches for, and says so in the record', async (name) => {
    const headers = [await credential(name)];
    const { answer, record } = await recorded(() => send({ as: routeOf(name), headers }));
    expect({ ...answer, record }).toMatchObject({
      status: 200,
      record: {
        decision: 'ALLOW',
        user: `${name}/${ASSERTIONS[name].subject}`,
        policies: ['iap.engineers-read-the-wiki'],
        token: { issuer: name, state: 'valid' },
      },
    });
    expect(JSON.stringify(record)).not.toContain(headers[0]?.[1].replace('Bearer ', ''));
  });

  test.each(PRESET_NAMES)('refuses the assertion of %s in the header of another', async (name) => {
    const token = await issuerOf(name).sign();
    const other = name === 'teleport' ? 'google-iap' : 'teleport';
    const answer = await send({ as: routeOf(name), headers: [issuerOf(other).credential(token)] });
    expect(answer).toMatchObject({ status: 401, reason: 'token_issuer_unknown' });
  });

  test.each(PRESET_NAMES)('refuses what says to be of %s and is signed by another', async (name) => {
    const other = await createPresetIssuers(folder.path, 'forged-');
    const token = await other.get(name)?.sign();
    const headers = [issuerOf(name).credential(token ?? '')];
    const { answer, record } = await recorded(() => send({ as: routeOf(name), headers }));
    expect(answer).toMatchObject({ status: 401, reason: 'token_signature_invalid' });
    // An operator who has the token finds the record; whoever has the record does not have the token.
    const fingerprint = createHash('sha256')
      .update(token ?? '')
      .digest('base64url');
    expect(record).toMatchObject({ evidence: `sha256:${fingerprint}` });
    expect(JSON.stringify(record)).not.toContain(token);
  });

  test.each([...IN_MESH])("refuses the assertion of %s on any connection but the proxy's", async (name) => {
    const headers = [await credential(name)];
    for (const as of [undefined, intruder])
      expect(await send({ as, headers })).toMatchObject({ status: 403, reason: 'policy_forbids' });
  });

  test.each(PRESET_NAMES)('refuses the assertion of %s beside another credential', async (name) => {
    const other = name === 'google-iap' ? 'okta' : 'google-iap';
    const headers = [await credential(name), await credential(other)];
    expect(await send({ as: routeOf(name), headers })).toMatchObject({
      status: 400,
      reason: 'credentials_conflict',
    });
  });

  test('asks for a token where there is none, for both schemes, whatever unsigned headers say', async () => {
    const headers: [string, string][] = [
      ['x-goog-authenticated-user-email', 'accounts.google.com:alice@example.com'],
      ['x-pomerium-claim-email', 'alice@example.com'],
      ['cf-access-authenticated-user-email', 'alice@example.com'],
      ['x-auth-user', 'alice'],
    ];
    const answer = await send({ headers });
    expect(answer).toMatchObject({ status: 401, reason: 'authentication_required' });
    expect(answer.challenge).toMatch(/^Bearer realm="[^"]+", DPoP realm="[^"]+", algs="ES256 /);
  });

  test('sees who acts for a user, and lets the one act that the policy names', async () => {
    const ask = async (sub: string): Promise<Answer> => {
      const token = await issuerOf('keycloak').sign({ act: { sub, act: { sub: 'front-end' } } });
      return send({ headers: [issuerOf('keycloak').credential(token)] });
    };
    const { answer, record } = await recorded(() => ask('search'));
    expect(answer).toMatchObject({ status: 200 });
    expect(record['token']).toMatchObject({ act: ['keycloak/search', 'keycloak/front-end'] });
    expect(await ask('export')).toMatchObject({ status: 403, reason: 'policy_forbids' });
  });

  describe('with tokens that are bound to their sender', () => {
    const fingerprintOf = (leaf: Leaf): string =>
      createHash('sha256').update(new X509Certificate(leaf.cert).raw).digest('base64url');
    const boundToken = (cnf: object, typ = 'Bearer') => issuerOf('keycloak').sign({ cnf, typ });

    test('lets the holder of the certificate in, and nobody else', async () => {
      const token = await boundToken({ 'x5t#S256': fingerprintOf(intruder) });
      const headers: [string, string][] = [['authorization', `Bearer ${token}`]];
      const path = '/admin/users';
      const { answer, record } = await recorded(() => send({ as: intruder, headers, path }));
      expect(answer).toMatchObject({ status: 200 });
      expect(record['token']).toMatchObject({ bound: ['certificate'] });
      for (const as of [undefined, proxy])
        expect(await send({ as, headers, path })).toMatchObject({
          status: 401,
          reason: 'token_binding_failed',
        });
      const bearer = [await credential('keycloak')];
      expect(await send({ as: intruder, headers: bearer, path })).toMatchObject({
        status: 403,
        reason: 'policy_forbids',
      });
    });

    test('lets the holder of the key in, once for each proof', async () => {
      const pair = await generateKeyPair('ES256');
      const jkt = await calculateJwkThumbprint(await exportJWK(pair.publicKey));
      const token = await boundToken({ jkt }, 'DPoP');
      const prove = (url: string) => generateProof(pair, url, 'GET', undefined, token);
      const ask = (proof: string, scheme = 'DPoP') =>
        send({
          path: '/pages/start?draft=1',
          headers: [
            ['authorization', `${scheme} ${token}`],
            ['dpop', proof],
          ],
        });
      const proof = await prove(`https://${HOST}/pages/start`);
      const { answer, record } = await recorded(() => ask(proof));
      expect(answer).toMatchObject({ status: 200 });
      expect(record['token']).toMatchObject({ bound: ['dpop'] });
      const again = await ask(proof);
      expect(again).toMatchObject({ status: 401, reason: 'dpop_proof_invalid' });
      expect(again.challenge).toMatch(
        /^DPoP realm="[^"]+", error="invalid_dpop_proof".*, algs="ES256 [^"]*"$/,
      );
      for (const url of [`https://${HOST}/pages/other`, 'https://evil.example.com/pages/start'])
        expect(await ask(await prove(url))).toMatchObject({ reason: 'dpop_proof_invalid' });
      expect(await ask(await prove(`https://${HOST}/pages/start`), 'Bearer')).toMatchObject({
        reason: 'token_binding_failed',
      });
      expect(await ask(await prove(`https://${HOST}/pages/start`))).toMatchObject({ status: 200 });
    });
  });
});
