import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SubjectRef } from '../../../../src/pdp/subject-key.ts';
import { SharedRevocations } from '../../../../src/pip/revocation/revocations.ts';
import { openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { START, manualClock, memoryLog } from '../fixture.ts';
import { START_S, WHOLE, type Who, questionOf, ref, restore, setUp, shutOff, voidBefore } from './fixture.ts';

const WEB = 'spiffe://prod.example.com/ns/shop/sa/web';
const CART = 'spiffe://prod.example.com/ns/shop/sa/cart';
const ALICE = ref('user', 'idp/alice');
const LAPTOP = ref('device', 'mdm/laptop');

const BY_TOKEN: readonly SubjectRef[] = [
  ALICE,
  ref('email', 'idp/alice@example.com'),
  ref('session', 'idp/s1'),
  ref('token', 'idp/t1'),
  ref('tenant', 'idp/acme'),
];

describe('where nothing is revoked', () => {
  test('nobody is refused, and identities are left as they are', async () => {
    const { revocations, reason } = await setUp();
    expect(reason({ token: WHOLE, device: {}, source: WEB })).toBeUndefined();
    const { identities } = questionOf({ token: WHOLE });
    expect(revocations.revised(identities)).toBe(identities);
  });
});

describe.each(BY_TOKEN)('$kind $id', (subject) => {
  test('revoked: tokens that were issued before are refused, later ones are not', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([subject], START + 500));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    // `iat` has whole seconds: one of the same second may be older.
    expect(reason({ token: { ...WHOLE, issuedAt: START_S } })).toBe('token_revoked');
    expect(reason({ token: { ...WHOLE, issuedAt: START_S + 1 } })).toBeUndefined();
  });

  test('revoked: a token that does not say when it was issued counts as older', async () => {
    const { apply, revocations } = await setUp();
    await apply(voidBefore([subject]));
    const { user, ...others } = questionOf({ token: WHOLE }).identities;
    const { issuedAt: _unsaid, ...token } = { ...user?.token } as NonNullable<typeof user>['token'];
    const identities = { ...others, user: { id: 'idp/alice', token } };
    expect(revocations.refusal({ ...questionOf({ token: WHOLE }), identities })).toMatchObject({
      refusal: 'token_revoked',
    });
  });

  test('shut off: every token is refused, with who said so, when and why', async () => {
    const { apply, reason, detail } = await setUp();
    await apply(shutOff([subject], START, { reason: 'stolen laptop' }));
    const later = { token: { ...WHOLE, issuedAt: START_S + 100 } };
    expect(reason(later)).toBe('token_revoked');
    expect(detail(later)).toBe(
      `${subject.kind} ${subject.id}: shut off since 2026-11-22T12:00:00.000Z, by okta (stolen laptop)`,
    );
  });

  test('somebody else goes on', async () => {
    const { apply, reason } = await setUp();
    await apply(shutOff([subject]));
    const other = { subject: 'bob', email: 'b@c', sessionId: 's2', tokenId: 't2', tenantId: 'other' };
    expect(reason({ token: other })).toBeUndefined();
    expect(reason({ token: { ...WHOLE, issuer: 'elsewhere', subject: 'bob' } })).toBeUndefined();
    expect(reason({ source: WEB })).toBeUndefined();
  });
});

describe('devices', () => {
  test('revoked: what proved them before is void', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([LAPTOP]));
    expect(reason({ device: { issuedAt: START - 1000 } })).toBe('identity_revoked');
    expect(reason({ device: { issuedAt: START + 999 } })).toBe('identity_revoked');
    expect(reason({ device: { issuedAt: START + 1000 } })).toBeUndefined();
    expect(reason({ device: { observedAt: START + 1000 } })).toBeUndefined();
    expect(reason({ device: {} })).toBe('identity_revoked');
    expect(reason({ device: { id: 'mdm/phone' } })).toBeUndefined();
  });

  test('revoked: a token of before that names them is void, whatever proves them now', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([LAPTOP]));
    const device = { issuedAt: START + 1000 };
    const token = { deviceId: 'mdm/laptop' };
    expect(reason({ device, token })).toBe('identity_revoked');
    expect(reason({ device, token: { ...token, issuedAt: START_S + 1 } })).toBeUndefined();
    expect(reason({ device, token: {} })).toBeUndefined();
  });

  test('shut off: refused, whoever uses them', async () => {
    const { apply, revocations } = await setUp();
    await apply(shutOff([LAPTOP]));
    const refusal = revocations.refusal(questionOf({ device: { issuedAt: START + 5000 }, token: WHOLE }));
    expect(refusal).toMatchObject({
      refusal: 'identity_revoked',
      cause: 'revoked',
      refused: { kind: 'device' },
    });
  });
});

