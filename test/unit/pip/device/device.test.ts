import { beforeAll, describe, expect, test } from 'vitest';
import { type JWK, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import type { Confirmation, UserIdentity, Workloads } from '../../../../src/pdp/identity.ts';
import {
  type DeviceAuthenticatorOptions,
  createDeviceAuthenticator,
} from '../../../../src/pip/device/device.ts';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { type TokenVerifier, createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock, receivedWith, fingerprintOf } from '../fixture.ts';

const AUD = 'https://pdp.example.com';
const NOW_S = START / 1000;
const POSTURE = {
  managed: true,
  compliant: true,
  disk_encrypted: true,
  risk: 'low',
  observed_at: NOW_S - 60,
};

let mdm: TestIssuer;
let lab: TestIssuer;
let staff: TestIssuer;
let verifier: TokenVerifier;

beforeAll(async () => {
  const typ = 'posture+jwt';
  mdm = await createTestIssuer({ issuer: 'https://mdm.example.com', audience: AUD, now: () => START, typ });
  lab = await createTestIssuer({ issuer: 'https://lab.example.com', audience: AUD, now: () => START, typ });
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD, now: () => START, typ });
  const common = { audiences: [AUD], algorithms: ['ES256'], types: [typ] };
  verifier = createTokenVerifier(
    [
      createIssuer({ ...common, name: 'mdm', issuer: mdm.issuer, use: 'device' }),
      createIssuer({ ...common, name: 'lab', issuer: lab.issuer, use: 'device' }),
      createIssuer({ ...common, name: 'staff', issuer: staff.issuer, use: 'user' }),
    ],
    new Map([
      ['mdm', keySetOf('mdm', mdm)],
      ['lab', keySetOf('lab', lab)],
      ['staff', keySetOf('staff', staff)],
    ]),
    manualClock(),
  );
});

function userOn(deviceId?: string, confirmation?: Confirmation): UserIdentity {
  return {
    id: 'staff/alice',
    token: {
      issuer: 'staff',
      subject: 'alice',
      algorithm: 'ES256',
      audiences: [AUD],
      expiresAt: NOW_S + 300,
      claims: {},
      groups: [],
      ...(deviceId !== undefined && { deviceId }),
      ...(confirmation && { confirmation }),
    },
  };
}

function authenticate(
  headers: [string, string][],
  user?: UserIdentity,
  { workloads = {}, ...options }: DeviceAuthenticatorOptions & { readonly workloads?: Workloads } = {},
) {
  const authenticator = createDeviceAuthenticator({ verifier, ...options });
  return authenticator.authenticate(receivedWith({ headers }, START), workloads, user);
}

async function assertion(claims: object = {}): Promise<[string, string]> {
  return ['x-device-assertion', await mdm.sign({ sub: 'laptop-1', posture: POSTURE, ...claims })];
}

