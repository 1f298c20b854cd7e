import { describe, expect, test } from 'vitest';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { createReceivedEvents } from '../../../../src/pip/ssf/received-events.ts';
import type { SecurityEventToken } from '../../../../src/pip/ssf/security-event-token.ts';
import { SSF } from '../../../../src/pip/ssf/events/event-types.ts';
import { manualClock } from '../fixture.ts';
import { ALICE, NOW, TRANSMITTER, caep, receivingStream, risc, setClaims } from './fixture.ts';

const REVOKED = caep('session-revoked');
const STREAM = { format: 'opaque', id: 'stream-1' };

describe('a SET that is received', () => {
  test('is accepted when its effects are durable, and told', async () => {
    const { receive, transmitter, effects, told } = await receivingStream();
    expect(await receive(await transmitter.sign(setClaims(REVOKED)))).toEqual({
      accepted: true,
      id: 'set-1',
    });
    expect(effects.applied).toMatchObject([{ effect: 'void_before' }]);
    expect(told).toEqual([
      { stream: 'idp-events', event: 'session-revoked', outcome: 'applied', delayMs: 0 },
    ]);
  });

  test('twice has one effect, whichever replica gets it', async () => {
    const first = await receivingStream();
    const second = await receivingStream({ state: first.state });
    const claims = setClaims(REVOKED);
    await first.receive(await first.transmitter.sign(claims));
    await first.receive(await first.transmitter.sign(claims));
    expect(await second.receive(await second.transmitter.sign(claims))).toHaveProperty('accepted');
    expect([...first.effects.applied, ...second.effects.applied]).toHaveLength(1);
    expect([...first.told, ...second.told].map(({ outcome }) => outcome)).toEqual([
      'applied',
      'duplicate',
      'duplicate',
    ]);
  });

  test('with another event under an id that was used before has its effect', async () => {
    const { receive, transmitter, effects } = await receivingStream();
    await receive(await transmitter.sign(setClaims(REVOKED)));
    await receive(await transmitter.sign(setClaims(risc('account-disabled'))));
    await receive(await transmitter.sign(setClaims(REVOKED, {}, { ...ALICE, sub: 'bob' })));
    expect(effects.applied.map(({ effect }) => effect)).toEqual(['void_before', 'shut_off', 'void_before']);
  });

  test('that is sent again with another time of issue has had its effect', async () => {
    const { receive, transmitter, effects } = await receivingStream();
    for (const iat of [NOW - 5, NOW])
      await receive(await transmitter.sign(setClaims(REVOKED, {}, ALICE, { iat })));
    expect(effects.applied).toHaveLength(1);
  });

  test('is told apart from others by its id and its issuer together', async () => {
    const { receive, transmitter, effects } = await receivingStream();
    for (const jti of ['set-1', 'set-2'])
      await receive(await transmitter.sign({ ...setClaims(REVOKED), jti }));
    expect(effects.applied).toHaveLength(2);
  });

  test('is to be sent again where its effects may not have been taken, and has its effect then', async () => {
    const { receive, transmitter, effects, told } = await receivingStream();
    const text = await transmitter.sign(setClaims(REVOKED));
    effects.fails = true;
    await expect(receive(text)).rejects.toThrow(PdpError);
    expect(told).toMatchObject([{ event: 'session-revoked', outcome: 'unavailable' }]);
    effects.fails = false;
    expect(await receive(text)).toHaveProperty('accepted');
    expect(effects.applied).toHaveLength(1);
  });

  test('is to be sent again while no keys are at hand', async () => {
    const { receive, transmitter, keySet } = await receivingStream();
    keySet.keys = () => undefined;
    await expect(receive(await transmitter.sign(setClaims(REVOKED)))).rejects.toThrow(PdpError);
  });

  test('that is refused is no received one: mended, it has its effect', async () => {
    const { receive, transmitter, effects } = await receivingStream();
    const bad = setClaims(caep('token-claims-change'), {});
    expect(await receive(await transmitter.sign(bad))).toMatchObject({ err: 'invalid_request' });
    await receive(await transmitter.sign(setClaims(REVOKED)));
    expect(effects.applied).toHaveLength(1);
  });

  test.each([
    ['of a type that is not known', setClaims('urn:x'), 'unknown', 'unknown_event'],
    ['that changes nothing', setClaims(caep('session-presented')), 'session-presented', 'no_effect'],
    [
      'about nobody of ours',
      setClaims(REVOKED, {}, { ...ALICE, iss: 'https://x' }),
      'session-revoked',
      'discarded',
    ],
  ])('%s is accepted, without an effect', async (_what, claims, event, outcome) => {
    const { receive, transmitter, effects, told } = await receivingStream();
    expect(await receive(await transmitter.sign(claims))).toHaveProperty('accepted');
    expect(effects.applied).toEqual([]);
    expect(told).toMatchObject([{ event, outcome }]);
  });

  test('and refused is told with the code of its refusal', async () => {
    const { receive, transmitter, told } = await receivingStream();
    await receive(await transmitter.sign({ ...setClaims(REVOKED), aud: 'other' }));
    expect(told).toMatchObject([{ event: 'none', outcome: 'invalid_audience' }]);
  });
});

