import { createLocalJWKSet } from 'jose';
import { describe, expect, test } from 'vitest';
import { createSetVerifier } from '../../../../src/pip/ssf/set-verifier.ts';
import { createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock } from '../fixture.ts';
import { ALICE, AUDIENCE, NOW, TRANSMITTER, caep, setClaims } from './fixture.ts';

const REVOKED = caep('session-revoked');

async function setUp(alg = 'ES256', algorithms = [alg]) {
  const clock = manualClock();
  const transmitter = await createTestIssuer({
    issuer: TRANSMITTER,
    audience: AUDIENCE,
    typ: 'secevent+jwt',
    alg,
    now: () => START,
  });
  const keySet = keySetOf('idp-events', transmitter);
  const rules = { issuer: TRANSMITTER, audiences: [AUDIENCE], maxAgeSeconds: 3600, skewSeconds: 30 };
  const options = { ...rules, algorithms, keySet: () => keySet, clock, waitForKeysMs: 0 };
  return { clock, transmitter, keySet, options, verify: createSetVerifier(options) };
}

describe('a SET', () => {
  test.each(['RS256', 'PS256', 'ES256', 'ES384', 'Ed25519'])('signed with %s is read', async (alg) => {
    const { transmitter, verify } = await setUp(alg);
    const text = await transmitter.sign(setClaims(REVOKED, { initiating_entity: 'policy' }));
    expect(await verify(text)).toEqual({
      set: {
        issuer: TRANSMITTER,
        id: 'set-1',
        issuedAt: START,
        type: REVOKED,
        event: { initiating_entity: 'policy' },
        subject: ALICE,
      },
    });
  });

  test.each(['secevent+jwt', 'application/secevent+jwt', 'SECEVENT+JWT'])(
    'of the type %s is read, for media types have no case',
    async (typ) => {
      const { transmitter, verify } = await setUp();
      expect(await verify(await transmitter.sign(setClaims(REVOKED), { typ }))).toHaveProperty('set');
    },
  );

  test('for several audiences is read where one of them is ours', async () => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.sign(setClaims(REVOKED, {}, ALICE, { aud: ['https://other', AUDIENCE] }));
    expect(await verify(text)).toHaveProperty('set');
  });

  test('from a clock that is ahead is to be sent again, for it is right soon', async () => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.sign(setClaims(REVOKED, {}, ALICE, { iat: NOW + 31 }));
    expect(await verify(text)).toEqual({ unavailable: expect.stringContaining('31 s in the future') });
  });

  const SECOND = { [REVOKED]: {}, [caep('credential-change')]: {} };
  test.each([
    ['has sub', { sub: 'alice' }, 'invalid_request', 'sub must not be present'],
    ['has exp', { exp: NOW + 60 }, 'invalid_request', 'exp must not be present'],
    ['has no jti', { jti: undefined }, 'invalid_request', 'jti'],
    ['has an empty jti', { jti: '' }, 'invalid_request', 'jti'],
    ['has a jti that is too long', { jti: 'x'.repeat(256) }, 'invalid_request', 'jti'],
    ['has no iat', { iat: undefined }, 'invalid_request', 'iat'],
    ['has an iat that is text', { iat: String(NOW) }, 'invalid_request', 'iat'],
    ['is from the far future', { iat: NOW + 3601 }, 'invalid_request', 'future'],
    ['is too old', { iat: NOW - 3631 }, 'invalid_request', 'past'],
    ['is of another issuer', { iss: 'https://idp.example.com/' }, 'invalid_issuer', 'iss'],
    ['has no issuer', { iss: undefined }, 'invalid_issuer', 'iss'],
    ['is for somebody else', { aud: 'https://other' }, 'invalid_audience', 'aud'],
    ['is for nobody', { aud: undefined }, 'invalid_audience', 'aud'],
    ['has an audience of numbers', { aud: [AUDIENCE, 1] }, 'invalid_audience', 'aud'],
    ['has no events', { events: undefined }, 'invalid_request', 'events'],
    ['has no event', { events: {} }, 'invalid_request', 'events'],
    ['has a list of events', { events: [REVOKED] }, 'invalid_request', 'event'],
    ['has two events', { events: SECOND }, 'invalid_request', 'more than one'],
    ['has an event that is text', { events: { [REVOKED]: 'x' } }, 'invalid_request', 'event'],
    ['has no subject', { sub_id: undefined }, 'invalid_request', 'sub_id'],
    ['has a subject that is text', { sub_id: 'alice' }, 'invalid_request', 'sub_id'],
    ['has an integer that was rounded', { txn: 2 ** 60 }, 'invalid_request', 'JSON'],
    ['has a reserved key', { events: { [REVOKED]: { __entity: {} } } }, 'invalid_request', 'JSON'],
  ])('that %s is refused', async (_what, claims, err, word) => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.sign({ ...setClaims(REVOKED), ...claims });
    expect(await verify(text)).toEqual({ problem: { err, description: expect.stringContaining(word) } });
  });

  test('within the skew and the age is read', async () => {
    const { transmitter, verify } = await setUp();
    for (const iat of [NOW + 30, NOW - 3630, NOW - 0.5])
      expect(await verify(await transmitter.sign({ ...setClaims(REVOKED), iat }))).toHaveProperty('set');
  });

  test.each([
    ['an access token', { typ: 'at+jwt' }],
    ['an untyped token', { typ: undefined }],
    ['a logout token', { typ: 'logout+jwt' }],
  ])('is not %s', async (_what, header) => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.sign(setClaims(REVOKED), header);
    expect(await verify(text)).toMatchObject({ problem: { err: 'invalid_request' } });
  });

  test('of an algorithm that is not listed is refused, and one without a signature', async () => {
    const { transmitter, verify } = await setUp('ES256', ['RS256']);
    const text = await transmitter.sign(setClaims(REVOKED));
    expect(await verify(text)).toMatchObject({ problem: { err: 'invalid_key' } });
    const none = `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${text.split('.')[1]}.`;
    expect(await verify(none)).toMatchObject({ problem: { err: 'invalid_request' } });
  });

  test('of another key is refused: told apart are a key that is not known and a signature that does not match', async () => {
    const { verify } = await setUp();
    const stranger = { issuer: TRANSMITTER, audience: AUDIENCE, typ: 'secevent+jwt', now: () => START };
    const sameId = await createTestIssuer(stranger);
    expect(await verify(await sameId.sign(setClaims(REVOKED)))).toMatchObject({
      problem: { err: 'authentication_failed' },
    });
    const otherId = await createTestIssuer({ ...stranger, kid: 'key-2' });
    expect(await verify(await otherId.sign(setClaims(REVOKED)))).toMatchObject({
      problem: { err: 'invalid_key' },
    });
  });

  test('in another spelling is refused', async () => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.sign(setClaims(REVOKED));
    for (const other of [`${text}=`, `${text}\n`, ` ${text}`, `${text}.x`, text.slice(0, -1), '', 'x'])
      expect(await verify(other)).toHaveProperty('problem');
  });

  test('that is longer than 16 KiB is refused before it is looked at', async () => {
    const { verify } = await setUp();
    expect(await verify('a'.repeat(16_385))).toMatchObject({ problem: { err: 'invalid_request' } });
  });

  test('with an extension in its header is refused', async () => {
    const { transmitter, verify } = await setUp();
    const text = await transmitter.signRaw(JSON.stringify(setClaims(REVOKED)), { crit: ['x'], x: 1 });
    expect(await verify(text)).toMatchObject({ problem: { err: 'invalid_request' } });
  });

  test('cannot be told while no keys are at hand, which is no fault of the SET', async () => {
    const { transmitter, options, keySet } = await setUp();
    const text = await transmitter.sign(setClaims(REVOKED));
    expect(await createSetVerifier({ ...options, keySet: () => undefined })(text)).toHaveProperty(
      'unavailable',
    );
    const stale = { ...keySet, keys: () => undefined };
    expect(await createSetVerifier({ ...options, keySet: () => stale })(text)).toHaveProperty('unavailable');
  });

  test('of a key that has just come waits for the keys to be fetched anew', async () => {
    const { transmitter, options, clock } = await setUp();
    clock.advance(5000);
    const next = await createTestIssuer({
      issuer: TRANSMITTER,
      audience: AUDIENCE,
      typ: 'secevent+jwt',
      kid: 'key-2',
      now: () => START,
    });
    let keys = createLocalJWKSet({ keys: [...transmitter.jwks.keys] });
    let lastSuccess = START;
    const keySet = {
      ...keySetOf('idp-events', transmitter),
      keys: () => keys,
      get lastSuccess() {
        return lastSuccess;
      },
      requestRefresh: () =>
        void setImmediate(() => {
          keys = createLocalJWKSet({ keys: [...transmitter.jwks.keys, ...next.jwks.keys] });
          lastSuccess += 1;
        }),
    };
    const verify = createSetVerifier({ ...options, keySet: () => keySet, waitForKeysMs: 5000 });
    expect(await verify(await next.sign(setClaims(REVOKED)))).toHaveProperty('set');
  });

  test('of another key cannot be told while keys are old and newer ones are not to be had', async () => {
    const { options, clock } = await setUp();
    const stranger = await createTestIssuer({
      issuer: TRANSMITTER,
      audience: AUDIENCE,
      typ: 'secevent+jwt',
      kid: 'key-2',
      now: () => START,
    });
    clock.advance(5000);
    const verify = createSetVerifier({ ...options, waitForKeysMs: 50 });
    const text = await stranger.sign(setClaims(REVOKED));
    expect(await verify(text)).toHaveProperty('unavailable');
  });

  test('of a good key waits for nobody, however many of other keys wait', async () => {
    const { transmitter, options, clock } = await setUp();
    const stranger = await createTestIssuer({
      issuer: TRANSMITTER,
      audience: AUDIENCE,
      typ: 'secevent+jwt',
      kid: 'key-2',
      now: () => START,
    });
    clock.advance(5000);
    const verify = createSetVerifier({ ...options, waitForKeysMs: 300 });
    const text = await stranger.sign(setClaims(REVOKED));
    let done = 0;
    const strangers = Array.from({ length: 50 }, () => verify(text).finally(() => (done += 1)));
    expect(await verify(await transmitter.sign(setClaims(REVOKED)))).toHaveProperty('set');
    expect(done).toBe(0);
    for (const reading of await Promise.all(strangers)) expect(reading).toHaveProperty('unavailable');
  });

  test('is refused in words of ours, which hold nothing of it', async () => {
    const { transmitter, verify } = await setUp();
    const canary = 'canary-7f3a91';
    const cases = [
      [{ iss: canary }, {}],
      [{ aud: canary }, {}],
      [{ sub: canary }, {}],
      [{ events: { [canary]: canary } }, {}],
      [{ jti: `${canary}\n` }, {}],
      [{}, { typ: canary }],
      [{}, { kid: canary }],
    ] as const;
    for (const [claims, header] of cases) {
      const text = await transmitter.sign({ ...setClaims(REVOKED), ...claims }, header);
      const reading = await verify(text);
      expect(reading).toHaveProperty('problem');
      expect(JSON.stringify(reading)).not.toContain(canary);
    }
  });
});