describe('device authenticator', () => {
  test('takes id and posture from a signed assertion', async () => {
    expect(await authenticate([await assertion()])).toEqual({
      id: 'mdm/laptop-1',
      evidence: 'assertion',
      issuedAt: START,
      posture: POSTURE,
      observedAt: START - 60_000,
      freshUntil: START + 300_000,
    });
  });

  test('dates a posture without a time of its own by the assertion', async () => {
    expect(await authenticate([await assertion({ posture: { managed: true } })])).toMatchObject({
      observedAt: START,
    });
  });

  test('refuses a posture of which nothing says when it was observed', async () => {
    expect(await authenticate([await assertion({ posture: {}, iat: undefined })])).toMatchObject({
      refusal: 'device_assertion_invalid',
      cause: 'age',
      detail: 'the posture does not say when it was observed',
    });
    expect(await authenticate([await assertion({ posture: undefined, iat: undefined })])).toMatchObject({
      id: 'mdm/laptop-1',
    });
  });

  test('proves the id even without a posture', async () => {
    const device = await authenticate([await assertion({ posture: undefined })]);
    expect(device).toMatchObject({ id: 'mdm/laptop-1', evidence: 'assertion' });
    expect(device).not.toHaveProperty('posture');
  });

  test("takes the id that the user's issuer vouches for", async () => {
    expect(await authenticate([], userOn('mdm/laptop-1'))).toEqual({
      id: 'mdm/laptop-1',
      evidence: 'token_claim',
    });
  });

  test('knows no device where nothing proves one', async () => {
    expect(await authenticate([])).toBeUndefined();
    expect(await authenticate([], userOn())).toBeUndefined();
  });

  test.each(['x-device-id', 'device-id', 'x-device', 'x-device-posture', 'x-device-managed'])(
    'never reads the plain header %s',
    async (name) => {
      expect(await authenticate([[name, 'laptop-1']])).toBeUndefined();
      expect(await authenticate([[name, 'laptop-2']], userOn('mdm/laptop-1'))).toMatchObject({
        evidence: 'token_claim',
      });
    },
  );

  test('prefers the assertion where both agree, and refuses where they differ', async () => {
    expect(await authenticate([await assertion()], userOn('mdm/laptop-1'))).toMatchObject({
      evidence: 'assertion',
    });
    const conflicting = await assertion();
    expect(await authenticate([conflicting], userOn('mdm/laptop-2'))).toMatchObject({
      refusal: 'evidence_conflict',
      cause: 'conflict',
      evidence: fingerprintOf(conflicting[1]),
    });
    expect(await authenticate([await assertion()], userOn())).toMatchObject({ id: 'mdm/laptop-1' });
  });

  test.each<[string, object, string, string]>([
    ['expired', { exp: NOW_S - 90 }, 'token_expired: expired 90 s ago', 'expired'],
    ['not yet valid', { nbf: NOW_S + 90 }, 'token_not_yet_valid', 'not_yet_valid'],
    ['for another audience', { aud: 'https://other.example.com' }, 'token_audience_wrong', 'audience'],
    ['by an unknown issuer', { iss: 'https://evil.example.com' }, 'token_issuer_unknown', 'issuer'],
    ['without a device', { sub: undefined }, 'token_claims_refused', 'claims'],
    ['with a posture that is not one', { posture: 'compliant' }, 'posture is not an object', 'claims'],
    ['with a member of the wrong type', { posture: { managed: 'yes' } }, 'posture.managed', 'claims'],
    ['observed in the future', { posture: { observed_at: NOW_S + 61 } }, 'observed in the future', 'age'],
  ])('refuses an assertion %s, and keeps detail and cause', async (_what, claims, detail, cause) => {
    for (const user of [undefined, userOn('mdm/laptop-1')]) {
      const sent = await assertion(claims);
      expect(await authenticate([sent], user)).toEqual({
        refusal: 'device_assertion_invalid',
        detail: expect.stringContaining(detail) as string,
        evidence: fingerprintOf(sent[1]),
        cause,
      });
    }
  });

  test("refuses a user's token in place of an assertion", async () => {
    const token = await staff.sign({ sub: 'laptop-1', posture: POSTURE });
    expect(await authenticate([['x-device-assertion', token]])).toMatchObject({
      refusal: 'device_assertion_invalid',
    });
  });

  test('refuses an assertion sent twice, joined, under a scheme or as nothing', async () => {
    const [name, value] = await assertion();
    for (const headers of [
      [
        [name, value],
        [name, value],
      ],
      [[name, `${value},${value}`]],
      [[name, `Bearer ${value}`]],
      [[name, '']],
    ] as [string, string][][]) {
      expect(await authenticate(headers)).toMatchObject({
        refusal: 'device_assertion_invalid',
        cause: 'malformed',
        evidence: fingerprintOf(headers.map(([, sent]) => sent).join(', ')),
      });
    }
  });

  test('refuses an underscore twin of the header', async () => {
    const [name, value] = await assertion();
    expect(
      await authenticate([
        [name, value],
        ['x_device_assertion', value],
      ]),
    ).toMatchObject({
      refusal: 'header_ambiguous',
    });
  });

  test('reads no assertion where no device issuer is configured', async () => {
    const authenticator = createDeviceAuthenticator();
    const received = receivedWith({ headers: [await assertion()] });
    expect(await authenticator.authenticate(received, {}, undefined)).toBeUndefined();
    expect(await authenticator.authenticate(received, {}, userOn('mdm/laptop-9'))).toMatchObject({
      id: 'mdm/laptop-9',
    });
  });

  test('keeps the devices of two issuers apart', async () => {
    const other: [string, string] = [
      'x-device-assertion',
      await lab.sign({ sub: 'laptop-1', posture: POSTURE }),
    ];
    expect(await authenticate([other])).toMatchObject({ id: 'lab/laptop-1' });
    expect(await authenticate([other], userOn('mdm/laptop-1'))).toMatchObject({
      refusal: 'evidence_conflict',
    });
  });
});