describe('workloads', () => {
  test.each<[string, Who]>([
    ['the source', { source: WEB }],
    ['the origin', { source: CART, origin: WEB }],
    ['the enforcement point', { source: CART, pep: WEB }],
  ])('shut off: %s is refused', async (_who, who) => {
    const { apply, revocations, reason } = await setUp();
    await apply(shutOff([ref('workload', WEB)]));
    const refusal = revocations.refusal(questionOf(who));
    expect(refusal).toMatchObject({ refusal: 'identity_revoked', refused: { kind: 'workload' } });
    expect(reason({ source: CART, token: WHOLE })).toBeUndefined();
  });

  test('hold no token that could be void: they are shut off instead', async () => {
    const { apply, reason, revocations } = await setUp();
    await apply(voidBefore([ref('workload', WEB)]));
    expect(reason({ source: WEB })).toBe('identity_revoked');
    expect(revocations.list()).toMatchObject([{ effect: 'off' }]);
  });
});

test('who acts for a user is looked at as the user is', async () => {
  const { apply, reason } = await setUp();
  await apply(shutOff([ref('user', 'idp/agent')]));
  expect(reason({ token: { ...WHOLE, actors: ['idp/agent'] } })).toBe('token_revoked');
});

describe('an application that a token of its own has proven', () => {
  const APP: Who = {
    application: { subject: 'shop-app', tokenId: 't-1' },
    asserted: { type: 'ZeroTrust::User', id: 'idp/alice' },
  };

  test.each([ref('user', 'idp/shop-app'), ref('token', 'idp/t-1')])(
    'asks nothing any more once it is shut off, or its token void: $kind',
    async (subject) => {
      for (const effect of [shutOff([subject]), voidBefore([subject])]) {
        const { apply, reason } = await setUp();
        expect(reason(APP)).toBeUndefined();
        await apply(effect);
        expect(reason(APP)).toBe('identity_revoked');
      }
    },
  );

  test('asks on with a token that was issued after the older ones became void', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([ref('user', 'idp/shop-app')]));
    expect(reason({ ...APP, application: { subject: 'shop-app', issuedAt: START_S + 60 } })).toBeUndefined();
  });
});

describe('a subject that the caller only names', () => {
  const asserted = (type: string, id: string): Who => ({
    pep: CART,
    asserted: { type: `ZeroTrust::${type}`, id },
  });

  test.each<[SubjectRef, Who]>([
    [ALICE, asserted('User', 'idp/alice')],
    [LAPTOP, asserted('Device', 'mdm/laptop')],
    [ref('workload', WEB), asserted('Workload', WEB)],
  ])('is refused where it is shut off: $kind', async (subject, who) => {
    const { apply, revocations } = await setUp();
    await apply(shutOff([subject]));
    expect(revocations.refusal(questionOf(who))).toMatchObject({
      refusal: 'identity_revoked',
      refused: { kind: 'asserted' },
    });
  });

  test('is refused also by a name of the application, which information points know as that of a user', async () => {
    const { apply, reason, revocations } = await setUp();
    const doctor = { type: 'Clinic::Doctor', id: 'idp/alice' };
    expect(reason({ asserted: { ...doctor, subjects: ['user'] } })).toBeUndefined();
    await apply(shutOff([ALICE]));
    expect(revocations.refusal(questionOf({ asserted: { ...doctor, subjects: ['user'] } }))).toMatchObject({
      refusal: 'identity_revoked',
      refused: { kind: 'asserted' },
    });
    expect(reason({ asserted: { ...doctor, subjects: ['device', 'patient'] } })).toBeUndefined();
    expect(reason({ asserted: doctor })).toBeUndefined();
  });

  test('has no token that could be void, and other types are nobody', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([ALICE]));
    expect(reason(asserted('User', 'idp/alice'))).toBeUndefined();
    await apply(shutOff([ALICE]));
    expect(reason(asserted('Group', 'idp/alice'))).toBeUndefined();
    expect(reason(asserted('User', 'idp/bob'))).toBeUndefined();
  });
});

