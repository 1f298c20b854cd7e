import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { GrantScope, GrantWish } from '../../../../src/pdp/grant.ts';
import { START } from '../fixture.ts';
import {
  HOUR_MS,
  KIM,
  LEE,
  MAX,
  SCOPES,
  actor,
  approvedGrant,
  granted,
  openReplica,
  settableClock,
  wish,
} from './fixture.ts';

const NONE = { grants: [], breakGlass: [] };

test('a grant can be ended where a full state takes no requests any more', async () => {
  await using replica = await openReplica({ maxEntries: 20 });
  const { id } = await approvedGrant(replica);
  const seen = Array.from({ length: 18 - replica.entries.length }, (_, index) => index);
  await replica.state.put(seen.map((index) => ({ key: `seen|${index}`, rank: 0, at: START, value: true })));
  await expect(replica.book.request(KIM, wish())).rejects.toThrow(/max_entries: 20, a tenth/);
  expect(await granted(replica.book.revoke(KIM, id))).toMatchObject({ state: 'revoked' });
  expect(replica.facts()).toEqual(NONE);
});

describe('asking for a grant', () => {
  test('gives nothing before somebody has approved', async () => {
    await using replica = await openReplica();
    const grant = await granted(replica.book.request(KIM, wish({ ticket: 'INC-1207' })));
    expect(grant).toMatchObject({
      user: 'staff/kim',
      scope: 'orders',
      state: 'requested',
      justification: 'INC-1207: stuck orders',
      ticket: 'INC-1207',
      requestedAt: START,
      durationMs: HOUR_MS,
      approvals: [],
    });
    expect(grant.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(replica.facts()).toEqual(NONE);
  });

  test.each<[string, Partial<GrantWish>, string]>([
    [
      'a justification that nobody sees',
      { justification: '\u200b'.repeat(20) },
      'a justification of at least 10 characters is needed',
    ],
    [
      'a justification without a word',
      { justification: '. . . . . . \u2800' },
      'a justification of at least 10 characters is needed',
    ],
    ['no justification', { justification: '' }, 'a justification of at least 10 characters is needed'],
    [
      'one of blanks',
      { justification: ' '.repeat(20) },
      'a justification of at least 10 characters is needed',
    ],
    [
      'one that is too short',
      { justification: 'because' },
      'a justification of at least 10 characters is needed',
    ],
    [
      'one that is too long',
      { justification: 'x'.repeat(1001) },
      'the justification is longer than 1000 characters',
    ],
    [
      'one with a line break',
      { justification: 'stuck orders\nand more' },
      'the justification holds a line break or another control character',
    ],
    [
      'one with an escape',
      { justification: 'stuck orders \u001b[2J' },
      'the justification holds a line break or another control character',
    ],
    [
      'one that turns the writing around',
      { justification: 'stuck orders \u202Eabc' },
      'the justification holds a line break or another control character',
    ],
    ['one that is not Unicode', { justification: 'stuck orders \uD800' }, 'the justification is not Unicode'],
    ['an empty ticket', { ticket: ' ' }, 'the ticket is empty'],
    ['a ticket that is too long', { ticket: 'x'.repeat(101) }, 'the ticket is longer than 100 characters'],
    [
      'a ticket with a control character',
      { ticket: 'INC\u0007' },
      'the ticket holds a line break or another control character',
    ],
    ['a scope that there is not', { scope: 'payroll' }, "there is no scope 'payroll'"],
    ['a scope that an object has by itself', { scope: 'constructor' }, "there is no scope 'constructor'"],
    ['no time', { durationS: 0 }, 'the duration must be at least one second, in whole seconds'],
    ['a time that is over', { durationS: -60 }, 'the duration must be at least one second, in whole seconds'],
    ['half a second', { durationS: 0.5 }, 'the duration must be at least one second, in whole seconds'],
    ['no number', { durationS: NaN }, 'the duration must be at least one second, in whole seconds'],
    [
      'a second too long',
      { durationS: 28_801 },
      "28801 s is longer than a grant for 'orders' may be: 28800 s",
    ],
    [
      'for ever',
      { durationS: Number.MAX_SAFE_INTEGER },
      `${Number.MAX_SAFE_INTEGER} s is longer than a grant for 'orders' may be: 28800 s`,
    ],
    [
      'breaking glass for too long',
      { breakGlass: true, durationS: 3601 },
      "3601 s is longer than breaking glass for 'orders' may be: 3600 s",
    ],
    [
      'breaking glass without a justification',
      { breakGlass: true, justification: '' },
      'a justification of at least 10 characters is needed',
    ],
  ])('is refused, and changes nothing, with %s', async (_what, more, detail) => {
    await using replica = await openReplica();
    expect(await replica.book.request(KIM, wish(more))).toEqual({ refused: 'invalid', detail });
    expect(replica.recorded).toEqual([]);
    expect(replica.entries).toEqual([]);
  });

  test('takes the longest that is allowed, and characters beyond the basic plane as one each', async () => {
    await using replica = await openReplica();
    const justification = '𐐷'.repeat(1000);
    const grant = await granted(replica.book.request(KIM, wish({ durationS: 28_800, justification })));
    expect(grant.justification).toBe(justification);
  });

  test('is refused to a user whose name is too long to keep', async () => {
    await using replica = await openReplica();
    const answer = await replica.book.request(actor(`staff/${'x'.repeat(512)}`), wish());
    expect(answer).toMatchObject({ refused: 'invalid' });
  });

  test.each([
    ['a user of another issuer', actor('customers/kim')],
    ['a user whose name looks like another issuer', actor('customers/staff/kim')],
    ['a user of another issuer with a group of that name', actor('customers/kim', ['customers/on-call'])],
  ])('is refused, breaking glass included, to %s', async (_who, by) => {
    await using replica = await openReplica();
    for (const breakGlass of [false, true])
      expect(await replica.book.request(by, wish({ breakGlass }))).toEqual({
        refused: 'not_allowed',
        detail: "not one of those who may ask for 'orders'",
      });
    expect(replica.entries).toEqual([]);
  });

  test.each([
    ['a user of the issuer', KIM],
    ['a user by name', actor('partner/kim')],
    ['a member of a group', actor('customers/kim', ['on-call'])],
  ])('is for %s', async (_who, by) => {
    await using replica = await openReplica();
    expect(await replica.book.request(by, wish())).toMatchObject({ state: 'requested' });
  });

  test('keeps the grants of users apart whose names look like keys', async () => {
    await using replica = await openReplica();
    const odd = actor('staff/kim|user:9:staff/lee');
    const { id } = await granted(replica.book.request(odd, wish()));
    await granted(replica.book.approve(LEE, id));
    expect(replica.facts(odd.id).grants).toEqual(['orders']);
    expect(replica.facts('staff/kim')).toEqual(NONE);
    expect(replica.facts('staff/lee')).toEqual(NONE);
  });

  test('is bounded for one user: requests that wait, and requests in a day', async () => {
    await using replica = await openReplica({ limits: { maxOpen: 2, maxPerDay: 3 } });
    const { book, clock } = replica;
    const { id } = await granted(book.request(KIM, wish()));
    await granted(book.request(KIM, wish()));
    expect(await book.request(KIM, wish())).toMatchObject({ refused: 'too_many' });
    await granted(book.revoke(KIM, id));
    await granted(book.request(KIM, wish()));
    const { id: third } = await granted(book.request(actor('staff/other'), wish()));
    expect(third).toBeDefined();
    expect(await book.request(KIM, wish())).toEqual({
      refused: 'too_many',
      detail: '3 requests in 24 hours are the most that one user may make',
    });
    clock.advance(24 * HOUR_MS);
    await granted(book.request(KIM, wish()));
  });

  test('keeps to its bounds also when everything is asked at once', async () => {
    await using replica = await openReplica({ limits: { maxOpen: 2 } });
    const answers = await Promise.all(Array.from({ length: 10 }, () => replica.book.request(KIM, wish())));
    expect(answers.filter((answer) => !('refused' in answer))).toHaveLength(2);
    const glass = await Promise.all(
      Array.from({ length: 10 }, () => replica.book.request(KIM, wish({ breakGlass: true }))),
    );
    expect(glass.filter((answer) => !('refused' in answer))).toHaveLength(1);
  });
});

describe('approving', () => {
  test('makes a grant live from that moment, for as long as was asked for', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    replica.clock.advance(10 * 60_000);
    const grant = await granted(replica.book.approve(LEE, id));
    const at = START + 10 * 60_000;
    expect(grant).toMatchObject({
      state: 'approved',
      grantedAt: at,
      expiresAt: at + HOUR_MS,
      approvals: [{ by: 'staff/lee', at }],
    });
    expect(replica.facts()).toEqual({ grants: ['orders'], breakGlass: [] });
    expect(replica.facts('staff/lee')).toEqual(NONE);
  });

  test('ends by itself, to the millisecond', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    replica.clock.advance(HOUR_MS - 1);
    expect(replica.facts().grants).toEqual(['orders']);
    replica.clock.advance(1);
    expect(replica.facts()).toEqual(NONE);
    expect(replica.book.list(KIM, { all: false }).grants).toMatchObject([{ state: 'ended' }]);
  });

  test('is for others: nobody approves, or denies, a request of their own', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(LEE, wish()));
    const refusal = { refused: 'not_allowed', detail: 'nobody decides on a request of their own' };
    expect(await replica.book.approve(LEE, id)).toEqual(refusal);
    expect(await replica.book.deny(LEE, id, 'no')).toEqual(refusal);
    expect(replica.facts('staff/lee')).toEqual(NONE);
  });

  test('is not for who asked, in the name of an approver either', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    const delegated = actor('staff/lee', [], ['staff/kim']);
    expect(await replica.book.approve(delegated, id)).toMatchObject({ refused: 'not_allowed' });
  });

  test('is not for who asked in a name that was lent to them', async () => {
    await using replica = await openReplica();
    const { book } = replica;
    const { id } = await granted(book.request(actor('staff/kim', [], ['staff/lee']), wish()));
    const own = { refused: 'not_allowed', detail: 'nobody decides on a request of their own' };
    expect(await book.approve(LEE, id)).toEqual(own);
    expect(await book.deny(LEE, id, 'no')).toEqual(own);
    expect(await book.approve(MAX, id)).toMatchObject({ state: 'approved' });
  });

  test.each([
    ['first in their own name', [LEE, actor('staff/max', [], ['staff/lee'])]],
    ['first in the one that is lent', [actor('staff/max', [], ['staff/lee']), LEE]],
  ])('by one person counts once, whatever name is lent to them: %s', async (_order, [first, second]) => {
    await using replica = await openReplica();
    const { book } = replica;
    const { id } = await granted(book.request(KIM, wish({ scope: 'ledger' })));
    await granted(book.approve(first ?? LEE, id));
    expect(await book.approve(second ?? LEE, id)).toMatchObject({ refused: 'not_allowed' });
    expect(replica.facts()).toEqual(NONE);
  });

  test('by one person on two replicas at the same time counts once', async () => {
    await using here = await openReplica();
    await using there = await openReplica();
    const { id } = await granted(here.book.request(KIM, wish({ scope: 'ledger' })));
    await there.state.put(here.entries);
    await granted(here.book.approve(LEE, id));
    await granted(there.book.approve(actor('staff/max', [], ['staff/lee']), id));
    await here.state.put(there.entries);
    expect(here.facts()).toEqual(NONE);
  });

  test('through one tool counts for each who uses it', async () => {
    await using replica = await openReplica();
    const { book } = replica;
    const by = (id: string) => actor(id, [], ['staff/portal']);
    const { id } = await granted(book.request(by('staff/kim'), wish({ scope: 'ledger' })));
    await granted(book.approve(by('staff/lee'), id));
    expect(await book.approve(by('staff/max'), id)).toMatchObject({ state: 'approved' });
  });

  test.each([
    ['somebody', actor('staff/pat')],
    ['a member of another group', actor('staff/pat', ['orders-operators'])],
    ['a member of a group of that name at another issuer', actor('partner/pat', ['partner/leads'])],
    ['a user of that name at another issuer', actor('partner/lee')],
  ])('is not for %s', async (_who, by) => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    const refusal = { refused: 'not_allowed', detail: 'not one of the approvers of the scope' };
    expect(await replica.book.approve(by, id)).toEqual(refusal);
    expect(await replica.book.deny(by, id, 'no')).toEqual(refusal);
    expect(await replica.book.revoke(by, id)).toMatchObject({ refused: 'unknown' });
    expect(replica.recorded).toHaveLength(1);
  });

  test.each([['orders-leads'], ['staff/leads']])('is for members of %s', async (group) => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    expect(await replica.book.approve(actor('staff/pat', [group]), id)).toMatchObject({ state: 'approved' });
  });

  test('takes as many different approvers as the scope says', async () => {
    await using replica = await openReplica();
    const { book } = replica;
    const { id } = await granted(book.request(KIM, wish({ scope: 'ledger' })));
    expect(await book.approve(LEE, id)).toMatchObject({ state: 'requested' });
    replica.clock.advance(60_000);
    expect(await book.approve(LEE, id)).toMatchObject({ state: 'requested', approvals: [{ at: START }] });
    expect(replica.facts()).toEqual(NONE);
    expect(await book.approve(MAX, id)).toMatchObject({ state: 'approved', grantedAt: START + 60_000 });
    expect(replica.facts().grants).toEqual(['ledger']);
  });

  test('a second time by the same user changes nothing and is no further record', async () => {
    await using replica = await openReplica();
    const first = await approvedGrant(replica);
    replica.clock.advance(60_000);
    expect(await replica.book.approve(LEE, first.id)).toEqual(first);
    expect(await replica.book.approve(MAX, first.id)).toMatchObject({ refused: 'conflict' });
    expect(replica.recorded).toHaveLength(2);
    expect(replica.entries).toHaveLength(2);
  });

  test('comes too late once the request has expired', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    replica.clock.advance(24 * HOUR_MS);
    expect(await replica.book.approve(LEE, id)).toEqual({
      refused: 'conflict',
      detail: `the grant ${id} is expired already`,
    });
    expect(replica.facts()).toEqual(NONE);
  });

  test('of what is denied, revoked or ended is refused', async () => {
    await using replica = await openReplica();
    const { book, clock } = replica;
    const denied = await granted(book.request(KIM, wish()));
    await granted(book.deny(LEE, denied.id, 'use the read replica'));
    const revoked = await granted(book.request(KIM, wish()));
    await granted(book.revoke(KIM, revoked.id));
    const ended = await approvedGrant(replica, { durationS: 60 });
    clock.advance(60_000);
    for (const { id } of [denied, revoked, ended])
      expect(await book.approve(MAX, id)).toMatchObject({ refused: 'conflict' });
    expect(replica.facts()).toEqual(NONE);
  });

  test('of what is not there is refused', async () => {
    await using replica = await openReplica();
    const id = '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a';
    const refusal = { refused: 'unknown', detail: `there is no grant ${id}` };
    expect(await replica.book.approve(LEE, id)).toEqual(refusal);
    expect(await replica.book.deny(LEE, id, 'no')).toEqual(refusal);
    expect(await replica.book.revoke(LEE, id)).toEqual(refusal);
  });

  test.each<[string, Partial<GrantScope>]>([
    ['more approvals', { approvals: 2 }],
    ['a shorter maximum', { maxMs: 60_000 }],
  ])(
    'is refused where the scope has come to want %s: the request has to be made again',
    async (_what, more) => {
      await using before = await openReplica();
      const { id } = await granted(before.book.request(KIM, wish()));
      const scopes = SCOPES.map((one) => (one.name === 'orders' ? { ...one, ...more } : one));
      await using after = await openReplica({ scopes });
      await after.state.put(before.entries);
      expect(await after.book.approve(LEE, id)).toMatchObject({
        refused: 'conflict',
        detail: expect.stringContaining('stricter now') as string,
      });
      expect(await after.book.deny(LEE, id, 'ask again')).toMatchObject({ state: 'denied' });
    },
  );

  test('ends with the scope: one that is configured no more gives nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pdp-grants-'));
    const journal = join(folder, 'state.journal');
    const clock = settableClock();
    {
      await using replica = await openReplica({ journal, clock });
      await approvedGrant(replica);
      await granted(replica.book.request(KIM, wish({ breakGlass: true })));
      expect(replica.facts()).toEqual({ grants: ['orders'], breakGlass: ['orders'] });
    }
    const [orders, ledger] = SCOPES;
    if (!orders || !ledger) throw new Error('no scopes');
    {
      const { breakGlassMaxMs: _none, ...careful } = orders;
      await using replica = await openReplica({ journal, clock, scopes: [careful] });
      expect(replica.facts()).toEqual({ grants: ['orders'], breakGlass: [] });
    }
    await using replica = await openReplica({ journal, clock, scopes: [ledger] });
    expect(replica.facts()).toEqual(NONE);
    await rm(folder, { recursive: true });
  });
});

