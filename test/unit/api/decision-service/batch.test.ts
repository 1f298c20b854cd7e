import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { checkRequestBytes } from '../../../support/requests.ts';
import { sourceOf } from '../../pdp/decision-point.ts';
import { OWNERS, question, serve, struct } from './fixture.ts';

interface Result {
  readonly response?: { readonly decision: string; readonly reason: string; readonly decisionId: string };
  readonly error?: { readonly code: number; readonly message: string; readonly decisionId: string };
}

const order = (owner: string, id = '17') => ({
  resource: { type: 'Order', id, properties: struct({ owner }) },
});
const mine = order('alice');
const theirs = order('bob');
const broken = { resource: { type: 'not a type', id: '1' } };

async function batch(setup: Parameters<typeof serve>[0] = {}, parts: Parameters<typeof serve>[1] = {}) {
  const served = await serve(setup, parts);
  return {
    ...served,
    ask: async (items: readonly object[], more: object = {}) => {
      const outcome = await served.call('BatchCheck', { ...question(), items, ...more });
      const results = (outcome.answer['results'] ?? []) as readonly Result[];
      return {
        ...outcome,
        results,
        words: results.map(({ response, error }) => response?.reason ?? error?.code),
      };
    },
  };
}

describe('a batch', () => {
  test('has one result and one record for each item, in order, under its id', async () => {
    const { ask, records } = await batch();
    const { answer, results, words } = await ask([mine, theirs, broken]);
    expect(words).toEqual(['permitted', 'no_permit', status.INVALID_ARGUMENT]);
    const ids = results.map(({ response, error }) => response?.decisionId ?? error?.decisionId);
    expect(new Set(ids)).toEqual(new Set(records.map(({ id }) => id)));
    expect(records.map((record) => record.batch)).toEqual(Array(3).fill(answer['batchId']));
    expect(new Set(records.map(({ id }) => id)).size).toBe(3);
  });

  test('gives an item what it leaves out, whole and never merged', async () => {
    const { ask, records } = await batch();
    const bare = { resource: { type: 'Order', id: '18' } };
    const { words } = await ask([{}, bare, { subject: { type: 'ZeroTrust::User', id: 'demo/bob' } }]);
    expect(words).toEqual(['permitted', 'no_permit', 'no_permit']);
    expect(records[1]?.asked?.resource.properties).toEqual({});
  });

  test('an item without what it needs is an error of its own', async () => {
    const { ask } = await batch();
    const { code, results } = await ask([mine, {}], { resource: null });
    expect(code).toBe(status.OK);
    expect(results[1]?.error).toMatchObject({ message: 'resource is missing' });
  });

  test('what the caller may not ask is an error of the item', async () => {
    const { ask } = await batch();
    const { words } = await ask([mine, { resource: { type: 'ZeroTrust::Endpoint', id: 'x' } }]);
    expect(words).toEqual(['permitted', status.PERMISSION_DENIED]);
  });

  test.each([
    ['EXECUTE_ALL', [mine, theirs, mine], ['permitted', 'no_permit', 'permitted']],
    ['UNSPECIFIED', [theirs, mine], ['no_permit', 'permitted']],
    ['DENY_ON_FIRST_DENY', [mine, theirs, mine], ['permitted', 'no_permit']],
    ['DENY_ON_FIRST_DENY', [mine, broken, mine], ['permitted', status.INVALID_ARGUMENT]],
    ['DENY_ON_FIRST_DENY', [mine, mine], ['permitted', 'permitted']],
    [
      'PERMIT_ON_FIRST_PERMIT',
      [theirs, broken, mine, theirs],
      ['no_permit', status.INVALID_ARGUMENT, 'permitted'],
    ],
  ] as const)('%s answers, and records, no more than it has to', async (semantic, items, expected) => {
    const { ask, records } = await batch();
    expect((await ask(items, { semantic: `BATCH_SEMANTIC_${semantic}` })).words).toEqual(expected);
    expect(records).toHaveLength(expected.length);
  });

  test('is decided by one snapshot, also when another comes into force on the way', async () => {
    const gate = Promise.withResolvers<void>();
    const slow = {
      ...sourceOf('order', {}),
      gives: ['status'],
      lookup: async () => {
        await gate.promise;
        return { status: 'absent' as const, attributes: {}, groups: [], observedAt: 0, freshUntil: Infinity };
      },
    };
    const { ask, records, activate } = await batch({ sources: [slow] });
    const asked = ask(Array.from({ length: 20 }, (_, index) => order('alice', String(index))));
    activate('@id("none") forbid(principal, action, resource);');
    gate.resolve();
    const { answer } = await asked;
    const digests = new Set(records.map(({ snapshot }) => snapshot?.digest));
    expect([...digests]).toEqual([answer['snapshot']]);
  });

  test('lets calls of others through while it goes on', async () => {
    const { ask, client, records } = await batch();
    const asked = ask(Array.from({ length: 400 }, (_, index) => order('alice', String(index))));
    await client.check(checkRequestBytes());
    const place = records.findIndex(({ surface }) => surface === 'ext_authz');
    await asked;
    expect(place).toBeGreaterThanOrEqual(0);
    expect(records.length).toBe(401);
    expect(place).toBeLessThan(400);
  });

  test('of a thousand is answered whole', async () => {
    const { ask } = await batch();
    const { words } = await ask(Array.from({ length: 1000 }, (_, index) => (index % 2 ? mine : theirs)));
    expect(words.filter((word) => word === 'permitted')).toHaveLength(500);
    expect(words.filter((word) => word === 'no_permit')).toHaveLength(500);
  });

  test('that runs out of time denies, and records, what is left', async () => {
    const { ask, records } = await batch({ policies: OWNERS }, { batchTimeoutMs: 0 });
    const { words } = await ask([mine, mine]);
    expect(words).toEqual(['deadline_exceeded', 'deadline_exceeded']);
    expect(records).toHaveLength(2);
  });
});

describe('what is no batch', () => {
  test.each<[string, readonly object[], object, RegExp]>([
    ['no items', [], {}, /items are missing/],
    ['too many items', [mine, mine, mine], {}, /3 items are more than the 2/],
    ['an unknown semantic', [mine], { semantic: 9 }, /semantic 9/],
  ])('%s: INVALID_ARGUMENT, one record, and nothing is answered', async (_what, items, more, words) => {
    const { ask, records } = await batch({}, { maxBatchItems: 2 });
    const { code, details, errorId } = await ask(items, more);
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toMatch(words);
    expect(records.map(({ id }) => id)).toEqual([errorId]);
  });

  test('of a caller that nobody knows: UNAUTHENTICATED, and one record', async () => {
    const { ask, records } = await batch({}, { access: { grants: [] } });
    expect(await ask([mine, mine])).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(records).toHaveLength(1);
  });

  test('where too many calls are under way: RESOURCE_EXHAUSTED, and one record', async () => {
    const { ask, records } = await batch({}, { inFlight: new InFlight(0) });
    expect(await ask([mine, mine])).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(records.map(({ decision }) => decision.reason)).toEqual(['overloaded']);
  });
});