describe('several subjects together', () => {
  const SESSION = ref('session', 'idp/s1');

  test.each<[string, readonly SubjectRef[], Who, boolean]>([
    ['all of them', [ALICE, LAPTOP], { token: WHOLE, device: {} }, true],
    ['another device', [ALICE, LAPTOP], { token: WHOLE, device: { id: 'mdm/phone' } }, false],
    ['a device that is not known', [ALICE, LAPTOP], { token: WHOLE }, true],
    ['the device alone', [ALICE, LAPTOP], { device: {} }, false],
    ['a session that the token does not name', [ALICE, SESSION], { token: {} }, true],
    ['another session', [ALICE, SESSION], { token: { sessionId: 's2' } }, false],
    ['a session of somebody else', [ALICE, SESSION], { token: { subject: 'bob', sessionId: 's1' } }, false],
    ['another tenant', [ALICE, ref('tenant', 'idp/acme')], { token: { tenantId: 'other' } }, false],
    ['a tenant that the token does not name', [ALICE, ref('tenant', 'idp/acme')], { token: {} }, true],
    ['a device without a tenant', [LAPTOP, ref('tenant', 'idp/acme')], { device: {} }, false],
    ['a device with its tenant', [LAPTOP, ref('tenant', 'idp/acme')], { device: {}, token: WHOLE }, true],
    ['another workload', [ALICE, ref('workload', WEB)], { token: WHOLE, source: CART }, false],
    ['the workload too', [ALICE, ref('workload', WEB)], { token: WHOLE, source: WEB }, true],
  ])('%s', async (_what, subjects, who, refused) => {
    const { apply, revocations } = await setUp();
    await apply(shutOff(subjects));
    expect(revocations.refusal(questionOf(who)) !== undefined).toBe(refused);
  });

  test('a device and a user: it is the token that has to be new', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([LAPTOP, ALICE]));
    expect(reason({ token: WHOLE, device: { issuedAt: START + 5000 } })).toBe('token_revoked');
    expect(reason({ token: { ...WHOLE, issuedAt: START_S + 5 }, device: {} })).toBeUndefined();
  });
});