describe('denying', () => {
  test('ends a request for good, with a reason', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    const denied = await granted(replica.book.deny(LEE, id, 'use the read replica'));
    expect(denied).toMatchObject({
      state: 'denied',
      end: { by: 'staff/lee', reason: 'use the read replica' },
    });
    expect(await replica.book.deny(MAX, id, 'and I say so too')).toEqual(denied);
    expect(replica.recorded).toHaveLength(2);
  });

  test.each([
    ['no words', ' '],
    ['words that steer a terminal', 'no\u001b[2J'],
    ['too many words', 'x'.repeat(1001)],
  ])('is refused with %s', async (_what, reason) => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    expect(await replica.book.deny(LEE, id, reason)).toMatchObject({ refused: 'invalid' });
  });

  test('is for requests: what is granted is revoked', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    expect(await replica.book.deny(LEE, id, 'too late')).toMatchObject({ refused: 'conflict' });
    expect(replica.facts().grants).toEqual(['orders']);
  });
});

describe('revoking', () => {
  test.each([
    ['the user', KIM],
    ['an approver', MAX],
  ])('by %s ends a grant at once, and once', async (_who, by) => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    const revoked = await granted(replica.book.revoke(by, id, 'done'));
    expect(revoked).toMatchObject({ state: 'revoked', end: { by: by.id, reason: 'done' } });
    expect(replica.facts()).toEqual(NONE);
    expect(await replica.book.revoke(by, id)).toEqual(revoked);
    expect(replica.recorded.map(({ change }) => change)).toEqual(['requested', 'approved', 'revoked']);
  });

  test('withdraws a request', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    expect(await replica.book.revoke(KIM, id)).toMatchObject({ state: 'revoked' });
    expect(await replica.book.approve(LEE, id)).toMatchObject({ refused: 'conflict' });
  });

  test('of a grant that has ended changes nothing', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    replica.clock.advance(HOUR_MS);
    expect(await replica.book.revoke(KIM, id)).toMatchObject({ state: 'ended' });
    expect(replica.recorded).toHaveLength(2);
  });

  test.each([
    ['before', true],
    ['after', false],
  ])(
    'beats an approval that another replica made meanwhile, which comes %s it',
    async (_when, approvalFirst) => {
      const clock = settableClock();
      await using here = await openReplica({ clock });
      await using there = await openReplica({ clock });
      const { id } = await granted(here.book.request(KIM, wish()));
      await there.state.put(here.entries);
      await granted(here.book.revoke(KIM, id));
      clock.advance(5000);
      await granted(there.book.approve(LEE, id));
      const [revocation, approval] = [here.entries.slice(1), there.entries.slice(1)];
      await using third = await openReplica({ clock });
      const order = approvalFirst ? [...approval, ...revocation] : [...revocation, ...approval];
      for (const entry of [...here.entries.slice(0, 1), ...order]) await third.state.put([entry]);
      await here.state.put(approval);
      await there.state.put(revocation);
      for (const replica of [here, there, third]) {
        expect(replica.facts()).toEqual(NONE);
        expect(replica.book.list(KIM, { all: false }).grants).toMatchObject([{ state: 'revoked' }]);
      }
    },
  );

  test('two approvals that replicas take at the same time both count', async () => {
    const clock = settableClock();
    await using here = await openReplica({ clock });
    await using there = await openReplica({ clock });
    const { id } = await granted(here.book.request(KIM, wish({ scope: 'ledger' })));
    await there.state.put(here.entries);
    await granted(here.book.approve(LEE, id));
    await granted(there.book.approve(MAX, id));
    await there.state.put(here.entries.slice(1));
    expect(there.facts().grants).toEqual(['ledger']);
  });
});

