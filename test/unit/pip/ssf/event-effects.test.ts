import { describe, expect, test } from 'vitest';
import { effectsOf } from '../../../../src/pip/ssf/event-effects.ts';
import { EVENT_TYPES } from '../../../../src/pip/ssf/events/event-types.ts';
import { START } from '../fixture.ts';
import { ALICE, LAPTOP, NOW, TRANSMITTER, type StreamChanges, caep, effectRules, risc } from './fixture.ts';

const USER = { kind: 'user', id: 'idp/alice' };
const DEVICE = { kind: 'device', id: 'idp/laptop-1' };
const SESSION = { kind: 'session', id: 'idp/s-1' };
const TENANT = { kind: 'tenant', id: 'idp/t-1' };
const EMAIL = { format: 'email', email: 'alice@example.com' };
const ADDRESS = { kind: 'email', id: 'idp/alice@example.com' };
const SID = { format: 'opaque', id: 's-1' };
const GROUP = { format: 'opaque', id: 'g-1' };
const complex = (members: object) => ({ format: 'complex', ...members });

/** What an event comes to that happened when it was issued, at the start of the test. */
function happens(type: string, event: object, subject: object = ALICE, changes: StreamChanges = {}) {
  const set = {
    issuer: TRANSMITTER,
    id: 'set-1',
    issuedAt: START,
    type,
    event: event as Readonly<Record<string, unknown>>,
    subject: subject as Readonly<Record<string, unknown>>,
  };
  return effectsOf(set, effectRules(changes), START);
}

function effects(...args: Parameters<typeof happens>) {
  const reading = happens(...args);
  return 'effects' in reading ? reading.effects : reading;
}

describe('session-revoked', () => {
  test('makes void what was issued before to whom it names, all members together', () => {
    expect(effects(caep('session-revoked'), {}, complex({ user: ALICE, device: LAPTOP }))).toEqual([
      {
        effect: 'void_before',
        at: START,
        source: 'idp-events',
        reason: 'session-revoked',
        subjects: [USER, DEVICE],
      },
    ]);
  });

  test.each([
    ['the session of an opaque id', SID, [SESSION]],
    ['all sessions of a user', ALICE, [USER]],
    ['all sessions of an address', EMAIL, [ADDRESS]],
    ['one session', complex({ session: SID, user: ALICE }), [SESSION, USER]],
    ['all users of a tenant', complex({ tenant: { format: 'opaque', id: 't-1' } }), [TENANT]],
  ])('is about %s', (_what, subject, subjects) => {
    expect(effects(caep('session-revoked'), {}, subject)).toMatchObject([{ subjects }]);
  });

  test('has more effect than was said where a member is not understood, and says so', () => {
    expect(happens(caep('session-revoked'), {}, complex({ user: ALICE, group: GROUP }))).toMatchObject({
      outcome: 'effects',
      effects: [{ subjects: [USER] }],
      ignored: ['group'],
    });
  });

  test('has an effect for each name of a subject with several', () => {
    const subject = { format: 'aliases', identifiers: [ALICE, EMAIL] };
    expect(effects(caep('session-revoked'), {}, subject)).toMatchObject([
      { subjects: [USER] },
      { subjects: [ADDRESS] },
    ]);
  });
});

describe('the time of an event', () => {
  test.each([
    ['that is stated', { event_timestamp: NOW - 60 }, START - 60_000],
    ['that is stated with a fraction', { event_timestamp: NOW - 0.5 }, START - 500],
    ['that is not stated is when it was issued', {}, START],
    ['that is null is when it was issued', { event_timestamp: null }, START],
    ['that lies ahead is now', { event_timestamp: NOW + 3600 }, START],
  ])('%s', (_what, event, at) => {
    expect(effects(caep('session-revoked'), event)).toMatchObject([{ at }]);
  });

  test('is the second in which the SET was issued where it claims to be later, whenever it is sent again', () => {
    const set = {
      issuer: TRANSMITTER,
      id: 'set-1',
      issuedAt: START - 3_600_000,
      type: risc('account-enabled'),
      event: { event_timestamp: NOW * 1000 },
      subject: ALICE,
    };
    expect(effectsOf(set, effectRules(), START)).toMatchObject({
      effects: [{ effect: 'restore', at: START - 3_600_000 + 999 }],
    });
  });

  test.each(['yesterday', -1, 2 ** 53, [], true])('cannot be %j', (time) => {
    expect(happens(caep('session-revoked'), { event_timestamp: time })).toMatchObject({
      problem: { err: 'invalid_request' },
    });
  });
});

