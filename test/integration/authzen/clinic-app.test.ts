import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type PdpClient, createPdpClient } from '../../../src/client/client.ts';
import {
  APP_ID,
  BILLING_ID,
  type Clinic,
  type ClinicApp,
  PDP_ID,
  STRANGER_ID,
  startClinic,
} from './clinic.ts';

const READ = 'appointments:read';
const BOTH = 'appointments:read appointments:write';

let clinic: Clinic;
let app: ClinicApp;
beforeAll(async () => {
  clinic = await startClinic();
  app = await clinic.start(APP_ID);
});
afterAll(() => clinic[Symbol.asyncDispose]());

const tokenOf = (sub: string, scope = BOTH, more: object = {}) => clinic.idp.sign({ sub, scope, ...more });

/** The records of a decision, once it is in the log. */
async function recordOf(decisionId: unknown) {
  const all = await clinic.pdp.records(1);
  return all.find((record) => record.decision_id === decisionId);
}

describe('a doctor', () => {
  test('views an appointment of the own department', async () => {
    const { status, json } = await app.ask('GET', '/appointments/a-18', await tokenOf('grey'));
    expect([status, json['doctor']]).toEqual([200, 'yang']);
  });

  test.each([
    ['of another department', 'b-1'],
    ['of the same department of another hospital', 'c-1'],
    ['that nobody knows', 'a-99'],
  ])('does not view one %s', async (_what, id) => {
    const { status, json, challenge } = await app.ask('GET', `/appointments/${id}`, await tokenOf('grey'));
    expect([status, challenge, json['detail']]).toEqual([403, null, 'access denied']);
    expect(await recordOf(json['decision_id'])).toMatchObject({
      surface: 'authzen',
      decision: 'DENY',
      reason: 'no_permit',
      user: 'clinic/grey',
      source_identity: { spiffe_id: APP_ID },
      pep: { spiffe_id: APP_ID },
      action: 'Clinic::Action::"view"',
      resource: `Clinic::Appointment::"${id}"`,
    });
  });

  test.each(['PUT', 'PATCH'])('edits the own ones by %s, and not those of a colleague', async (method) => {
    const [grey, yang] = [await tokenOf('grey'), await tokenOf('yang')];
    const at = '2026-11-24T09:00:00Z';
    const own = await app.ask(method, '/appointments/a-17', grey, { at });
    expect([own.status, own.json['at']]).toEqual([200, at]);
    const others = await app.ask(method, '/appointments/a-17', yang, { at: '2026-01-01T00:00:00Z' });
    expect(others.status).toBe(403);
    expect((await app.ask('GET', '/appointments/a-17', grey)).json['at']).toBe(at);
  });

  test('creates in the own schedule, and not in that of a colleague', async () => {
    const [token, body] = [await tokenOf('grey'), { at: '2026-11-25T09:00:00Z', patient: 'p-9' }];
    expect((await app.ask('POST', '/doctors/grey/appointments', token, body)).status).toBe(201);
    expect((await app.ask('POST', '/doctors/yang/appointments', token, body)).status).toBe(403);
  });

  test('is listed what may be seen, and nothing else, by one call to the decision point', async () => {
    const { status, json } = await app.ask('GET', '/appointments', await tokenOf('hahn'));
    expect([status, json['appointments']]).toEqual([200, [expect.objectContaining({ id: 'b-1' })]]);
    const records = (await clinic.pdp.records(4)).filter(({ user }) => user === 'clinic/hahn');
    const batches = records.map((record) => (record as { readonly batch?: string }).batch);
    expect(batches.length).toBeGreaterThanOrEqual(4);
    expect(new Set(batches)).toEqual(new Set([expect.any(String)]));
  });
});

describe('a token', () => {
  test.each<[string, string, () => Promise<string>]>([
    ['that is malformed', 'the token is malformed', async () => 'not-a-token'],
    [
      'that has expired',
      'the token has expired',
      () => tokenOf('grey', BOTH, { exp: 1_700_000_000, iat: 1_600_000_000 }),
    ],
    ['for others', 'the token is not accepted here', () => tokenOf('grey', BOTH, { aud: 'others' })],
    [
      'of others',
      'the token is not accepted here',
      () => tokenOf('grey', BOTH, { iss: 'https://idp.example' }),
    ],
  ])('%s is 401', async (_what, words, token) => {
    for (const path of ['/appointments/a-17', '/appointments']) {
      const { status, challenge, json } = await app.ask('GET', path, await token());
      expect([status, json['detail']]).toEqual([401, words]);
      expect(challenge).toBe('Bearer realm="clinic", error="invalid_token"');
      expect(json['advice']).toEqual({ kind: 'authenticate' });
    }
  });

  test('that is not there is 401, and nobody is asked about it', async () => {
    for (const path of ['/appointments/a-17', '/appointments']) {
      const { status, challenge, json } = await app.ask('GET', path);
      expect([status, challenge]).toEqual([401, 'Bearer realm="clinic"']);
      expect(json['decision_id']).toBeUndefined();
    }
  });

  test('without the scope is 403, and says so', async () => {
    const token = await tokenOf('grey', READ);
    expect((await app.ask('GET', '/appointments/a-17', token)).status).toBe(200);
    const { status, json } = await app.ask('PUT', '/appointments/a-17', token, { at: 'x' });
    expect([status, json['detail']]).toEqual([403, 'the token lacks the scope appointments:write']);
    expect(await recordOf(json['decision_id'])).toMatchObject({
      reason: 'policy_forbids',
      policies: ['clinic.scope-to-write'],
    });
  });

  test('is in no record', async () => {
    const token = await tokenOf('grey');
    await app.ask('GET', '/appointments/a-17', token);
    expect(JSON.stringify(await clinic.pdp.records(1))).not.toContain(token);
  });
});

