import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { decodeCheckResponse } from '../../../../src/api/ext-authz/client.ts';
import { createEncoder } from '../../../../src/api/ext-authz/encode.ts';
import { ExtAuthzService } from '../../../../src/api/ext-authz/service.ts';
import { createGeneratedKeys } from '../../../../src/api/onward/generated-keys.ts';
import { startGrpcServer } from '../../../../src/api/grpc-server.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import {
  type OnwardIdentity,
  type OnwardIdentityOptions,
  createOnwardIdentity,
} from '../../../../src/api/onward/onward-identity.ts';
import type { SigningAlgorithm, SigningKeys } from '../../../../src/api/onward/signing-key.ts';
import type { DeviceIdentity } from '../../../../src/pdp/identity.ts';
import { refuse } from '../../../../src/pdp/decision.ts';
import type { Decision } from '../../../../src/pdp/decision.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { MACHINE_CLOCK, createManualClock } from '../../../support/clock.ts';
import {
  EXT_AUTHZ_TYPES,
  LEDGER_API,
  PAYMENT_API,
  accessRequest,
  checkRequestBytes,
} from '../../../support/requests.ts';
import { type Setup, setUp, userIdentity } from '../../pdp/decision-point.ts';
import { decisionServiceOf } from '../decision-service/fixture.ts';
import { connect } from '../grpc-client.ts';

const ISSUER = 'https://pdp.example.com';
const DENY_ALL = '@id("none") forbid(principal, action, resource);';
const START_S = Date.UTC(2026, 0, 1) / 1000;

function generated(algorithm: SigningAlgorithm = 'EdDSA', now = Date.UTC(2026, 0, 1)): SigningKeys {
  return createGeneratedKeys({
    algorithm,
    now,
    rotateMs: 86_400_000,
    publishAheadMs: 300_000,
    tokenMs: 30_000,
  });
}

const NO_KEYS: SigningKeys = {
  problem: 'the folder is empty',
  signer: () => undefined,
  published: () => [],
  [Symbol.dispose]: () => undefined,
};

function onwardIdentity(options: Partial<OnwardIdentityOptions> = {}): OnwardIdentity {
  return createOnwardIdentity({
    issuer: ISSUER,
    header: 'x-pdp-identity',
    ttlSeconds: 30,
    audience: 'service',
    userClaims: [],
    keys: generated(),
    clock: createManualClock(),
    ...options,
  });
}

async function permitted(setup: Setup = {}, request = accessRequest()): Promise<DecisionTrace> {
  const trace = await setUp(setup).decide(request);
  expect(trace.decision.verdict).toBe('permit');
  return trace;
}

function claimsOf(signed: string | object): Record<string, unknown> {
  if (typeof signed !== 'string') throw new Error(JSON.stringify(signed));
  return decodeJwt(signed);
}

