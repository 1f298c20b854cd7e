import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { findEnvoy } from '../support/parts.ts';
import { createTestIssuer } from '../support/tokens.ts';
import { expectEnded, expectServed } from './careless-mesh.ts';
import { type BypassMesh, type BypassRequest, startBypassMesh } from './bypass-mesh.ts';
import { NOT_PERMITTED } from './fixture.ts';
import { flawClass } from './flaw-class.ts';

let proxy: BypassMesh;
let alice: string;
let bob: string;
beforeAll(async () => {
  if (findEnvoy() === undefined) return;
  proxy = await startBypassMesh();
  [alice, bob] = [await proxy.issuer.sign(), await proxy.issuer.sign({ sub: 'bob' })];
});
afterAll(() => proxy?.[Symbol.asyncDispose]());

async function served(request: BypassRequest): Promise<object> {
  const outcome = await proxy.ask(request);
  expectServed(outcome, request.path);
  return outcome.record ?? {};
}

async function denied(request: BypassRequest, ...reasons: readonly string[]): Promise<object> {
  const outcome = await proxy.ask(request);
  expectEnded(outcome, ...reasons);
  // Envoy tells why it answered by itself.
  const log = outcome.record ? [] : await proxy.mesh.envoy.accessLog(1);
  expect(outcome.record, `the PDP was asked: ${JSON.stringify(log.at(-1))}`).toBeDefined();
  return outcome.record ?? {};
}

flawClass(20, 'Envoy', () => {
  test('no two routes share an answer, whatever delimiters their facts hold', async () => {
    await served({ path: '/pair', route: 'good' });
    expect(await served({ path: '/pair', route: 'good' })).toMatchObject({ cache: { hit: true } });
    for (const route of proxy.similar) await denied({ path: '/pair', route }, ...NOT_PERMITTED);
    await denied({ path: '/pair' }, ...NOT_PERMITTED);
    expect(await served({ path: '/pair', route: 'good' })).toMatchObject({ cache: { hit: true } });
  });
  test('path and host, and subject and issuer, do not run into each other', async () => {
    await served({ path: '/people', token: alice });
    for (const sub of ['lice', 'idp/alice', 'alice/', '/alice', 'alice"'])
      await denied({ path: '/people', token: await proxy.issuer.sign({ sub }) }, ...NOT_PERMITTED);
    for (const host of ['app.example', 'app.example.x', 'x.app.example', 'open.example'])
      expect(await served({ host, path: '/people', token: alice })).toMatchObject({ host });
    // Behind a proxy with a certificate the service is who it says, not the host that a client names.
    await denied({ host: 'open.example', path: '/x' }, ...NOT_PERMITTED);
  });
});

flawClass(21, 'Envoy', () => {
  test('a token that was verified a moment ago ends with its expiry', async () => {
    const exp = Math.floor(Date.now() / 1000) + 2;
    const token = await proxy.issuer.sign({ exp });
    await served({ path: '/people', token });
    const refused = await eventually('the token is refused', async () => {
      const { status, record } = await proxy.ask({ path: '/people', token });
      return status === 200 ? undefined : { status, reason: record?.reason, at: Date.now() };
    });
    expect(refused).toMatchObject({ status: 401, reason: 'token_expired' });
    expect(refused.at).toBeGreaterThanOrEqual(exp * 1000);
    await served({ path: '/people', token: alice });
  });
  test('a token that was verified a moment ago ends with its key', async () => {
    const token = await proxy.rotating.sign({ role: 'admin' });
    await served({ path: '/role', token });
    const successor = await createTestIssuer({ ...proxy.rotating, kid: 'key-2' });
    await writeFile(proxy.rotatingFile, JSON.stringify(successor.jwks));
    const refused = await eventually('the token is refused', async () => {
      const { status, record } = await proxy.ask({ path: '/role', token });
      return status === 200 ? undefined : { status, reason: record?.reason };
    });
    expect(refused).toEqual({ status: 401, reason: 'token_key_unknown' });
    await served({ path: '/role', token: await successor.sign({ role: 'admin' }) });
  });
  test('a remembered permit is no permit for a bad token of the same user', async () => {
    for (let turn = 0; turn < 2; turn += 1) await served({ path: '/people', token: alice });
    const [head, body, signature = ''] = alice.split('.');
    const forged = `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`;
    await denied({ path: '/people', token: forged }, 'token_signature_invalid', 'token_malformed');
    await denied({ path: '/people', token: await proxy.issuer.sign({ exp: 1 }) }, 'token_expired');
    await denied({ path: '/people' }, ...NOT_PERMITTED);
  });
});

flawClass(22, 'Envoy', () => {
  test.each([
    ['another audience', { aud: 'payroll' }],
    ['no audience', { aud: undefined }],
    ['an empty audience', { aud: [] }],
    ['an audience that begins like ours', { aud: 'app2' }],
    ['our audience in another case', { aud: 'APP' }],
    ['an audience that is no text', { aud: { app: true } }],
  ])('denies a token with %s', async (_what, claims) => {
    const token = await proxy.issuer.sign(claims);
    const reasons = ['token_audience_wrong', 'token_claims_refused', 'token_malformed'];
    const record = await denied({ path: '/people', token }, ...reasons);
    expect(record).toBeDefined();
    expect(record).not.toHaveProperty('user');
    // What anybody may see is not for a bad token either.
    await denied({ path: '/public/page', token }, ...reasons);
  });
  test('serves our audience, alone or among others', async () => {
    for (const aud of ['app', ['payroll', 'app']])
      await served({ path: '/people', token: await proxy.issuer.sign({ aud }) });
  });
});