describe('breaking glass', () => {
  const glass = (more: Partial<GrantWish> = {}): GrantWish =>
    wish({ breakGlass: true, durationS: 600, ...more });

  test('takes effect at once, and is told apart', async () => {
    await using replica = await openReplica();
    const grant = await granted(replica.book.request(KIM, glass()));
    expect(grant).toMatchObject({
      state: 'approved',
      breakGlass: true,
      grantedAt: START,
      expiresAt: START + 600_000,
    });
    expect(replica.facts()).toEqual({ grants: [], breakGlass: ['orders'] });
    expect(replica.recorded.map(({ change }) => change)).toEqual(['broke_glass']);
    expect(replica.changed.map(({ change }) => change)).toEqual(['broke_glass']);
  });

  test('is refused where the scope does not allow it', async () => {
    await using replica = await openReplica();
    expect(await replica.book.request(KIM, glass({ scope: 'ledger' }))).toEqual({
      refused: 'not_allowed',
      detail: "the scope 'ledger' cannot be taken by breaking glass",
    });
  });

  test('cannot be renewed while it is live, and not more often in a day than is configured', async () => {
    await using replica = await openReplica();
    const { book, clock } = replica;
    for (let time = 0; time < 3; time += 1) {
      await granted(book.request(KIM, glass()));
      expect(await book.request(KIM, glass())).toMatchObject({ refused: 'conflict' });
      clock.advance(600_000);
      expect(replica.facts()).toEqual(NONE);
    }
    expect(await book.request(KIM, glass())).toMatchObject({ refused: 'too_many' });
    await granted(book.request(actor('staff/other'), glass()));
    clock.advance(24 * HOUR_MS - 3 * 600_000 - 1);
    expect(await book.request(KIM, glass())).toMatchObject({ refused: 'too_many' });
    clock.advance(1);
    await granted(book.request(KIM, glass()));
  });

  test('counts also what was given back early, so that it cannot be chained', async () => {
    await using replica = await openReplica();
    for (let time = 0; time < 3; time += 1) {
      const { id } = await granted(replica.book.request(KIM, glass()));
      await granted(replica.book.revoke(KIM, id));
    }
    expect(await replica.book.request(KIM, glass())).toMatchObject({ refused: 'too_many' });
  });

  test('is not approved by anybody, and is revoked by approvers', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, glass()));
    expect(await replica.book.approve(LEE, id)).toMatchObject({ refused: 'conflict' });
    expect(await replica.book.revoke(LEE, id, 'not an emergency')).toMatchObject({ state: 'revoked' });
    expect(replica.facts()).toEqual(NONE);
  });
});