describe('over time', () => {
  test('the newest epoch counts, in whatever order they come', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([ALICE], START + 3000), voidBefore([ALICE], START - 60_000));
    expect(reason({ token: { ...WHOLE, issuedAt: START_S + 3 } })).toBe('token_revoked');
    expect(reason({ token: { ...WHOLE, issuedAt: START_S + 4 } })).toBeUndefined();
  });

  test('a shut-off ends at its time, or when it is lifted, and an older word changes nothing', async () => {
    const { apply, reason, clock } = await setUp();
    const who = { token: { ...WHOLE, issuedAt: START_S } };
    await apply(shutOff([ALICE], START, { until: START + 1000 }));
    clock.advance(999);
    expect(reason(who)).toBe('token_revoked');
    clock.advance(1);
    expect(reason(who)).toBeUndefined();
    await apply(shutOff([ALICE], START + 2000), restore([ALICE], START + 1500));
    expect(reason(who)).toBe('token_revoked');
    await apply(restore([ALICE], START + 2001));
    expect(reason(who)).toBeUndefined();
    await apply(shutOff([ALICE], START + 2000));
    expect(reason(who)).toBeUndefined();
  });

  test('of two that happened at once the restrictive one counts', async () => {
    const { apply, reason } = await setUp();
    await apply(shutOff([ALICE]), restore([ALICE]));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    const other = await setUp();
    await other.apply(restore([ALICE]));
    await other.apply(shutOff([ALICE]));
    expect(other.reason({ token: WHOLE })).toBe('token_revoked');
  });

  test('what was void stays void when a shut-off ends', async () => {
    const { apply, reason } = await setUp();
    await apply(voidBefore([ALICE]), shutOff([ALICE]), restore([ALICE], START + 1));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    expect(reason({ token: { ...WHOLE, issuedAt: START_S + 1 } })).toBeUndefined();
  });

  test('an epoch is forgotten when no token can be older', async () => {
    const { apply, reason, clock, revocations } = await setUp();
    await apply(voidBefore([ALICE]));
    clock.advance(3_599_999);
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    clock.advance(1);
    expect(reason({ token: WHOLE })).toBeUndefined();
    expect(revocations.list()).toEqual([]);
    // What has ended is dropped when something else comes.
    await apply(shutOff([LAPTOP], START + 3_600_000));
    expect(revocations.countByKind().get('device')).toBe(1);
    expect(revocations.countByKind().get('user')).toBe(0);
  });

  test('what a clock far ahead says counts from a minute ahead, so that it can be followed by something', async () => {
    const { apply, reason, clock, revocations } = await setUp();
    await apply(shutOff([ALICE], START + 86_400_000));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    expect(revocations.list()[0]?.at).toBe(START + 60_000);
    clock.advance(60_001);
    await apply(restore([ALICE], START + 60_001));
    expect(reason({ token: WHOLE })).toBeUndefined();
  });

  test('an administrator undoes what an event did, and not the other way round', async () => {
    const { apply, reason } = await setUp();
    const admin = { source: 'admin' };
    await apply(shutOff([ALICE], START, admin), restore([ALICE], START + 10));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    await apply(restore([ALICE], START + 20, admin));
    expect(reason({ token: WHOLE })).toBeUndefined();
    await apply(shutOff([ALICE], START + 30));
    await apply(restore([ALICE], START + 40, admin));
    expect(reason({ token: WHOLE })).toBeUndefined();
  });

  test('an event stream does not lift what another has shut off, an administrator lifts both', async () => {
    const { apply, reason, revocations } = await setUp();
    await apply(shutOff([ALICE], START, { source: 'okta' }), shutOff([ALICE], START, { source: 'entra' }));
    await apply(restore([ALICE], START + 10, { source: 'entra' }));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    expect(revocations.list()).toMatchObject([{ source: 'okta' }]);
    await apply(
      shutOff([ALICE], START + 20, { source: 'entra' }),
      shutOff([ALICE], START, { source: 'admin' }),
    );
    expect(revocations.changedAt([ALICE])).toBe(START + 20);
    await apply(restore([ALICE], START + 30, { source: 'admin' }));
    expect(reason({ token: WHOLE })).toBeUndefined();
    await apply(shutOff([ALICE], START, { source: 'okta' }));
    expect(reason({ token: WHOLE })).toBeUndefined();
  });

  test('in whatever order, and however often, the same effects leave the same in force', async () => {
    // An administrator ends what is known then: that alone depends on what came before.
    const by = (...sources: readonly string[]) =>
      fc.array(
        fc.record({
          at: fc.integer({ min: 0, max: 5 }),
          what: fc.constantFrom(voidBefore, shutOff, restore),
          who: fc.constantFrom([ALICE], [LAPTOP], [ALICE, LAPTOP]),
          source: fc.constantFrom(...sources),
        }),
        { maxLength: 8 },
      );
    await fc.assert(
      fc.asyncProperty(fc.oneof(by('okta', 'entra'), by('admin')), fc.integer(), async (list, seed) => {
        const effects = list.map(({ at, what, who, source }) => what(who, START + at, { source }));
        const [one, other] = [await setUp(), await setUp()];
        for (const each of effects) await one.apply(each);
        const mixed = [...effects, ...effects].sort((a, b) => ((a.at * seed) % 7) - ((b.at * seed) % 7));
        for (const each of mixed) await other.apply(each);
        expect(other.revocations.list()).toEqual(one.revocations.list());
      }),
      { numRuns: 60 },
    );
  });
});