describe('the onward identity', () => {
  test.each(['EdDSA', 'ES256'] as const)(
    'is a token signed with %s that our key set verifies',
    async (algorithm) => {
      const onward = onwardIdentity({ keys: generated(algorithm) });
      const trace = await permitted();
      const token = onward.sign(trace);
      const { payload, protectedHeader } = await jwtVerify(
        token as string,
        createLocalJWKSet({ keys: onward.jwks().keys.map((key) => ({ ...key })) }),
        {
          issuer: ISSUER,
          audience: LEDGER_API,
          typ: 'pdp-identity+jwt',
          algorithms: [algorithm],
          currentDate: new Date(Date.UTC(2026, 0, 1)),
        },
      );
      expect(protectedHeader).toEqual({
        alg: algorithm,
        typ: 'pdp-identity+jwt',
        kid: onward.jwks().keys[0]?.kid,
      });
      expect(payload).toEqual({
        iss: ISSUER,
        aud: LEDGER_API,
        iat: START_S,
        nbf: START_S,
        exp: START_S + 30,
        jti: trace.id,
        decision_id: trace.id,
        sub: PAYMENT_API,
        workload: PAYMENT_API,
        workload_evidence: 'principal',
      });
    },
  );

  test('names the user, the workload and the device, and of the claims only the listed ones', async () => {
    const user = userIdentity('alice', {
      tokenId: 'secret-jti',
      sessionId: 'secret-sid',
      claims: { amr: ['mfa'], email: 'alice@example.com', scope: ['secret'] },
      groups: ['secret-group'],
    });
    const device: DeviceIdentity = {
      id: 'mdm/laptop-1',
      evidence: 'bound_assertion',
      posture: { risk: 'secret-risk' },
    };
    const userClaims = ['amr', 'email', 'toString', 'not_there'];
    const signed = onwardIdentity({ userClaims }).sign(await permitted({ user, device }));
    expect(claimsOf(signed)).toMatchObject({
      sub: 'demo/alice',
      user: {
        id: 'demo/alice',
        issuer: 'demo',
        sub: 'alice',
        claims: { amr: ['mfa'], email: 'alice@example.com' },
      },
      workload: PAYMENT_API,
      device: { id: 'mdm/laptop-1' },
    });
    expect(JSON.stringify(claimsOf(signed))).not.toContain('secret');
  });

  test('names the origin where evidence reaches that far', async () => {
    const trace = await permitted();
    const { identities } = trace;
    if (!identities?.source) throw new Error('no source');
    const id = 'spiffe://prod.example.com/ns/a/sa/b';
    const origin = { ...identities.source, id, evidence: 'jwt_svid' as const };
    const signed = onwardIdentity().sign({ ...trace, identities: { ...identities, origin } });
    expect(claimsOf(signed)).toMatchObject({
      workload: PAYMENT_API,
      workload_evidence: 'principal',
      origin: id,
      origin_evidence: 'jwt_svid',
    });
  });

  test('is not made of what was proven before evidence was refused', async () => {
    const { identities, ...rest } = await permitted();
    if (!identities) throw new Error('nobody was identified');
    const refused = { kind: 'device', proven: identities } as const;
    const signed = onwardIdentity().sign({ ...rest, refused });
    expect(signed).toMatchObject({ refusal: 'internal' });
  });

  test('is about nobody where nobody was identified', async () => {
    const request = accessRequest({ source: '', destination: '' });
    expect(claimsOf(onwardIdentity().sign(await permitted({}, request)))).toEqual({
      iss: ISSUER,
      aud: 'ledger-api.ledger',
      iat: START_S,
      nbf: START_S,
      exp: START_S + 30,
      jti: expect.any(String) as string,
      decision_id: expect.any(String) as string,
      sub: 'anonymous',
    });
  });

  test('is for the configured audience where one is configured', async () => {
    const signed = onwardIdentity({ audience: 'backends' }).sign(await permitted());
    expect(claimsOf(signed)).toMatchObject({ aud: 'backends' });
  });

  test('is different for each decision', async () => {
    const onward = onwardIdentity();
    const [one, other] = [onward.sign(await permitted()), onward.sign(await permitted())];
    expect(claimsOf(one)['jti']).not.toBe(claimsOf(other)['jti']);
  });

  test('is refused in words where no key can sign, and readiness is told', async () => {
    const onward = onwardIdentity({ keys: NO_KEYS });
    const problem = 'no onward identity can be signed: the folder is empty';
    expect(onward.sign(await permitted())).toEqual({ refusal: 'internal', detail: problem });
    expect(onward.problem()).toBe(problem);
    expect(onward.jwks()).toEqual({ keys: [] });
    expect(onwardIdentity().problem()).toBeUndefined();
  });

  test('is refused where it would be too long for a header', async () => {
    const user = userIdentity('alice', { claims: { note: 'x'.repeat(8000) } });
    expect(onwardIdentity({ userClaims: ['note'] }).sign(await permitted({ user }))).toMatchObject({
      refusal: 'attribute_refused',
    });
  });

  test('is refused where nobody was authenticated yet', async () => {
    const { identities: _, ...trace } = await permitted();
    expect(onwardIdentity().sign(trace)).toMatchObject({ refusal: 'internal' });
  });
});