describe('a change', () => {
  test('that cannot be recorded is not made', async () => {
    await using replica = await openReplica();
    const { id } = await granted(replica.book.request(KIM, wish()));
    replica.failing.log = true;
    const unrecorded = { reason: 'audit_unavailable' };
    await expect(replica.book.approve(LEE, id)).rejects.toMatchObject(unrecorded);
    await expect(replica.book.request(KIM, wish({ breakGlass: true }))).rejects.toMatchObject(unrecorded);
    expect(replica.facts()).toEqual(NONE);
    expect(replica.entries).toHaveLength(1);
    replica.failing.log = false;
    await granted(replica.book.approve(LEE, id));
  });

  test('that was recorded and not made is said to be so', async () => {
    await using replica = await openReplica();
    replica.failing.state = true;
    await expect(replica.book.request(KIM, wish({ breakGlass: true }))).rejects.toMatchObject({
      reason: 'state_unavailable',
    });
    expect(replica.facts()).toEqual(NONE);
    expect(replica.unconfirmed).toMatchObject([{ change: 'broke_glass', by: 'staff/kim' }]);
    expect(replica.changed).toEqual([]);
  });

  test('is recorded with who made it, and the grant as it is then', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    await granted(replica.book.revoke(LEE, id, 'done'));
    expect(replica.recorded).toMatchObject([
      { change: 'requested', by: 'staff/kim', grant: { id, state: 'requested' } },
      { change: 'approved', by: 'staff/lee', grant: { id, state: 'approved', expiresAt: START + HOUR_MS } },
      { change: 'revoked', by: 'staff/lee', grant: { id, state: 'revoked', end: { reason: 'done' } } },
    ]);
  });
});