describe('the shared state', () => {
  test('another process that opens later sees the same, and both hear of what comes', async () => {
    const { apply, settings, reason } = await setUp();
    await apply(shutOff([ALICE]));
    const lags: number[] = [];
    using other = new SharedRevocations({ ...settings, onTaken: (ms) => lags.push(ms) });
    expect(other.refusal(questionOf({ token: WHOLE }))?.refusal).toBe('token_revoked');
    await other.apply([shutOff([LAPTOP], START - 1500)]);
    expect(reason({ device: {} })).toBe('identity_revoked');
    expect(lags).toEqual([1500]);
  });

  test('entries of others are none of its business, and one that it cannot read is told', async () => {
    const { shared, revocations, log } = await setUp();
    const entry = { rank: 0, at: START, value: { off: true } };
    await shared.put([{ ...entry, key: 'grant|x' }]);
    expect(log.entries).toEqual([]);
    await shared.put([{ ...entry, key: 'off|user:1:a' }]);
    await shared.put([
      { ...entry, key: 'off|alien:1:a', value: { off: true, subjects: [{ kind: 'alien', id: 'a' }] } },
    ]);
    expect(log.entries.map(({ level }) => level)).toEqual(['error', 'error']);
    expect(revocations.list()).toEqual([]);
  });

  test('a shut-off whose value is not quite what it should be is in force', async () => {
    const { shared, reason } = await setUp();
    await shared.put([
      {
        key: 'off|x',
        rank: 0,
        at: START,
        value: { off: 'yes', subjects: [{ kind: 'user', id: 'idp/alice' }] },
      },
    ]);
    expect(reason({ token: WHOLE })).toBe('token_revoked');
  });

  test('names that are longer than a key may be are kept apart', async () => {
    const { apply, reason } = await setUp();
    const long = (end: string) => `spiffe://prod.example.com/${'x'.repeat(1200)}/${end}`;
    await apply(shutOff([ref('workload', long('a'))]));
    expect(reason({ source: long('a') })).toBe('identity_revoked');
    expect(reason({ source: long('b') })).toBeUndefined();
    await apply(restore([ref('workload', long('a'))], START + 1));
    expect(reason({ source: long('a') })).toBeUndefined();
  });

  test('listeners hear of each subject that something is said about, until they leave', async () => {
    const { apply, revocations } = await setUp();
    const heard: SubjectRef[] = [];
    const listening = revocations.onSubject((subject) => heard.push(subject));
    await apply(shutOff([ALICE, LAPTOP]));
    listening[Symbol.dispose]();
    await apply(shutOff([LAPTOP]));
    expect(heard).toEqual([ALICE, LAPTOP]);
  });

  test('where it is all but full takes what takes access away, and nothing else', async () => {
    const clock = manualClock();
    const shared = await openEmbeddedState({ clock, log: memoryLog(), maxEntries: 20, timeoutMs: 1000 });
    const { apply, reason } = await setUp({ shared });
    await shared.put(
      Array.from({ length: 18 }, (_, index) => ({ key: `seen|${index}`, rank: 0, at: START, value: true })),
    );
    const about = { at: START, source: 'mdm', effect: 'attributes' } as const;
    const subject = { kind: 'device', id: LAPTOP.id } as const;
    await expect(apply(restore([ALICE]))).rejects.toThrow(/a tenth/);
    await expect(
      apply({ ...about, subject, attributes: { compliant: true }, loosens: true }),
    ).rejects.toThrow(/a tenth/);
    await apply({ ...about, subject, attributes: { compliant: false } });
    await apply(shutOff([ALICE]));
    expect(reason({ token: WHOLE })).toBe('token_revoked');
  });

  test('a put that fails is told to who applies', async () => {
    const { shared, settings } = await setUp();
    const broken = { ...shared, put: () => Promise.reject(new Error('down')) };
    using revocations = new SharedRevocations({ ...settings, shared: broken });
    await expect(revocations.apply([shutOff([ALICE])])).rejects.toThrow('down');
    await revocations.apply([]);
  });
});

