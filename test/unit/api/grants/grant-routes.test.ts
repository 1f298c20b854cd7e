import { generateKeyPair, SignJWT, exportJWK, calculateJwkThumbprint } from 'jose';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { grantRoutes } from '../../../../src/api/grants/grant-routes.ts';
import { startHttpServer } from '../../../../src/api/http/http-server.ts';
import { refuse } from '../../../../src/pdp/decision.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { NO_REVOCATIONS } from '../../../../src/pdp/no-revocations.ts';
import type { Revocations } from '../../../../src/pdp/ports.ts';
import { createDpopCheck } from '../../../../src/pip/dpop/dpop.ts';
import { createMemoryReplayStore } from '../../../../src/pip/dpop/replay-store.ts';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createUserAuthenticator } from '../../../../src/pip/token/user-token.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { keySetOf, memoryLog } from '../../pip/fixture.ts';
import { type Replica, openReplica } from '../../pip/grants/fixture.ts';

const ID = '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a';
const WISH = { scope: 'orders', duration_s: 3600, justification: 'INC-1207: stuck orders' };

const CLAIMS = { groups: 'groups', deviceId: 'device' };

let stack: AsyncDisposableStack;
let replica: Replica;
let issuer: TestIssuer;
let address: string;
let log: ReturnType<typeof memoryLog>;
/** What the directory says of somebody; a test may have it fail. */
let directory: (user: string) => readonly string[];
let revocations: Revocations;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  replica = stack.use(await openReplica());
  const { clock } = replica;
  issuer = await createTestIssuer({
    issuer: 'https://id.example.com',
    audience: 'pdp',
    now: () => clock.now(),
  });
  log = memoryLog();
  directory = () => [];
  revocations = NO_REVOCATIONS;
  const options = { issuer: issuer.issuer, audiences: ['pdp'], algorithms: ['ES256'], types: ['at+jwt'] };
  const issuers = [createIssuer({ ...options, name: 'staff', use: 'user', claims: CLAIMS })];
  const origins = new Map<string, readonly string[]>();
  const dpop = createDpopCheck({
    origins,
    algorithms: ['ES256'],
    maxAgeSeconds: 60,
    skewSeconds: 5,
    replays: createMemoryReplayStore({ clock, log, windowMs: 60_000, maxPerOwner: 10, maxEntries: 100 }),
  });
  const verifier = createTokenVerifier(issuers, new Map([['staff', keySetOf('staff', issuer)]]), clock);
  const routes = grantRoutes({
    book: replica.book,
    user: createUserAuthenticator({ verifier, issuers, dpop }),
    revocations: {
      refusal: (question) => revocations.refusal(question),
      revised: (identities) => revocations.revised(identities),
    },
    groupsOf: async ({ id, token }) =>
      new Set([...token.groups.map((group) => `${token.issuer}/${group}`), ...directory(id)]),
    clock,
    plaintext: true,
    realm: 'pdp',
    dpopAlgorithms: ['ES256'],
    log,
  });
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    clock,
    log,
    maxBodyBytes: 1024 * 1024,
    routes: [routes],
  });
  if (!server) throw new Error('no surface');
  stack.use(server);
  address = server.address;
  origins.set(address, [`http://${address}`]);
});

afterEach(() => stack.disposeAsync());

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