test('a change in a name that was lent says who acted', async () => {
  await using replica = await openReplica();
  const { id } = await granted(replica.book.request(KIM, wish()));
  await granted(replica.book.approve(actor('staff/lee', [], ['staff/chat-bot']), id));
  expect(replica.recorded.at(-1)).toMatchObject({ by: 'staff/lee', actor: 'staff/chat-bot' });
  expect(replica.recorded[0]).not.toHaveProperty('actor');
});

describe('listing', () => {
  test('shows everybody their own, and approvers those of their scopes', async () => {
    await using replica = await openReplica();
    const { book, clock } = replica;
    const own = await granted(book.request(KIM, wish()));
    clock.advance(1000);
    const other = await granted(book.request(actor('staff/pat'), wish()));
    const idsOf = (by: typeof KIM, filter: Parameters<typeof book.list>[1]) =>
      book.list(by, filter).grants.map(({ id }) => id);
    expect(idsOf(KIM, { all: false })).toEqual([own.id]);
    expect(idsOf(KIM, { all: true })).toEqual([own.id]);
    expect(idsOf(KIM, { all: true, user: 'staff/pat' })).toEqual([]);
    expect(idsOf(LEE, { all: false })).toEqual([]);
    expect(idsOf(LEE, { all: true })).toEqual([other.id, own.id]);
    expect(idsOf(LEE, { all: true, user: 'staff/kim' })).toEqual([own.id]);
    await granted(book.approve(LEE, own.id));
    expect(idsOf(LEE, { all: true, state: 'approved' })).toEqual([own.id]);
    expect(idsOf(LEE, { all: true, state: 'requested' })).toEqual([other.id]);
  });

  test('says where there are more than fit', async () => {
    await using replica = await openReplica({ limits: { maxOpen: 2000, maxPerDay: 2000 } });
    for (let count = 0; count <= 1000; count += 1) await replica.book.request(KIM, wish());
    const { grants, truncated } = replica.book.list(KIM, { all: false });
    expect(grants).toHaveLength(1000);
    expect(truncated).toBe(true);
  });

  test('forgets what has been over for long', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    replica.clock.advance(32 * 24 * HOUR_MS);
    expect(replica.book.list(KIM, { all: true }).grants).toEqual([]);
    expect(await replica.book.revoke(KIM, id)).toMatchObject({ refused: 'unknown' });
  });
});