flawClass(26, 'Envoy', () => {
  const KEYS = ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', '__entity', '__extn'];

  test.each(KEYS)('%s in a signed claim gives nothing', async (key) => {
    await served({ path: '/role', token: await proxy.issuer.sign({ role: 'admin' }) });
    const now = Math.floor(Date.now() / 1000);
    const claims = `"iss":"${proxy.issuer.issuer}","aud":"app","sub":"bob","iat":${now},"exp":${now + 60}`;
    const token = await proxy.issuer.signRaw(`{${claims},"${key}":{"role":"admin","sub":"alice"}}`);
    for (const path of ['/role', '/people'])
      await denied({ path, token }, ...NOT_PERMITTED, 'token_malformed', 'token_claims_refused');
    await denied({ path: '/role', token: bob }, ...NOT_PERMITTED);
  });
  test.each(KEYS)('%s as a header is a name like any other', async (key) => {
    const headers = [[key.toLowerCase(), 'known']] as const;
    await served({ path: '/public/page', headers });
    await denied({ path: '/route', headers }, ...NOT_PERMITTED);
    await denied({ path: '/people', headers }, ...NOT_PERMITTED);
  });
  test.each(KEYS)('%s in what another filter found out gives nothing, and pollutes nothing', async (key) => {
    await served({ path: '/metadata', metadata: { verified: { admin: true } } });
    const inherited = { verified: Object.fromEntries([[key, { admin: true }]]) };
    const refused = [...NOT_PERMITTED, 'attribute_refused'];
    await denied({ path: '/metadata', metadata: inherited }, ...refused);
    await denied({ path: '/metadata' }, ...refused);
  });
});

flawClass(27, 'Envoy', () => {
  test('an identity is not that of the next request on the same connection', async () => {
    await using line = await proxy.connect();
    for (let turn = 0; turn < 3; turn += 1) {
      expectServed(await line.ask({ path: '/people', token: alice }), '/people');
      const none = await line.ask({ path: '/people' });
      expectEnded(none, ...NOT_PERMITTED);
      expect(none.record).toBeDefined();
      expect(none.record).not.toHaveProperty('user');
      const other = await line.ask({ path: '/people', token: bob });
      expectEnded(other, ...NOT_PERMITTED);
      expect(other.record).toMatchObject({ user: 'idp/bob' });
    }
  });
  test('requests under way at once on one connection keep their identities apart', async () => {
    await using line = await proxy.connect();
    const asked = Array.from({ length: 90 }, (_, index) => [alice, bob, undefined][index % 3]);
    const statuses = await Promise.all(
      asked.map((token) => line.status({ path: '/people', ...(token !== undefined && { token }) })),
    );
    expect(statuses).toEqual(asked.map((token) => (token === alice ? 200 : token === bob ? 403 : 401)));
  });
  test('a fact of one route does not hold for another on the same connection', async () => {
    await using line = await proxy.connect();
    for (let turn = 0; turn < 2; turn += 1) {
      expectServed(await line.ask({ path: '/route', route: 'told' }), '/route');
      expectEnded(await line.ask({ path: '/route', route: 'good' }), ...NOT_PERMITTED);
      expectEnded(await line.ask({ path: '/route' }), ...NOT_PERMITTED);
    }
  });
  test('a workload is not that of another connection, though the proxy asks over one', async () => {
    const { paymentApi, web } = proxy.mesh.workloads;
    await using payments = await proxy.connect(paymentApi);
    await using frontend = await proxy.connect(web);
    const turns = Array.from({ length: 20 }, () => [payments, frontend]).flat();
    const statuses = await Promise.all(turns.map((line) => line.status({ path: '/entries' })));
    expect(statuses.filter((_, index) => index % 2 === 0)).toEqual(Array(20).fill(200));
    expect(new Set(statuses.filter((_, index) => index % 2 === 1))).not.toContain(200);
    const { record } = await frontend.ask({ path: '/entries' });
    expect(record).toMatchObject({ decision: 'DENY', source_identity: { spiffe_id: web.spiffeId } });
  });
});

flawClass(28, 'Envoy', () => {
  const SECRET = 'swordfish';
  const whole = `{"a":"${SECRET}"}`;
  const long = `{"a":"${SECRET}","b":"${'x'.repeat(200)}"}`;

  test.each(['ledger-api', 'edge'] as const)(
    'decides alike with a whole body, a partial one and none, and records none, asked by %s',
    async (to) => {
      for (const body of ['', whole, long]) {
        const record = await served({ to, path: '/public/page', body });
        expect(JSON.stringify(record)).not.toContain(SECRET);
        expect(record).not.toHaveProperty('body');
        const refused = await denied({ to, path: '/people', body }, ...NOT_PERMITTED);
        expect(JSON.stringify(refused)).not.toContain(SECRET);
      }
    },
  );
  test('no policy can read a body: one that asks for it is never satisfied', async () => {
    for (const to of ['ledger-api', 'edge'] as const)
      for (const body of [whole, long]) await denied({ to, path: '/body', body }, ...NOT_PERMITTED);
  });
  test('a client that names its body partial or whole changes nothing', async () => {
    for (const value of ['true', 'false'])
      for (const body of ['', whole, long]) {
        const headers = [['x-envoy-auth-partial-body', value]] as const;
        await served({ to: 'edge', path: '/public/page', body, headers });
        await denied({ to: 'edge', path: '/people', body, headers }, ...NOT_PERMITTED);
      }
  });
  test('where the proxy is told to send whole bodies alone, one that is too long ends before we are asked', async () => {
    await served({ to: 'reports-api', path: '/public/page', body: whole });
    const outcome = await proxy.ask({ to: 'reports-api', path: '/public/page', body: long });
    expect(outcome).toEqual({ status: 413, seen: undefined, record: undefined });
  });
});