describe('token-claims-change', () => {
  test('says what tokens would say today, by the mapping of the issuer of the user', () => {
    const event = { claims: { role: 'ro-admin', groups: ['staff'], unmapped: 'x' } };
    expect(effects(caep('token-claims-change'), event)).toEqual([
      {
        effect: 'claims',
        at: START,
        source: 'idp-events',
        reason: 'token-claims-change',
        subject: USER,
        claims: { role: 'ro-admin' },
        groups: ['staff'],
      },
    ]);
    expect(effects(caep('token-claims-change'), { claims: { realm: { role: 'x' } } })).toMatchObject([
      { claims: { realm_role: 'x' } },
    ]);
  });

  test('of claims that nobody reads has no effect', () => {
    expect(happens(caep('token-claims-change'), { claims: { shoe_size: 43 } })).toMatchObject({
      outcome: 'no_effect',
    });
  });

  test.each([
    ['a claim that is gone', { role: null }, ALICE, [USER]],
    ['a claim of another type', { role: 7 }, ALICE, [USER]],
    ['a claim that is too large to be kept', { role: 'x'.repeat(7000) }, ALICE, [USER]],
    [
      'groups that are too many to be kept',
      { groups: Array.from({ length: 900 }, (_, i) => `group-${i}`) },
      ALICE,
      [USER],
    ],
    ['half of a claim', { realm: {} }, ALICE, [USER]],
    ['groups of another type', { groups: 'staff' }, ALICE, [USER]],
    ['a claim that says who somebody is', { device_id: 'laptop-2' }, ALICE, [USER]],
    [
      'one token',
      { role: 'x' },
      { format: 'jwt_id', iss: TRANSMITTER, jti: 'j' },
      [{ kind: 'token', id: 'idp/j' }],
    ],
    ['one session', { role: 'x' }, complex({ user: ALICE, session: SID }), [USER, SESSION]],
    ['somebody who is named by an address', { role: 'x' }, EMAIL, [ADDRESS]],
    ['somebody in a group', { role: 'x' }, complex({ user: ALICE, group: GROUP }), [USER]],
  ])('of %s makes void the tokens that say otherwise', (_what, claims, subject, subjects) => {
    expect(effects(caep('token-claims-change'), { claims }, subject)).toMatchObject([
      { effect: 'void_before', subjects },
    ]);
  });

  test.each([[{}], [{ claims: {} }], [{ claims: [] }], [{ claims: 'role' }]])('of %j is refused', (event) => {
    expect(happens(caep('token-claims-change'), event)).toMatchObject({
      problem: { err: 'invalid_request' },
    });
  });
});

describe('credential-change', () => {
  test.each(['revoke', 'update', 'delete'])('of the kind %s makes void what was issued before', (change) => {
    const event = { credential_type: 'password', change_type: change };
    expect(effects(caep('credential-change'), event)).toMatchObject([{ effect: 'void_before' }]);
    const choices = { credentialChangeVoids: false, highRiskVoids: [] };
    expect(happens(caep('credential-change'), event, ALICE, { choices })).toMatchObject({
      outcome: 'no_effect',
    });
  });

  test('of the kind create has no effect', () => {
    const event = { credential_type: 'fido2-roaming', change_type: 'create' };
    expect(happens(caep('credential-change'), event)).toMatchObject({ outcome: 'no_effect' });
  });

  test.each([
    [{ change_type: 'revoke' }],
    [{ credential_type: 'password' }],
    [{ credential_type: 'password', change_type: 'lost' }],
    [{ credential_type: 1, change_type: 'revoke' }],
  ])('of %j is refused', (event) => {
    expect(happens(caep('credential-change'), event)).toMatchObject({ problem: { err: 'invalid_request' } });
  });
});