describe('an event about the stream', () => {
  test('of verification is accepted with the state that was asked for', async () => {
    const { receive, transmitter, states, told, clock } = await receivingStream();
    const state = await states.expect();
    clock.advance(1000);
    const claims = setClaims(`${SSF}verification`, { state }, STREAM);
    expect(await receive(await transmitter.sign(claims))).toHaveProperty('accepted');
    expect(states.confirmedAt()).toBe(clock.now());
    expect(told).toMatchObject([{ event: 'verification', outcome: 'stream' }]);
  });

  test('of verification without a state is one that nobody asked for', async () => {
    const { receive, transmitter, states } = await receivingStream();
    const claims = setClaims(`${SSF}verification`, {}, STREAM);
    expect(await receive(await transmitter.sign(claims))).toHaveProperty('accepted');
    expect(states.confirmedAt()).toBeUndefined();
  });

  test.each(['x', 1])(
    'of verification with the state %j, which nobody expects, is refused',
    async (state) => {
      const { receive, transmitter } = await receivingStream();
      const claims = setClaims(`${SSF}verification`, { state }, STREAM);
      expect(await receive(await transmitter.sign(claims))).toMatchObject({ err: 'invalid_state' });
    },
  );

  test.each(['paused', 'disabled'])('that says that it is %s is shown', async (status) => {
    const { receive, transmitter, health } = await receivingStream();
    const claims = setClaims(`${SSF}stream-updated`, { status, reason: 'licence\u001b[31m' }, STREAM);
    expect(await receive(await transmitter.sign(claims))).toHaveProperty('accepted');
    expect(health.warnings()).toEqual([`the event stream 'idp-events' is ${status} ('licence?[31m')`]);
    const again = setClaims(`${SSF}stream-updated`, { status: 'enabled' }, STREAM, { jti: 'set-2' });
    await receive(await transmitter.sign(again));
    expect(health.warnings()).toEqual([]);
    expect(health.report()).toMatchObject({ status: 'enabled' });
  });

  test.each([
    ['an unknown status', 'stream-updated', { status: 'x' }, STREAM],
    ['a user for a subject', 'stream-updated', { status: 'paused' }, ALICE],
    ['another stream for a subject', 'verification', {}, { format: 'opaque', id: 'stream-2' }],
  ])('with %s is refused', async (_what, name, event, subject) => {
    const { receive, transmitter, health } = await receivingStream();
    health.configured('stream-1');
    expect(await receive(await transmitter.sign(setClaims(`${SSF}${name}`, event, subject)))).toMatchObject({
      err: 'invalid_request',
    });
    expect(health.report().status).toBe('unknown');
  });
});

describe('the memory of received events', () => {
  function setOf(parts: Partial<SecurityEventToken>): SecurityEventToken {
    return { issuer: TRANSMITTER, id: 'set-1', issuedAt: 0, type: REVOKED, event: {}, subject: {}, ...parts };
  }

  test('is bounded, and forgets in time', async () => {
    const clock = manualClock();
    const put = new Map<string, unknown>();
    const state = {
      get: () => undefined,
      put: async (entries: readonly { readonly key: string }[]) => {
        for (const { key } of entries) put.set(key, true);
      },
    };
    const received = createReceivedEvents({ stream: 'idp', state, clock, maxEntries: 2, rememberMs: 1000 });
    for (const id of ['a', 'b', 'c']) await received.add(setOf({ id }));
    expect(put.size).toBe(2);
    clock.advance(1001);
    await received.add(setOf({ id: 'd' }));
    expect(put.size).toBe(3);
  });

  test('does not mistake one SET for another', async () => {
    const clock = manualClock();
    const keys = new Set<string>();
    const state = {
      get: () => undefined,
      put: async (entries: readonly { readonly key: string }[]) => void keys.add(entries[0]?.key ?? ''),
    };
    const sets = [
      ['a', 'bc'],
      ['ab', 'c'],
      ['a|b', 'c'],
      ['a', 'b|c'],
    ].map(([issuer = '', id = '']) => setOf({ issuer, id }));
    for (const stream of ['one', 'other'])
      for (const set of [...sets, ...sets, setOf({ subject: { format: 'opaque', id: 'bob' } })])
        await createReceivedEvents({ stream, state, clock }).add(set);
    expect(keys.size).toBe(10);
    expect([...keys].every((key) => Buffer.byteLength(key) < 1024)).toBe(true);
  });

  test('that cannot be written keeps nothing from being acknowledged', async () => {
    const state = {
      get: () => undefined,
      put: () => Promise.reject(new PdpError('state_unavailable', 'x')),
    };
    await expect(
      createReceivedEvents({ stream: 'idp', state, clock: manualClock() }).add(setOf({})),
    ).resolves.toBeUndefined();
  });
});
