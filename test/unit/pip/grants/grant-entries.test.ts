import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type GrantRequest,
  approvalEntry,
  endEntry,
  grantRefOf,
  readGrantEntry,
  requestEntry,
} from '../../../../src/pip/grants/grant-entries.ts';
import { grantOf, withPart } from '../../../../src/pip/grants/grant-parts.ts';
import { readEntry } from '../../../../src/pip/shared/entry.ts';

const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 200 })
  .filter((words) => words.isWellFormed());
const user = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .filter((name) => name.isWellFormed() && Buffer.byteLength(name) <= 512);
const time = fc.integer({ min: 1, max: 4_102_444_800_000 });

const request: fc.Arbitrary<GrantRequest> = fc.record(
  {
    id: fc.uuid({ version: 7 }),
    user,
    scope: text,
    breakGlass: fc.boolean(),
    justification: text,
    ticket: text,
    actors: fc.array(user, { minLength: 1, maxLength: 8 }),
    requestedAt: time,
    approveBefore: time,
    durationMs: fc.integer({ min: 1, max: 2_592_000_000 }),
    approvalsNeeded: fc.integer({ min: 1, max: 10 }),
  },
  {
    requiredKeys: [
      'id',
      'user',
      'scope',
      'breakGlass',
      'justification',
      'requestedAt',
      'approveBefore',
      'durationMs',
      'approvalsNeeded',
    ],
  },
);

describe('entries of the grant book', () => {
  test('are read back as they were written, and fit the shared state', () => {
    fc.assert(
      fc.property(request, user, fc.array(user, { maxLength: 8 }), time, (given, by, actors, at) => {
        const entries = [
          requestEntry(given, 1),
          approvalEntry(given, { by, actors, at }, 1),
          endEntry(given, { state: 'denied', by, at, reason: 'no' }, 1),
        ];
        for (const entry of entries) expect(readEntry(entry)).not.toHaveProperty('problem');
        const ref = { user: given.user, id: given.id };
        expect(entries.map(readGrantEntry)).toEqual([
          { ...ref, is: { part: 'request', request: given } },
          { ...ref, is: { part: 'approval', approval: { by, actors, at } } },
          { ...ref, is: { part: 'end', end: { state: 'denied', by, at, reason: 'no' } } },
        ]);
      }),
    );
  });

  test('have keys that no two users share', () => {
    fc.assert(
      fc.property(request, user, (given, other) => {
        fc.pre(other !== given.user);
        expect(requestEntry({ ...given, user: other }, 1).key).not.toBe(requestEntry(given, 1).key);
      }),
    );
  });

  test.each([
    ['another use', 'void|user:9:staff/kim|019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a|request'],
    ['a length that is wrong', 'grant|user:8:staff/kim|019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a|request'],
    ['no id', 'grant|user:9:staff/kim|request'],
    ['another part', 'grant|user:9:staff/kim|019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a|approved'],
    ['something after it', 'grant|user:9:staff/kim|019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a|request|x'],
  ])("with %s in the key are nobody's", (_what, key) => {
    expect(grantRefOf(key)).toBeUndefined();
    expect(readGrantEntry({ key, rank: 0, at: 1, value: {} })).toBeUndefined();
  });

  test('that do not say who acted in a way that can be read are no request and no approval', () => {
    const [given] = fc.sample(request, { numRuns: 1, seed: 1 });
    if (!given) throw new Error('no request');
    for (const entry of [requestEntry(given, 1), approvalEntry(given, { by: 'staff/lee', at: 1 }, 1)])
      for (const actors of ['staff/kim', [1], {}])
        expect(readGrantEntry({ ...entry, value: { ...(entry.value as object), actors } })).toBeUndefined();
  });

  test('come to the same grant in whatever order they are seen', () => {
    const approvals = fc.uniqueArray(fc.record({ by: user, at: time, actors: fc.array(user) }), {
      selector: ({ by }) => by,
      maxLength: 5,
    });
    const end = fc.option(
      fc.record({ state: fc.constantFrom('denied' as const, 'revoked' as const), by: user, at: time }),
    );
    fc.assert(
      fc.property(
        request,
        approvals,
        end,
        time,
        fc.infiniteStream(fc.nat()),
        (given, given2, last, now, order) => {
          const entries = [
            requestEntry(given, 1),
            ...given2.map((approval) => approvalEntry(given, approval, 1)),
            ...(last ? [endEntry(given, last, 1)] : []),
          ];
          const grant = (list: typeof entries) =>
            grantOf(
              list.flatMap((entry) => readGrantEntry(entry)?.is ?? []).reduce(withPart, { approvals: [] }),
              now,
            );
          const shuffled = entries
            .map((entry) => ({ entry, at: order.next().value ?? 0 }))
            .toSorted((a, b) => a.at - b.at)
            .map(({ entry }) => entry);
          const [one, other] = [grant(entries), grant(shuffled)];
          expect(other?.state).toBe(one?.state);
          expect(other?.expiresAt).toBe(one?.expiresAt);
          if (last) expect(one?.state).toBe(last.state);
        },
      ),
    );
  });
});