describe('assurance-level-change', () => {
  const event = { namespace: 'NIST-AAL', current_level: 'nist-aal1' };

  test('says the level of a user, whatever was before', () => {
    expect(effects(caep('assurance-level-change'), event)).toEqual([
      {
        effect: 'attributes',
        at: START,
        source: 'idp-events',
        reason: 'assurance-level-change',
        subject: USER,
        attributes: { assurance_namespace: 'NIST-AAL', assurance_level: 'nist-aal1' },
        loosens: true,
      },
    ]);
  });

  test('of one session changes the user only where it falls', () => {
    const subject = complex({ user: ALICE, session: SID });
    const falls = { ...event, change_direction: 'decrease' };
    expect(effects(caep('assurance-level-change'), falls, subject)).toMatchObject([{ subject: USER }]);
    for (const change of [{}, { change_direction: 'increase' }])
      expect(happens(caep('assurance-level-change'), { ...event, ...change }, subject)).toMatchObject({
        outcome: 'discarded',
      });
  });

  test.each([
    [{ current_level: 'x' }],
    [{ namespace: 'NIST-AAL' }],
    [{ ...event, previous_level: 1 }],
    [{ ...event, change_direction: 'sideways' }],
  ])('of %j is refused', (bad) => {
    expect(happens(caep('assurance-level-change'), bad)).toMatchObject({
      problem: { err: 'invalid_request' },
    });
  });
});

describe('device-compliance-change', () => {
  test.each([
    ['not-compliant', false],
    ['compliant', true],
  ])('to %s is what is known of the device from then on', (status, compliant) => {
    const subject = complex({ device: LAPTOP, tenant: { format: 'opaque', id: 't-1' } });
    for (const about of [subject, LAPTOP])
      expect(effects(caep('device-compliance-change'), { current_status: status }, about)).toEqual([
        {
          effect: 'attributes',
          at: START,
          source: 'idp-events',
          reason: 'device-compliance-change',
          subject: DEVICE,
          attributes: { compliant },
          ...(compliant && { loosens: true }),
        },
      ]);
  });

  test('of a device somewhere that is not understood counts only where it restricts', () => {
    const subject = complex({ device: LAPTOP, group: GROUP });
    const to = (status: string) =>
      happens(caep('device-compliance-change'), { current_status: status }, subject);
    expect(to('not-compliant')).toMatchObject({ outcome: 'effects', ignored: ['group'] });
    expect(to('compliant')).toMatchObject({ outcome: 'discarded' });
  });

  test('without a device is discarded', () => {
    const event = { current_status: 'not-compliant' };
    expect(happens(caep('device-compliance-change'), event, complex({ user: ALICE }))).toMatchObject({
      outcome: 'discarded',
    });
  });

  test.each([[{}], [{ current_status: 'fine' }], [{ current_status: 'compliant', previous_status: 'fine' }]])(
    'of %j is refused',
    (event) => {
      expect(happens(caep('device-compliance-change'), event, LAPTOP)).toMatchObject({
        problem: { err: 'invalid_request' },
      });
    },
  );
});

describe('risk-level-change', () => {
  const to = (
    level: string,
    principal: string,
    subject: object,
    more: object = {},
    changes: StreamChanges = {},
  ) => happens(caep('risk-level-change'), { current_level: level, principal, ...more }, subject, changes);

  test('is what is known of a user or a device', () => {
    expect(to('HIGH', 'USER', ALICE)).toMatchObject({
      effects: [{ effect: 'attributes', subject: USER, attributes: { risk: 'high' } }],
    });
    expect(to('MEDIUM', 'DEVICE', LAPTOP)).toMatchObject({
      effects: [{ effect: 'attributes', subject: DEVICE, attributes: { risk: 'medium' } }],
    });
  });

  test('of a session that is high makes it void, of a tenant where that is chosen', () => {
    expect(to('HIGH', 'SESSION', SID)).toMatchObject({
      effects: [{ effect: 'void_before', subjects: [SESSION] }],
    });
    expect(to('MEDIUM', 'SESSION', SID)).toMatchObject({ outcome: 'no_effect' });
    expect(to('HIGH', 'TENANT', { format: 'opaque', id: 't-1' })).toMatchObject({ outcome: 'no_effect' });
    const choices = { credentialChangeVoids: true, highRiskVoids: ['tenant'] as const };
    expect(to('HIGH', 'TENANT', { format: 'opaque', id: 't-1' }, {}, { choices })).toMatchObject({
      effects: [{ effect: 'void_before', subjects: [TENANT] }],
    });
    expect(to('HIGH', 'ORG_UNIT', ALICE)).toMatchObject({ outcome: 'no_effect' });
  });

  test('of less than a user counts where it rises: what was before and is not said may have been anything', () => {
    const subject = complex({ user: ALICE, session: SID });
    expect(to('HIGH', 'USER', subject)).toMatchObject({ outcome: 'effects' });
    expect(to('MEDIUM', 'USER', subject, { previous_level: 'LOW' })).toMatchObject({ outcome: 'effects' });
    expect(to('MEDIUM', 'USER', subject)).toMatchObject({ outcome: 'discarded' });
    expect(to('MEDIUM', 'USER', subject, { previous_level: 'HIGH' })).toMatchObject({ outcome: 'discarded' });
  });

  test.each([
    [{ current_level: 'HIGH' }],
    [{ principal: 'USER' }],
    [{ principal: 'USER', current_level: 'high' }],
    [{ principal: 'USER', current_level: 'HIGH', previous_level: 'NONE' }],
  ])('of %j is refused', (event) => {
    expect(happens(caep('risk-level-change'), event)).toMatchObject({ problem: { err: 'invalid_request' } });
  });
});

