import { beforeAll, describe, expect, test } from 'vitest';
import type { UserIdentity } from '../../../src/pdp/identity.ts';
import { createDeviceAuthenticator } from '../../../src/pip/device.ts';
import { createIssuer } from '../../../src/pip/issuer.ts';
import { type TokenVerifier, createTokenVerifier } from '../../../src/pip/token-verifier.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { START, keySetOf, manualClock, receivedWith } from './fixture.ts';

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
let staff: TestIssuer;
let verifier: TokenVerifier;

beforeAll(async () => {
  const typ = 'posture+jwt';
  mdm = await createTestIssuer({ issuer: 'https://mdm.example.com', audience: AUD, now: () => START, typ });
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD, now: () => START, typ });
  const common = { audiences: [AUD], algorithms: ['ES256'], types: [typ] };
  verifier = createTokenVerifier(
    [
      createIssuer({ ...common, name: 'mdm', issuer: mdm.issuer, use: 'device' }),
      createIssuer({ ...common, name: 'staff', issuer: staff.issuer, use: 'user' }),
    ],
    new Map([
      ['mdm', keySetOf('mdm', mdm)],
      ['staff', keySetOf('staff', staff)],
    ]),
    manualClock(),
  );
});

function userOn(deviceId?: string): UserIdentity {
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
    },
  };
}

function authenticate(headers: [string, string][], user?: UserIdentity, now = START) {
  return createDeviceAuthenticator({ verifier }).authenticate(receivedWith({ headers }, now), {}, user);
}

async function assertion(claims: object = {}): Promise<[string, string]> {
  return ['x-device-assertion', await mdm.sign({ sub: 'laptop-1', posture: POSTURE, ...claims })];
}

describe('device authenticator', () => {
  test('takes id and posture from a signed assertion', async () => {
    expect(await authenticate([await assertion()])).toEqual({
      id: 'laptop-1',
      evidence: 'assertion',
      posture: POSTURE,
      observedAt: START - 60_000,
      freshUntil: START + 300_000,
    });
  });

  test('dates a posture without a time of its own by the assertion', async () => {
    expect(await authenticate([await assertion({ posture: { managed: true } })])).toMatchObject({
      observedAt: START,
    });
    expect(await authenticate([await assertion({ posture: {}, iat: undefined })])).not.toHaveProperty(
      'observedAt',
    );
  });

  test('proves the id even without a posture', async () => {
    const device = await authenticate([await assertion({ posture: undefined })]);
    expect(device).toMatchObject({ id: 'laptop-1', evidence: 'assertion' });
    expect(device).not.toHaveProperty('posture');
  });

  test("takes the id that the user's issuer vouches for", async () => {
    expect(await authenticate([], userOn('laptop-1'))).toEqual({ id: 'laptop-1', evidence: 'token_claim' });
  });

  test('knows no device where nothing proves one', async () => {
    expect(await authenticate([])).toBeUndefined();
    expect(await authenticate([], userOn())).toBeUndefined();
  });

  test.each(['x-device-id', 'device-id', 'x-device', 'x-device-posture', 'x-device-managed'])(
    'never reads the plain header %s',
    async (name) => {
      expect(await authenticate([[name, 'laptop-1']])).toBeUndefined();
      expect(await authenticate([[name, 'laptop-2']], userOn('laptop-1'))).toMatchObject({
        evidence: 'token_claim',
      });
    },
  );

  test('prefers the assertion where both agree, and refuses where they differ', async () => {
    expect(await authenticate([await assertion()], userOn('laptop-1'))).toMatchObject({
      evidence: 'assertion',
    });
    expect(await authenticate([await assertion()], userOn('laptop-2'))).toMatchObject({
      refusal: 'evidence_conflict',
    });
    expect(await authenticate([await assertion()], userOn())).toMatchObject({ id: 'laptop-1' });
  });

  test.each<[string, object, string]>([
    ['expired', { exp: NOW_S - 90 }, 'token_expired: expired 90 s ago'],
    ['not yet valid', { nbf: NOW_S + 90 }, 'token_not_yet_valid'],
    ['for another audience', { aud: 'https://other.example.com' }, 'token_audience_wrong'],
    ['by an unknown issuer', { iss: 'https://evil.example.com' }, 'token_issuer_unknown'],
    ['without a device', { sub: undefined }, 'token_claims_refused'],
    ['with a posture that is not one', { posture: 'compliant' }, 'posture is not an object'],
    ['with a member of the wrong type', { posture: { managed: 'yes' } }, 'posture.managed'],
    ['observed in the future', { posture: { observed_at: NOW_S + 61 } }, 'observed in the future'],
  ])('refuses an assertion %s, and keeps the detail', async (_what, claims, detail) => {
    for (const user of [undefined, userOn('laptop-1')]) {
      expect(await authenticate([await assertion(claims)], user)).toEqual({
        refusal: 'device_assertion_invalid',
        detail: expect.stringContaining(detail) as string,
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
      expect(await authenticate(headers)).toMatchObject({ refusal: 'device_assertion_invalid' });
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
    expect(await authenticator.authenticate(received, {}, userOn('laptop-9'))).toMatchObject({
      id: 'laptop-9',
    });
  });
});