describe('the age of a posture', () => {
  const aged = (seconds: number) => assertion({ posture: { managed: true, observed_at: NOW_S - seconds } });

  test('has a ceiling, a day where nothing is configured', async () => {
    expect(await authenticate([await aged(86_400)])).toMatchObject({ freshUntil: START });
    expect(await authenticate([await aged(86_401)])).toMatchObject({
      refusal: 'device_assertion_invalid',
      cause: 'age',
      detail: 'the posture is 86401 s old, and may be 86400 s at most',
    });
  });

  test('is that of the assertion where the posture has none of its own', async () => {
    const old = await assertion({ posture: { managed: true }, iat: NOW_S - 100 });
    expect(await authenticate([old], undefined, { maxPostureAgeSeconds: 99 })).toMatchObject({
      detail: expect.stringContaining('100 s old') as string,
    });
  });

  test('ends what may be kept of a decision', async () => {
    const options = { maxPostureAgeSeconds: 70 };
    expect(await authenticate([await aged(60)], undefined, options)).toMatchObject({
      freshUntil: START + 10_000,
    });
    expect(await authenticate([await aged(0)])).toMatchObject({ freshUntil: START + 300_000 });
  });

  test('may have a ceiling of its own for an issuer, lower or higher', async () => {
    const byIssuer = (limit: number) => ({
      maxPostureAgeSeconds: 60,
      maxPostureAgeByIssuer: new Map([['mdm', limit]]),
    });
    expect(await authenticate([await aged(50)], undefined, byIssuer(30))).toMatchObject({
      refusal: 'device_assertion_invalid',
    });
    expect(await authenticate([await aged(100)], undefined, byIssuer(120))).toMatchObject({
      id: 'mdm/laptop-1',
    });
    const others = { maxPostureAgeSeconds: 60, maxPostureAgeByIssuer: new Map([['lab', 120]]) };
    expect(await authenticate([await aged(100)], undefined, others)).toMatchObject({
      refusal: 'device_assertion_invalid',
    });
  });

  test('is nothing that an assertion without a posture has', async () => {
    const old = await assertion({ posture: undefined, iat: NOW_S - 200_000 });
    expect(await authenticate([old])).toMatchObject({ id: 'mdm/laptop-1' });
  });
});