describe('an event about an account', () => {
  test.each([
    ['account-disabled', 'shut_off'],
    ['account-purged', 'shut_off'],
    ['account-enabled', 'restore'],
    ['account-credential-change-required', 'void_before'],
    ['identifier-changed', 'void_before'],
    ['identifier-recycled', 'void_before'],
    ['sessions-revoked', 'void_before'],
  ])('%s comes to %s', (name, effect) => {
    for (const [subject, ref] of [
      [ALICE, USER],
      [EMAIL, ADDRESS],
    ])
      expect(effects(risc(name), {}, subject)).toEqual([
        { effect, at: START, source: 'idp-events', reason: name, subjects: [ref] },
      ]);
  });

  test('credential-compromise makes void what was issued before', () => {
    const event = { credential_type: 'password' };
    expect(effects(risc('credential-compromise'), event)).toMatchObject([{ effect: 'void_before' }]);
    expect(happens(risc('credential-compromise'), {})).toMatchObject({ problem: { err: 'invalid_request' } });
  });

  test.each([
    'opt-in',
    'opt-out-initiated',
    'opt-out-cancelled',
    'opt-out-effective',
    'recovery-activated',
    'recovery-information-changed',
  ])('%s has no effect', (name) => {
    expect(happens(risc(name), {})).toMatchObject({ outcome: 'no_effect' });
  });

  test('never restores more than it names', () => {
    const subject = complex({ user: ALICE, group: GROUP });
    expect(happens(risc('account-enabled'), {}, subject)).toMatchObject({ outcome: 'discarded' });
    expect(happens(risc('account-disabled'), {}, subject)).toMatchObject({ outcome: 'effects' });
  });
});

describe('a type of event', () => {
  test.each(['session-established', 'session-presented'])('%s has no effect', (name) => {
    expect(happens(caep(name), {})).toMatchObject({ outcome: 'no_effect' });
  });

  test.each([caep('toString'), caep(''), caep('session-revoked/x'), 'urn:x', '__proto__x'])(
    'that is not known, as %s, is no error',
    (type) => {
      expect(happens(type, {})).toEqual({ outcome: 'unknown_event' });
    },
  );

  test('that the stream may not send is refused', () => {
    const allowed = new Set([caep('device-compliance-change')]);
    expect(happens(risc('account-disabled'), {}, ALICE, { allowed })).toMatchObject({
      problem: { err: 'access_denied' },
    });
    expect(happens('urn:x', {}, ALICE, { allowed })).toEqual({ outcome: 'unknown_event' });
  });

  test('about nobody of ours is discarded, and about what is no subject refused', () => {
    const nobody = { ...ALICE, iss: 'https://other.example.com' };
    expect(happens(caep('session-revoked'), {}, nobody)).toMatchObject({ outcome: 'discarded' });
    expect(happens(caep('session-revoked'), {}, { format: 'iss_sub' })).toMatchObject({
      problem: { err: 'invalid_request' },
    });
    expect(happens(risc('opt-in'), {}, { format: 'iss_sub' })).toMatchObject({
      problem: { err: 'invalid_request' },
    });
  });

  test('has a URI of its own, and there are 22 that are known', () => {
    expect(new Set(EVENT_TYPES).size).toBe(EVENT_TYPES.length);
    expect(EVENT_TYPES).toHaveLength(22);
  });
});