interface OkResponse {
  readonly okResponse?: {
    readonly headers: readonly { readonly header: { readonly key: string; readonly value: string } }[];
    readonly headersToRemove: readonly string[];
  };
}

function encoded(
  decision: Decision,
  identity?: string,
  identityHeader: string | undefined = 'x-pdp-identity',
) {
  const { CheckResponse } = EXT_AUTHZ_TYPES;
  const encode = createEncoder(CheckResponse, { realm: 'test', faultsAsError: false, identityHeader });
  const bytes = encode('id', decision, identity);
  const { okResponse } = CheckResponse.toObject(CheckResponse.decode(bytes)) as OkResponse;
  return {
    ...decodeCheckResponse(bytes, CheckResponse),
    set: (okResponse?.headers ?? []).map(({ header }) => header.key),
    removed: okResponse?.headersToRemove ?? [],
  };
}

describe('the header of the onward identity', () => {
  const TWINS = ['x_pdp-identity', 'x-pdp_identity', 'x_pdp_identity'];
  const permit: Decision = { verdict: 'permit', reason: 'permitted', policies: ['p'] };

  test("is set over the client's copies, and twins with underscores are removed", () => {
    const { headers, set, removed } = encoded(permit, 'token');
    expect(headers['x-pdp-identity']).toBe('token');
    expect(set.filter((name) => name === 'x-pdp-identity')).toHaveLength(1);
    expect(removed).toEqual(expect.arrayContaining(TWINS));
    expect(removed).not.toContain('x-pdp-identity');
  });

  test('is removed in every spelling where the request is let through without one', () => {
    const observed: Decision = { verdict: 'deny', reason: 'no_permit', policies: [], enforced: false };
    for (const { allowed, set, removed } of [
      encoded(observed),
      encoded(observed, 'token'),
      encoded(permit),
    ]) {
      expect(allowed).toBe(true);
      expect(set).not.toContain('x-pdp-identity');
      expect(removed).toEqual(expect.arrayContaining(['x-pdp-identity', ...TWINS]));
    }
  });

  test('is no policy’s to set', () => {
    const forged: Decision = {
      ...permit,
      upstreamHeaders: [
        ['x-user', 'forged'],
        ['x-team', 'red'],
      ],
      removedHeaders: ['x-other'],
    };
    const { headers, set, removed } = encoded(forged, 'token', 'x-user');
    expect(headers).toMatchObject({ 'x-user': 'token', 'x-team': 'red' });
    expect(set.filter((name) => name === 'x-user')).toHaveLength(1);
    expect(removed).toContain('x-other');
    expect(encoded(forged, undefined, 'x-user').set).not.toContain('x-user');
    const unset: Decision = { ...permit, upstreamHeaders: [], removedHeaders: ['x-user'] };
    expect(encoded(unset, 'token', 'x-user').removed).not.toContain('x-user');
  });

  test('is for one request: with it nothing is said of how long the answer holds', () => {
    const timed: Decision = { ...permit, cacheableUntil: 4e12 };
    expect(encoded(timed, 'token').metadata).not.toHaveProperty('cacheable_until');
    expect(encoded(timed).metadata).toMatchObject({ cacheable_until: 4e12 });
  });

  test('goes to nobody with a deny', () => {
    const deny: Decision = { verdict: 'deny', reason: 'no_permit', policies: [] };
    const answer = encoded(deny, 'token');
    expect(answer.allowed).toBe(false);
    expect(JSON.stringify(answer)).not.toContain('token');
  });
});