describe('what the clock does', () => {
  test('setting it back makes no grant longer', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    replica.clock.advance(HOUR_MS / 2);
    replica.clock.set(-24 * HOUR_MS);
    expect(replica.facts().grants).toEqual(['orders']);
    replica.clock.advance(HOUR_MS / 2 - 1);
    expect(replica.facts().grants).toEqual(['orders']);
    replica.clock.advance(1);
    expect(replica.facts()).toEqual(NONE);
  });

  test('setting it back does not keep anybody from ending a grant', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    replica.clock.set(-60_000);
    expect(await replica.book.revoke(LEE, id)).toMatchObject({ state: 'revoked' });
    expect(replica.facts()).toEqual(NONE);
  });

  test('setting it forward ends grants early, and setting it back again does not bring them back', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    replica.clock.set(2 * HOUR_MS);
    expect(replica.facts()).toEqual(NONE);
    replica.clock.set(-2 * HOUR_MS);
    expect(replica.facts()).toEqual(NONE);
  });

  test('a grant that another replica dates well into the future is not live yet', async () => {
    await using ahead = await openReplica();
    ahead.clock.set(60_000);
    await approvedGrant(ahead);
    await using replica = await openReplica();
    await replica.state.put(ahead.entries);
    expect(replica.facts()).toEqual(NONE);
    replica.clock.advance(50_000);
    expect(replica.facts().grants).toEqual(['orders']);
  });
});

test('a restart with a journal keeps grants, their ends, and how often glass was broken', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-grants-'));
  const journal = join(folder, 'state.journal');
  const clock = settableClock();
  let live = '';
  {
    await using before = await openReplica({ journal, clock });
    live = (await approvedGrant(before)).id;
    const { id } = await approvedGrant(before, { scope: 'orders', durationS: 7200 });
    await granted(before.book.revoke(LEE, id));
    for (let time = 0; time < 3; time += 1) {
      await granted(before.book.request(KIM, wish({ breakGlass: true, durationS: 60 })));
      clock.advance(60_000);
    }
  }
  await using after = await openReplica({ journal, clock });
  expect(after.facts()).toEqual({ grants: ['orders'], breakGlass: [] });
  expect(await after.book.request(KIM, wish({ breakGlass: true }))).toMatchObject({ refused: 'too_many' });
  await granted(after.book.revoke(KIM, live));
  expect(after.facts()).toEqual(NONE);
  await rm(folder, { recursive: true });
});
