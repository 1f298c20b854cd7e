import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type JSONWebKeySet,
  SignJWT,
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  jwtVerify,
} from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SigningKey, readSigningKey, signCompact } from '../../../src/api/onward/signing-key.ts';
import type { App } from '../../../src/compose.ts';
import { loadConfig } from '../../../src/config/file.ts';
import { mintDemoToken } from '../../../src/demo-issuer.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { readRecords } from '../../support/pdp-process.ts';
import {
  DASHBOARD_APP,
  LEDGER_API,
  PAYMENT_API,
  REPORTS_API,
  type RequestOptions,
  WEB,
  checkRequestBytes,
} from '../../support/requests.ts';
import { stopProcess } from '../../support/stop-process.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const EXAMPLE = fileURLToPath(new URL('../../../examples/verify-onward-identity.mjs', import.meta.url));
const ISSUER = 'https://pdp.example.com';
const PRIVATE = { format: 'pem', type: 'pkcs8' } as const;

const overrides = (onward: object = {}) => ({
  http: { address: '127.0.0.1:0', plaintext: true },
  onward_identity: { issuer: ISSUER, user_claims: ['amr'], ...onward },
});

interface Running extends AsyncDisposable {
  readonly app: App;
  readonly folder: ConfigFolder;
}

async function start(
  onward: object = {},
  prepare?: (folder: ConfigFolder) => Promise<object>,
): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  let folder = stack.use(await createConfigFolder(overrides(onward)));
  if (prepare)
    folder = stack.use(await createConfigFolder(overrides({ ...onward, ...(await prepare(folder)) })));
  const app = await startTestApp(folder);
  stack.defer(() => app.stop());
  const owned = stack.move();
  return { app, folder, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function ask({ app }: Running, options: RequestOptions = {}) {
  using client = connect(app.addresses.grpc);
  return await client.check(checkRequestBytes(options));
}

const jwksUrl = ({ app }: Running) => `http://${app.addresses.http}/.well-known/jwks.json`;
const keySet = async (running: Running) => (await (await fetch(jwksUrl(running))).json()) as JSONWebKeySet;

let pdp: Running;
/** The key that the PDP signs with, so that tests can sign what it never would. */
let key: SigningKey;

beforeAll(async () => {
  const pem = generateKeyPairSync('ed25519').privateKey.export(PRIVATE).toString();
  const read = readSigningKey(pem);
  if ('problem' in read) throw new Error(read.problem);
  key = read;
  pdp = await start({}, async ({ path }) => {
    const dir = join(path, 'keys');
    await mkdir(dir);
    await writeFile(join(dir, 'key.pem'), pem, { mode: 0o600 });
    return { keys: { dir } };
  });
});
afterAll(() => pdp[Symbol.asyncDispose]());

describe('a PDP that sends the identity onward', () => {
  test('signs what its key set verifies, and says who was permitted', async () => {
    const { config } = loadConfig(pdp.folder.configFile, {});
    const token = await mintDemoToken(config, { user: 'alice', mfa: true, device: 'laptop-1' });
    const { allowed, headers } = await ask(pdp, {
      source: DASHBOARD_APP,
      destination: REPORTS_API,
      method: 'GET',
      path: '/api/reports/quarterly',
      headers: [['authorization', `Bearer ${token}`]],
    });
    expect(allowed).toBe(true);
    const identity = headers['x-pdp-identity'] ?? '';
    const { payload } = await jwtVerify(identity, createLocalJWKSet(await keySet(pdp)), {
      issuer: ISSUER,
      audience: REPORTS_API,
      typ: 'pdp-identity+jwt',
    });
    expect(payload).toMatchObject({
      sub: 'demo/alice',
      user: { id: 'demo/alice', issuer: 'demo', sub: 'alice', claims: { amr: ['pwd', 'mfa'] } },
      workload: DASHBOARD_APP,
      device: { id: 'demo/laptop-1' },
      decision_id: headers['x-pdp-decision-id'],
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(30);
    expect(identity).not.toContain(token.split('.')[1]);
  });

  test('publishes public keys alone, for caches that live as long as keys are published ahead', async () => {
    const answer = await fetch(jwksUrl(pdp));
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    const { keys } = (await answer.json()) as JSONWebKeySet;
    expect(keys).toHaveLength(1);
    expect(Object.keys(keys[0] ?? {}).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  });

  test('says nothing about who was denied', async () => {
    const { allowed, headers } = await ask(pdp, { source: WEB, method: 'GET' });
    expect(allowed).toBe(false);
    expect(headers).not.toHaveProperty('x-pdp-identity');
  });

  test('writes no token to the log', async () => {
    const { headers } = await ask(pdp);
    const signature = headers['x-pdp-identity']?.split('.')[2] ?? 'none';
    const records = await eventually('the record', async () => {
      const all = await readRecords(pdp.folder.auditDir);
      return all.some(({ decision_id: id }) => id === headers['x-pdp-decision-id']) ? all : undefined;
    });
    expect(JSON.stringify(records)).not.toContain(signature);
  });
});

describe('keys in a folder', () => {
  const putKey = (dir: string, name: string) =>
    writeFile(
      join(dir, name),
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(PRIVATE),
      {
        mode: 0o600,
      },
    );

  test('are shared by replicas, rotate while they run, and without any everything is denied and nobody is ready', async () => {
    const dirOf = async (folder: ConfigFolder) => {
      const dir = join(folder.path, 'keys');
      await mkdir(dir, { recursive: true });
      await putKey(dir, '2026-01.pem');
      return { algorithm: 'ES256', keys: { dir, publish_ahead_s: 0 } };
    };
    await using one = await start({}, dirOf);
    const { keys } = loadConfig(one.folder.configFile, {}).config.onward_identity ?? {};
    const dir = keys?.dir ?? '';
    await using two = await start({ algorithm: 'ES256', keys: { dir, publish_ahead_s: 0 } });
    const identity = (await ask(one)).headers['x-pdp-identity'] ?? '';
    const verified = await jwtVerify(identity, createLocalJWKSet(await keySet(two)));
    expect(verified.payload.sub).toBe(PAYMENT_API);

    await putKey(dir, '2026-02.pem');
    await eventually('the new key signs', async () => {
      const { headers } = await ask(one);
      return decodeProtectedHeader(headers['x-pdp-identity'] ?? '').kid === verified.protectedHeader.kid
        ? undefined
        : true;
    });
    expect((await keySet(one)).keys).toHaveLength(2);

    await rm(join(dir, '2026-01.pem'));
    await rm(join(dir, '2026-02.pem'));
    await eventually('a check is denied', async () => ((await ask(one)).allowed ? undefined : true));
    expect(await ask(one)).toMatchObject({ allowed: false, metadata: { reason: 'internal' } });
    const ready = await fetch(`http://${one.app.addresses.ops}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain('no onward identity can be signed');
    expect(await keySet(one)).toEqual({ keys: [] });
  });
});

/** The backend of the example, run as it is. */
async function startExample(audience: string) {
  const child = spawn(process.execPath, [EXAMPLE], {
    env: { ...process.env, JWKS_URL: jwksUrl(pdp), ISSUER, AUDIENCE: audience, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  const port = await eventually('the example listens', () => /listening on (\d+)/.exec(out)?.[1]);
  return {
    send: (headers: Readonly<Record<string, string>>) => send(Number(port), headers),
    [Symbol.asyncDispose]: () => stopProcess(child),
  };
}

function send(port: number, headers: IncomingHttpHeaders): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, headers }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    outgoing.on('error', reject).end();
  });
}

describe('the backend of the example', () => {
  test('takes what the PDP signed for it, and nothing else', async () => {
    await using backend = await startExample(LEDGER_API);
    const good = (await ask(pdp)).headers['x-pdp-identity'] ?? '';
    const accepted = await backend.send({ 'x-pdp-identity': good });
    expect(accepted.status).toBe(200);
    expect(JSON.parse(accepted.body)).toMatchObject({ sub: PAYMENT_API, workload: PAYMENT_API });

    const { kid } = decodeProtectedHeader(good);
    const { privateKey } = generateKeyPairSync('ed25519');
    const now = Math.floor(Date.now() / 1000);
    const forge = (claims: object = {}, typ = 'pdp-identity+jwt') =>
      new SignJWT({ ...decodeJwt(good), ...claims })
        .setProtectedHeader({ alg: 'EdDSA', typ, ...(kid !== undefined && { kid }) })
        .sign(privateKey);
    const [head = '', body = '', signature = ''] = good.split('.');
    const altered = Buffer.from(JSON.stringify({ ...decodeJwt(good), sub: 'demo/root' })).toString(
      'base64url',
    );
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'pdp-identity+jwt' })).toString('base64url');
    const refused: Readonly<Record<string, string>>[] = [
      {},
      { 'x-pdp-identity': '' },
      { 'x-pdp-identity': await forge() },
      { 'x-pdp-identity': `${head}.${altered}.${signature}` },
      { 'x-pdp-identity': `${none}.${body}.` },
      { 'x-pdp-identity': await forge({ exp: now + 3600, iat: now }) },
      { 'x-pdp-identity': `${good}, ${good}` },
      { x_pdp_identity: good },
      { 'x-user': 'root', 'x-pdp-decision-id': 'x' },
    ];
    for (const headers of refused) expect((await backend.send(headers)).status).toBe(401);
  });

  test('refuses what was signed for another service', async () => {
    await using backend = await startExample(REPORTS_API);
    const ledgers = (await ask(pdp)).headers['x-pdp-identity'] ?? '';
    expect((await backend.send({ 'x-pdp-identity': ledgers })).status).toBe(401);
  });

  test('refuses what has expired, is older than it may be, or is of another type, though our key signed it', async () => {
    await using backend = await startExample(LEDGER_API);
    const now = Math.floor(Date.now() / 1000);
    const signed = (claims: object, typ = 'pdp-identity+jwt') =>
      signCompact(key, typ, { iss: ISSUER, aud: LEDGER_API, sub: 'x', iat: now, exp: now + 30, ...claims });
    const status = async (token: string) => (await backend.send({ 'x-pdp-identity': token })).status;
    expect(await status(signed({}))).toBe(200);
    expect(await status(signed({ iat: now - 40, exp: now - 10 }))).toBe(401);
    expect(await status(signed({ iat: now - 70, exp: now + 600 }))).toBe(401);
    expect(await status(signed({ nbf: now + 60 }))).toBe(401);
    expect(await status(signed({ iss: 'https://other.example.com' }))).toBe(401);
    expect(await status(signed({ aud: REPORTS_API }))).toBe(401);
    expect(await status(signed({}, 'at+jwt'))).toBe(401);
  });
});