async function serve(onward: OnwardIdentity, setup: Setup = {}) {
  const fixture = setUp({ clock: MACHINE_CLOCK, ...setup });
  const service = new ExtAuthzService({
    decisionPoint: fixture.point,
    clock: MACHINE_CLOCK,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    onward,
    plaintext: true,
    timeoutMs: 1000,
    inFlight: new InFlight(10),
    maxRequestBytes: 64 * 1024,
    onEncoded: () => undefined,
    onFault: (error) => {
      throw error;
    },
  });
  const decisions = decisionServiceOf(fixture);
  const options = { address: '127.0.0.1:0', maxReceiveBytes: 64 * 1024, decisions };
  const server = await startGrpcServer(service, options);
  const client = connect(server.address);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await server.stop(100);
  });
  return { ...fixture, client };
}

describe('a check where the identity goes onward', () => {
  const onward = (options: Partial<OnwardIdentityOptions> = {}) =>
    onwardIdentity({ clock: MACHINE_CLOCK, keys: generated('EdDSA', Date.now()), ...options });

  test('is answered with a token of its own, cached decision or not', async () => {
    const { client, records } = await serve(onward());
    const ids = [];
    for (let n = 0; n < 2; n++) {
      const { allowed, headers } = await client.check(checkRequestBytes());
      expect(allowed).toBe(true);
      ids.push(claimsOf(headers['x-pdp-identity'] ?? '')['decision_id']);
    }
    expect(ids).toEqual(records.map(({ id }) => id));
    expect(new Set(ids).size).toBe(2);
  });

  test('keeps the token out of what is recorded and observed', async () => {
    const { client, records, observed } = await serve(onward());
    const { headers } = await client.check(checkRequestBytes());
    const token = headers['x-pdp-identity'] ?? '';
    expect(token.split('.')).toHaveLength(3);
    for (const trace of [...records, ...observed])
      expect(JSON.stringify({ ...trace, snapshot: undefined })).not.toContain(token.split('.')[2]);
  });

  test('that is denied has none', async () => {
    const { client } = await serve(onward(), { policies: DENY_ALL });
    const answer = await client.check(checkRequestBytes());
    expect(answer.allowed).toBe(false);
    expect(answer.headers).not.toHaveProperty('x-pdp-identity');
  });

  test('is denied, and recorded as denied, where no key can sign', async () => {
    const { client, records } = await serve(onward({ keys: NO_KEYS }));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      allowed: false,
      httpStatus: 503,
      metadata: { reason: 'internal', decision: 'DENY' },
    });
    expect(records).toMatchObject([
      {
        decision: {
          verdict: 'deny',
          reason: 'internal',
          detail: 'no onward identity can be signed: the folder is empty',
        },
      },
    ]);
  });

  test('that is denied anyway keeps its own reason where no key can sign', async () => {
    const { client } = await serve(onward({ keys: NO_KEYS }), { policies: DENY_ALL });
    expect(await client.check(checkRequestBytes())).toMatchObject({ metadata: { reason: 'policy_forbids' } });
  });

  test('is denied where signing throws', async () => {
    const broken: OnwardIdentity = {
      ...onward(),
      sign: () => {
        throw new Error('broken');
      },
    };
    const { client, records } = await serve(broken);
    expect(await client.check(checkRequestBytes())).toMatchObject({ allowed: false });
    expect(records).toMatchObject([{ decision: { reason: 'internal', detail: 'Error: broken' } }]);
  });

  test('sends none where the record cannot be written', async () => {
    const recorder = { record: () => Promise.reject(new Error('disk full')) };
    const { client } = await serve(onward(), { recorder });
    const answer = await client.check(checkRequestBytes());
    expect(answer).toMatchObject({ allowed: false, metadata: { reason: 'audit_unavailable' } });
    expect(answer.headers).not.toHaveProperty('x-pdp-identity');
  });

  test('refused before Cedar signs nothing', async () => {
    const { client } = await serve(onward(), { user: refuse('token_expired') });
    expect(await client.check(checkRequestBytes())).toMatchObject({ metadata: { reason: 'token_expired' } });
  });
});