describe('another application', () => {
  test('that may ask is not the one that the policies name', async () => {
    const billing = await clinic.start(BILLING_ID);
    const { status, json } = await billing.ask('GET', '/appointments/a-17', await tokenOf('grey'));
    expect(status).toBe(403);
    expect(json['detail']).toBe('the request does not come through the appointments app');
    expect(await recordOf(json['decision_id'])).toMatchObject({
      policies: ['clinic.only-the-app'],
      source_identity: { spiffe_id: BILLING_ID },
    });
  });

  test('that may not ask has no decision, and lets nobody in', async () => {
    const stranger = await clinic.start(STRANGER_ID);
    const token = await tokenOf('grey');
    for (const path of ['/appointments/a-17', '/appointments'])
      expect((await stranger.ask('GET', path, token)).status).toBe(503);
    expect(stranger.problems()).toContain('not_allowed_to_ask: the decision point answered 403');
    const records = await clinic.pdp.records(1);
    expect(records.filter(({ pep }) => pep.spiffe_id === STRANGER_ID)).toMatchObject([
      { surface: 'authzen', reason: 'caller_not_allowed' },
      { surface: 'authzen', reason: 'caller_not_allowed' },
    ]);
  });
});

interface Guarding {
  readonly createGuard: (pdp: PdpClient) => object;
  readonly expressGuard: (
    guard: object,
    questionOf: (request: { url: string }) => object,
  ) => (request: unknown, response: unknown, next: (error?: unknown) => void) => Promise<void>;
}

interface MutualTls {
  readonly mutualTlsFetch: (files: object) => typeof fetch;
}

const example = (name: string): Promise<unknown> =>
  import(fileURLToPath(new URL(`../../../examples/clinic-app/${name}`, import.meta.url)));

/** A client as an application makes it; `serverId`: whom it takes for the decision point. */
async function clientFor(serverId: string): Promise<PdpClient> {
  const { mutualTlsFetch } = (await example('mutual-tls.mjs')) as MutualTls;
  const { certFile, keyFile } = await clinic.ca.issue({ spiffeId: APP_ID });
  const { bundleFile } = clinic.ca;
  const fetch = mutualTlsFetch({ certFile, keyFile, bundleFile, serverId });
  return createPdpClient({ url: clinic.url, timeoutMs: 10_000, fetch });
}

test('the guard is middleware too, as Express takes it', async () => {
  const { createGuard, expressGuard } = (await example('guard.mjs')) as Guarding;
  const guard = createGuard(await clientFor(PDP_ID));
  const middleware = expressGuard(guard, ({ url }) => {
    if (url === '/throws') throw new Error('no such route');
    return { action: { name: 'view' }, resource: { type: 'Appointment', id: url.slice(1) } };
  });
  const server = createServer((request, response) => {
    void middleware(request, response, (error) => response.writeHead(error === undefined ? 204 : 500).end());
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const authorization = `Bearer ${await tokenOf('grey')}`;
  const statusOf = async (path: string, headers: Record<string, string>) =>
    (await fetch(`${base}${path}`, { headers })).status;
  expect(await statusOf('/a-17', { authorization })).toBe(204);
  expect(await statusOf('/b-1', { authorization })).toBe(403);
  expect(await statusOf('/a-17', { authorization: 'Bearer x' })).toBe(401);
  expect(await statusOf('/a-17', {})).toBe(401);
  expect(await statusOf('/throws', { authorization })).toBe(500);
});

test('the application asks nobody but its decision point', async () => {
  const subject = { token: await tokenOf('grey') };
  const question = { subject, action: { name: 'view' }, resource: { type: 'Appointment', id: 'a-17' } };
  expect(await (await clientFor(PDP_ID)).check(question)).toMatchObject({ allowed: true });
  const answer = await (await clientFor(STRANGER_ID)).check(question);
  expect(answer).toMatchObject({ allowed: false, failure: 'unavailable' });
  expect(answer.detail).toContain(`the server is not ${STRANGER_ID}`);
});

test('nobody is let in while the decision point is down', async () => {
  const token = await tokenOf('grey');
  expect((await app.ask('GET', '/appointments/a-17', token)).status).toBe(200);
  await clinic.pdp.kill();
  for (const [method, path] of [
    ['GET', '/appointments/a-17'],
    ['PUT', '/appointments/a-17'],
    ['POST', '/doctors/grey/appointments'],
    ['GET', '/appointments'],
  ] as const) {
    const { status, json } = await app.ask(method, path, token);
    expect([method, path, status]).toEqual([method, path, 503]);
    expect(json['detail']).toBe('no decision could be made; try again later');
  }
  expect(app.problems()).toContain('unavailable: the decision point cannot be reached');
});