describe('a state that we may have missed changes of', () => {
  test('is not current after max_lag_ms', async () => {
    const { revocations, setLag } = await setUp();
    setLag(5000);
    expect(revocations.isCurrent()).toBe(true);
    setLag(5001);
    expect(revocations.isCurrent()).toBe(false);
  });

  test('denies every check after deny_after_ms, and what is known goes before that', async () => {
    const { apply, revocations, reason, setLag } = await setUp();
    await apply(shutOff([ALICE]));
    setLag(60_000);
    expect(reason({ source: WEB })).toBeUndefined();
    setLag(61_500);
    const refusal = revocations.refusal(questionOf({ source: WEB }));
    expect(refusal).toMatchObject({
      refusal: 'state_unavailable',
      detail: 'revocations may have been missed for 61 s',
    });
    expect(reason({ token: WHOLE })).toBe('token_revoked');
    setLag(0);
    expect(reason({ source: WEB })).toBeUndefined();
  });

  test.each([60_000, undefined])(
    'denies every check that never read any, whatever was chosen: %s',
    async (denyAfterMs) => {
      const { reason, detail, revocations, setLag } = await setUp({ denyAfterMs });
      setLag(Number.POSITIVE_INFINITY);
      expect(revocations.isCurrent()).toBe(false);
      expect(reason({ source: WEB })).toBe('state_unavailable');
      expect(detail({ source: WEB })).toBe('revocations were never read since the start');
    },
  );

  test('goes on with what is known where that was chosen', async () => {
    const { apply, reason, setLag } = await setUp({ denyAfterMs: undefined });
    await apply(shutOff([ALICE]));
    setLag(86_400_000);
    expect(reason({ source: WEB })).toBeUndefined();
    expect(reason({ token: WHOLE })).toBe('token_revoked');
  });
});

test('rules of this process alone are in force beside those of all, and are replaced as a whole', async () => {
  const { revocations, reason, clock } = await setUp();
  const rule = {
    key: 'file|1',
    effect: 'off',
    subjects: [ALICE],
    at: START,
    endsAt: START + 10,
    source: 'file',
  } as const;
  revocations.setLocal([rule]);
  expect(reason({ token: WHOLE })).toBe('token_revoked');
  expect(revocations.list()).toEqual([rule]);
  clock.advance(10);
  expect(reason({ token: WHOLE })).toBeUndefined();
  revocations.setLocal([{ ...rule, subjects: [LAPTOP], endsAt: Number.POSITIVE_INFINITY }]);
  expect(reason({ device: {} })).toBe('identity_revoked');
  revocations.setLocal([]);
  expect(reason({ device: {} })).toBeUndefined();
});

test('what each rule has refused is counted here, and whether a subject by itself is shut off can be asked', async () => {
  const { apply, clock, reason, revocations } = await setUp();
  await apply(shutOff([ALICE]), shutOff([LAPTOP, ref('user', 'idp/bob')]));
  const effects = () => revocations.list().map((rule) => revocations.effectOf(rule));
  expect(effects()).toEqual([undefined, undefined]);
  reason({ token: WHOLE });
  clock.advance(5000);
  reason({ token: WHOLE });
  reason({ token: { subject: 'carol' } });
  expect(effects().filter(Boolean)).toEqual([{ refused: 2, lastAt: START + 5000 }]);
  expect(revocations.isShutOff(ALICE)).toBe(true);
  expect(revocations.isShutOff(LAPTOP)).toBe(false);
});

test('an end beyond the end of time is told, and refuses like any other', async () => {
  const { shared, detail } = await setUp();
  const value = { off: true, source: 'okta', subjects: [{ ...ALICE }], until: Number.MAX_SAFE_INTEGER };
  await shared.put([{ key: 'off|okta|x', rank: 0, at: START, value }]);
  expect(detail({ token: WHOLE })).toContain('until +275760-09-13T00:00:00.000Z');
});