interface Call {
  readonly as?: string;
  readonly groups?: readonly string[];
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

async function call(
  method: string,
  path: string,
  { as, groups = [], body, headers = {} }: Call = {},
): Promise<Answer> {
  const token = as === undefined ? undefined : await issuer.sign({ sub: as, groups });
  const answer = await fetch(`http://${address}${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const type = answer.headers.get('content-type') ?? '';
  expect(type).toMatch(answer.status < 300 ? /^application\/json/ : /^application\/problem\+json/);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Record<string, unknown>,
  };
}

async function requested(as = 'kim', more: object = {}): Promise<string> {
  const { status, body } = await call('POST', '/grants', { as, body: { ...WISH, ...more } });
  expect(status).toBe(201);
  return String(body['id']);
}

describe('the life of a grant over HTTP', () => {
  test('is asked for, approved, listed and revoked', async () => {
    const asked = await call('POST', '/grants', { as: 'kim', body: { ...WISH, ticket: 'INC-1207' } });
    expect(asked).toMatchObject({
      status: 201,
      body: {
        user: 'staff/kim',
        scope: 'orders',
        state: 'requested',
        break_glass: false,
        justification: WISH.justification,
        ticket: 'INC-1207',
        requested_at: '2026-11-22T12:00:00.000Z',
        approve_before: '2026-11-23T12:00:00.000Z',
        duration_s: 3600,
        approvals_needed: 1,
        approvals: [],
      },
    });
    const id = String(asked.body['id']);
    const approved = await call('POST', `/grants/${id}/approve`, { as: 'lee' });
    expect(approved).toMatchObject({
      status: 200,
      body: {
        state: 'approved',
        granted_at: '2026-11-22T12:00:00.000Z',
        expires_at: '2026-11-22T13:00:00.000Z',
        approvals: [{ by: 'staff/lee', at: '2026-11-22T12:00:00.000Z' }],
      },
    });
    expect(replica.facts()).toEqual({ grants: ['orders'], breakGlass: [] });
    expect((await call('POST', `/grants/${id}/approve`, { as: 'lee', body: {} })).body).toEqual(
      approved.body,
    );
    const listed = await call('GET', '/grants', { as: 'kim' });
    expect(listed.body).toEqual({ grants: [approved.body], truncated: false });
    const revoked = await call('POST', `/grants/${id}/revoke`, { as: 'kim', body: { reason: 'done' } });
    expect(revoked.body).toMatchObject({ state: 'revoked', end: { by: 'staff/kim', reason: 'done' } });
    expect(replica.facts()).toEqual({ grants: [], breakGlass: [] });
  });

  test('is denied with a reason', async () => {
    const id = await requested();
    expect(await call('POST', `/grants/${id}/deny`, { as: 'lee', body: {} })).toMatchObject({
      status: 400,
      body: { detail: "'reason' is missing" },
    });
    const denied = await call('POST', `/grants/${id}/deny`, {
      as: 'lee',
      body: { reason: 'use the replica' },
    });
    expect(denied).toMatchObject({
      status: 200,
      body: { state: 'denied', end: { reason: 'use the replica' } },
    });
    expect(await call('POST', `/grants/${id}/approve`, { as: 'max' })).toMatchObject({
      status: 409,
      body: { detail: `the grant ${id} is denied already` },
    });
  });

  test('is taken at once by breaking glass', async () => {
    const { status, body } = await call('POST', '/grants', {
      as: 'kim',
      body: { ...WISH, break_glass: true },
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      state: 'approved',
      break_glass: true,
      expires_at: '2026-11-22T13:00:00.000Z',
    });
    expect(body).not.toHaveProperty('approvals');
    expect(replica.facts().breakGlass).toEqual(['orders']);
    expect(await call('POST', '/grants', { as: 'kim', body: { ...WISH, break_glass: true } })).toMatchObject({
      status: 409,
    });
  });

  test('is the business of approvers by the groups of their token, and of the directory', async () => {
    const [one, other] = [await requested(), await requested()];
    expect((await call('POST', `/grants/${one}/approve`, { as: 'pat', groups: ['leads'] })).status).toBe(200);
    expect(
      (await call('POST', `/grants/${other}/approve`, { as: 'sam', groups: ['orders-leads'] })).status,
    ).toBe(403);
    directory = (user) => (user === 'staff/sam' ? ['orders-leads'] : []);
    expect((await call('POST', `/grants/${other}/approve`, { as: 'sam' })).status).toBe(200);
  });

  test('is listed as the query asks', async () => {
    const id = await requested();
    await requested('pat');
    const idsFor = async (query: string) => {
      const { body } = await call('GET', `/grants${query}`, { as: 'lee' });
      return (body['grants'] as { id: string }[]).map((grant) => grant.id);
    };
    expect(await idsFor('')).toEqual([]);
    expect(await idsFor('?all=true')).toHaveLength(2);
    expect(await idsFor('?user=staff%2Fkim')).toEqual([id]);
    expect(await idsFor('?all=true&state=approved')).toEqual([]);
    for (const query of ['?all=yes', '?state=live', '?scope=orders', '?user=a&user=b'])
      expect((await call('GET', `/grants${query}`, { as: 'lee' })).status).toBe(400);
  });
});

describe('bad input', () => {
  test.each<[string, unknown, string]>([
    ['no body', '', 'the body is empty'],
    ['no JSON', '{', 'the body is not JSON that is accepted here'],
    ['a list', [], 'the body must be a JSON object'],
    ['nothing', null, 'the body must be a JSON object'],
    ['no justification', { ...WISH, justification: undefined }, "'justification' is missing"],
    [
      'an empty justification',
      { ...WISH, justification: '' },
      'a justification of at least 10 characters is needed',
    ],
    [
      'a justification that is no text',
      { ...WISH, justification: ['x'] },
      "'justification' must be a string",
    ],
    [
      'an end beyond the maximum',
      { ...WISH, duration_s: 28_801 },
      "28801 s is longer than a grant for 'orders' may be: 28800 s",
    ],
    ['a duration in words', { ...WISH, duration_s: '1h' }, "'duration_s' must be a number"],
    [
      'another end than a duration',
      { ...WISH, expires_at: '2099-01-01T00:00:00Z' },
      'only these are expected: scope, duration_s, justification, ticket, break_glass',
    ],
    [
      'another user',
      { ...WISH, user: 'staff/root' },
      'only these are expected: scope, duration_s, justification, ticket, break_glass',
    ],
    ['break_glass that is no boolean', { ...WISH, break_glass: 'false' }, "'break_glass' must be a boolean"],
    ['a prototype', '{"__proto__":{"scope":"orders"}}', 'the body is not JSON that is accepted here'],
    ['a scope that there is not', { ...WISH, scope: 'payroll' }, "there is no scope 'payroll'"],
  ])('%s is refused in plain words', async (_what, body, detail) => {
    expect(await call('POST', '/grants', { as: 'kim', body })).toMatchObject({
      status: 400,
      body: { status: 400, detail },
    });
    expect(replica.recorded).toEqual([]);
  });

  test('a body that is too large, or of another type, is refused', async () => {
    const large = { ...WISH, justification: 'x'.repeat(17_000) };
    expect(await call('POST', '/grants', { as: 'kim', body: large })).toMatchObject({
      status: 413,
      body: { detail: 'the body is larger than 16384 bytes' },
    });
    const headers = { 'content-type': 'text/plain' };
    expect(await call('POST', '/grants', { as: 'kim', body: JSON.stringify(WISH), headers })).toMatchObject({
      status: 415,
    });
  });

  test('something in a body that holds nothing is refused', async () => {
    const id = await requested();
    expect(
      await call('POST', `/grants/${id}/approve`, { as: 'lee', body: { approve: false } }),
    ).toMatchObject({ status: 400 });
    expect(await call('POST', `/grants/${id}/revoke`, { as: 'lee', body: { reason: 7 } })).toMatchObject({
      status: 400,
    });
  });

  test.each([[ID], ['x'], ['..%2f..%2fetc']])(
    'the grant %s, which is not there, is not found or refused',
    async (id) => {
      for (const verb of ['approve', 'revoke']) {
        const { status } = await call('POST', `/grants/${id}/${verb}`, { as: 'lee' });
        expect([400, 404]).toContain(status);
      }
    },
  );

  test('too many requests are told so', async () => {
    for (let count = 0; count < 10; count += 1) await requested();
    expect(await call('POST', '/grants', { as: 'kim', body: WISH })).toMatchObject({ status: 429 });
  });
});

describe('who asks', () => {
  test('must be proven: no token is a challenge', async () => {
    const { status, headers, body } = await call('POST', '/grants', { body: WISH });
    expect([status, body['detail']]).toEqual([401, 'authentication is required']);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="pdp", DPoP realm="pdp", algs="ES256"');
  });

  test.each<[string, () => Promise<Record<string, string>>, number]>([
    [
      'a token that has expired',
      async () => ({ authorization: `Bearer ${await issuer.sign({ exp: 1 })}` }),
      401,
    ],
    [
      'a token for somebody else',
      async () => ({ authorization: `Bearer ${await issuer.sign({ aud: 'other' })}` }),
      401,
    ],
    [
      'a token that was changed',
      async () => ({ authorization: `Bearer ${(await issuer.sign()).slice(0, -4)}AAAA` }),
      401,
    ],
    ['no token', async () => ({ authorization: 'Bearer x' }), 401],
    ['another scheme', async () => ({ authorization: 'Basic a2ltOmtpbQ==' }), 401],
    ['a name in a header', async () => ({ 'x-auth-user': 'staff/kim' }), 401],
  ])('is not proven by %s', async (_what, headers, status) => {
    const answer = await call('POST', '/grants', { body: WISH, headers: await headers() });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('www-authenticate')).toContain('realm="pdp"');
    expect(replica.recorded).toEqual([]);
    expect(log.text()).not.toContain('eyJ');
  });

  test('is nobody where two tokens are sent: who would choose between two users?', async () => {
    const tokens = [await issuer.sign({ sub: 'kim' }), await issuer.sign({ sub: 'lee' })];
    const outgoing = request(`http://${address}/grants`, {
      headers: { authorization: tokens.map((token) => `Bearer ${token}`) as unknown as string },
    });
    outgoing.end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(answer.statusCode).toBe(400);
    expect(await json(answer)).toMatchObject({ detail: 'more than one credential was sent' });
  });

  test('is refused once revoked, with the calling user before the revocations', async () => {
    const seen: (string | undefined)[] = [];
    revocations = {
      ...NO_REVOCATIONS,
      refusal: ({ identities: { user } }) => (
        seen.push(user?.id),
        refuse('token_revoked', 'the session was revoked')
      ),
    };
    const { status, body } = await call('POST', '/grants', { as: 'kim', body: WISH });
    expect([status, body['detail']]).toEqual([401, 'the token is not accepted any more']);
    expect(seen).toEqual(['staff/kim']);
  });

  test('is refused with a device that is shut off', async () => {
    revocations = {
      ...NO_REVOCATIONS,
      refusal: ({ identities: { device } }) =>
        device?.id === 'staff/laptop' ? refuse('identity_revoked', 'the laptop is shut off') : undefined,
    };
    const ask = async (device: string) => {
      const headers = { authorization: `Bearer ${await issuer.sign({ sub: 'kim', device })}` };
      return (await call('POST', '/grants', { body: WISH, headers })).status;
    };
    expect(await ask('laptop')).toBe(403);
    expect(await ask('phone')).toBe(201);
  });

  test('is not an approver any more where an event took the group away', async () => {
    const id = await requested();
    revocations = {
      ...NO_REVOCATIONS,
      revised: (identities) =>
        identities.user
          ? { ...identities, user: { ...identities.user, token: { ...identities.user.token, groups: [] } } }
          : identities,
    };
    expect((await call('POST', `/grants/${id}/approve`, { as: 'pat', groups: ['leads'] })).status).toBe(403);
  });

  test('does not approve what they asked for, nor in a name that is lent to them', async () => {
    const id = await requested('lee');
    expect(await call('POST', `/grants/${id}/approve`, { as: 'lee' })).toMatchObject({
      status: 403,
      body: { detail: 'nobody decides on a request of their own' },
    });
    const token = await issuer.sign({ sub: 'max', act: { iss: issuer.issuer, sub: 'lee' } });
    const lent = await call('POST', `/grants/${id}/approve`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(lent.status).toBe(403);
  });

  test.each([
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['another host of the site', { 'sec-fetch-site': 'same-site' }],
    ['another origin', { origin: 'https://evil.example.com' }],
    ['nowhere that it would tell', { origin: 'null' }],
  ])('does not decide by a page of %s, which a browser sends it from', async (_where, headers) => {
    const id = await requested();
    const refused = await call('POST', `/grants/${id}/approve`, { as: 'lee', headers });
    expect(refused).toMatchObject({
      status: 403,
      body: { detail: 'changes are not taken from pages of other sites' },
    });
    expect(replica.recorded).toHaveLength(1);
    for (const own of [{ 'sec-fetch-site': 'same-origin' }, { origin: `http://${address}` }])
      expect((await call('POST', `/grants/${id}/approve`, { as: 'lee', headers: own })).status).toBe(200);
  });

  test('must hold the key that the token is bound to', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const token = await issuer.sign({ sub: 'kim', cnf: { jkt: await calculateJwkThumbprint(jwk) } });
    const proof = (path: string): Promise<string> =>
      new SignJWT({
        jti: crypto.randomUUID(),
        htm: 'POST',
        htu: `http://${address}${path}`,
        iat: Math.floor(replica.clock.now() / 1000),
        ath: hash('sha256', token, 'base64url'),
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .sign(privateKey);
    const send = (headers: Record<string, string>) => call('POST', '/grants', { body: WISH, headers });
    expect((await send({ authorization: `Bearer ${token}` })).status).toBe(401);
    expect((await send({ authorization: `DPoP ${token}` })).status).toBe(401);
    expect((await send({ authorization: `DPoP ${token}`, dpop: await proof('/other') })).status).toBe(401);
    const right = await proof('/grants');
    expect((await send({ authorization: `DPoP ${token}`, dpop: right })).status).toBe(201);
    expect((await send({ authorization: `DPoP ${token}`, dpop: right })).status).toBe(401);
  });
});

describe('when something fails', () => {
  test('nothing is changed that cannot be recorded', async () => {
    replica.failing.log = true;
    expect(await call('POST', '/grants', { as: 'kim', body: WISH })).toMatchObject({
      status: 503,
      body: { detail: 'nothing was changed: the decision log cannot be written' },
    });
    expect(replica.entries).toEqual([]);
  });

  test('a change that may not have been made is told so', async () => {
    replica.failing.state = true;
    expect(await call('POST', '/grants', { as: 'kim', body: WISH })).toMatchObject({
      status: 503,
      body: { detail: 'the change may or may not have been made: list the grants, and try again' },
    });
  });

  test('nobody is an approver by a directory that does not answer', async () => {
    const id = await requested();
    directory = () => {
      throw new PdpError('attribute_unavailable', 'the directory is down');
    };
    expect((await call('POST', `/grants/${id}/approve`, { as: 'lee' })).status).toBe(503);
    expect(replica.facts()).toEqual({ grants: [], breakGlass: [] });
  });
});