describe('a bound assertion', () => {
  const SHOWN = 'A'.repeat(43);
  const OTHER = `${'A'.repeat(42)}E`;
  const showing = (fingerprint: string) => ({ workloads: { certificate: { fingerprint } } });
  const refused = (detail: string, cause = 'binding') => ({
    refusal: 'device_assertion_invalid',
    detail: expect.stringContaining(detail) as string,
    evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
    cause,
  });

  test('is proven by the certificate that the source showed', async () => {
    const bound = await assertion({ cnf: { 'x5t#S256': SHOWN } });
    expect(await authenticate([bound], undefined, showing(SHOWN))).toMatchObject({
      id: 'mdm/laptop-1',
      evidence: 'bound_assertion',
    });
    expect(await authenticate([bound], undefined, showing(OTHER))).toEqual(refused('another certificate'));
    expect(await authenticate([bound])).toEqual(refused('the source showed none'));
    expect(await authenticate([bound], userOn('mdm/laptop-1'))).toEqual(refused('the source showed none'));
  });

  test('is proven by the key that the user has proven, by its thumbprint or whole', async () => {
    const { publicKey } = await generateKeyPair('ES256');
    const jwk: JWK = await exportJWK(publicKey);
    const key = await calculateJwkThumbprint(jwk);
    for (const cnf of [{ jkt: key }, { jwk }, { jkt: key, jwk }]) {
      const bound = await assertion({ cnf });
      expect(await authenticate([bound], userOn(undefined, { key }))).toMatchObject({
        evidence: 'bound_assertion',
      });
      expect(await authenticate([bound], userOn(undefined, { key: OTHER }))).toEqual(refused('another key'));
      expect(await authenticate([bound], userOn(undefined, { certificate: key }))).toEqual(
        refused('proven none'),
      );
      expect(await authenticate([bound], userOn())).toEqual(refused('proven none'));
      expect(await authenticate([bound])).toEqual(refused('proven none'));
    }
  });

  test('is proven by both where it names both', async () => {
    const bound = await assertion({ cnf: { 'x5t#S256': SHOWN, jkt: OTHER } });
    const user = userOn(undefined, { key: OTHER });
    expect(await authenticate([bound], user, showing(SHOWN))).toMatchObject({ evidence: 'bound_assertion' });
    expect(await authenticate([bound], user, showing(OTHER))).toEqual(refused('another certificate'));
    expect(await authenticate([bound], undefined, showing(SHOWN))).toEqual(refused('proven none'));
  });

  test.each<[string, unknown]>([
    ['with a member that nobody knows', { 'x5t#S256': SHOWN, tpm: 'x' }],
    ['with a member that nobody knows alone', { kid: 'x' }],
    ['to nothing', {}],
    ['to what is no object', SHOWN],
    ['to null', null],
    ['to a list', [SHOWN]],
    ['to a hash of another length', { 'x5t#S256': 'AAAA' }],
    ['to a symmetric key', { jwk: { kty: 'oct', k: 'c2VjcmV0' } }],
    ['to two keys', { jkt: SHOWN, jwk: { kty: 'OKP', crv: 'Ed25519', x: SHOWN } }],
  ])('%s is refused, whatever the source shows', async (_what, cnf) => {
    const user = userOn('mdm/laptop-1', { key: SHOWN });
    expect(await authenticate([await assertion({ cnf })], user, showing(SHOWN))).toEqual(refused(''));
  });

  test('can be asked for', async () => {
    const options = { requireBinding: true, ...showing(SHOWN) };
    expect(await authenticate([await assertion()], undefined, options)).toEqual(refused('not bound'));
    expect(
      await authenticate([await assertion({ cnf: { 'x5t#S256': SHOWN } })], undefined, options),
    ).toMatchObject({
      evidence: 'bound_assertion',
    });
    // What the user's issuer vouches for is no assertion.
    expect(await authenticate([], userOn('mdm/laptop-1'), options)).toMatchObject({
      evidence: 'token_claim',
    });
  });

  test('is looked at anew for each request, also where the token is known by now', async () => {
    const caching = { maxBytes: 100_000, maxAgeMs: 60_000 };
    const issuer = createIssuer({
      name: 'mdm',
      issuer: mdm.issuer,
      use: 'device',
      audiences: [AUD],
      algorithms: ['ES256'],
      types: ['posture+jwt'],
    });
    const keys = new Map([['mdm', keySetOf('mdm', mdm)]]);
    const remembering = createTokenVerifier([issuer], keys, manualClock(), caching);
    const bound = await assertion({ cnf: { 'x5t#S256': SHOWN } });
    const shown = { verifier: remembering, ...showing(SHOWN) };
    expect(await authenticate([bound], undefined, shown)).toMatchObject({ evidence: 'bound_assertion' });
    const stolen = { verifier: remembering, ...showing(OTHER) };
    expect(await authenticate([bound], undefined, stolen)).toEqual(refused('another certificate'));
  });
});
