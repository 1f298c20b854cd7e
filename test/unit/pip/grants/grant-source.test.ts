import { describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import { START } from '../fixture.ts';
import {
  HOUR_MS,
  KIM,
  LEE,
  type Replica,
  actor,
  approvedGrant,
  granted,
  openReplica,
  wish,
} from './fixture.ts';

const NOBODY_WAITS = { signal: new AbortController().signal };

const lookup = ({ source }: Replica, user = 'staff/kim'): AttributeAnswer =>
  source.lookup(user, NOBODY_WAITS) as AttributeAnswer;

describe('the facts about grants', () => {
  test('are about users, local, and quiet where there are none', async () => {
    await using replica = await openReplica();
    expect(replica.source).toMatchObject({ name: 'grants', subject: 'user', quiet: true, onFailure: 'deny' });
    expect(replica.source.gives).toEqual(['grants', 'break_glass']);
    expect(lookup(replica)).toEqual({
      status: 'absent',
      attributes: {},
      groups: [],
      observedAt: START,
      freshUntil: START + 30_000,
    });
  });

  test('name each scope once, and leave out what there is none of', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    await approvedGrant(replica, { durationS: 7200 });
    expect(lookup(replica)).toMatchObject({ status: 'found', attributes: { grants: ['orders'] } });
    expect(lookup(replica).attributes).not.toHaveProperty('break_glass');
    await granted(replica.book.request(KIM, wish({ breakGlass: true })));
    expect(lookup(replica).attributes).toEqual({ grants: ['orders'], break_glass: ['orders'] });
  });

  test('may be used until the first of the grants ends, and no longer', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    await approvedGrant(replica, { durationS: 10 });
    expect(lookup(replica).freshUntil).toBe(START + 10_000);
    replica.clock.advance(10_000);
    expect(lookup(replica).freshUntil).toBe(START + 40_000);
    replica.clock.advance(HOUR_MS - 15_000);
    expect(lookup(replica).freshUntil).toBe(START + HOUR_MS);
  });

  test('follow what other replicas put, at once', async () => {
    await using here = await openReplica();
    await using there = await openReplica();
    const { id } = await approvedGrant(here);
    expect(lookup(there).status).toBe('absent');
    await there.state.put(here.entries);
    expect(lookup(there).attributes).toEqual({ grants: ['orders'] });
    await granted(there.book.revoke(LEE, id));
    await here.state.put(there.entries.slice(-1));
    expect(lookup(here).status).toBe('absent');
  });

  test('are as old as what may have been missed, and are refused beyond the bound', async () => {
    await using replica = await openReplica();
    await approvedGrant(replica);
    replica.lagMs = 1000;
    expect(lookup(replica)).toMatchObject({ observedAt: START - 1000, attributes: { grants: ['orders'] } });
    replica.lagMs = 1001;
    expect(() => lookup(replica)).toThrow(
      'changes of grants may have been missed for 1001 ms, more than 1000 ms',
    );
    expect(() => lookup(replica, 'staff/nobody')).toThrow(
      expect.objectContaining({ reason: 'attribute_unavailable' }),
    );
    replica.lagMs = 0;
    expect(lookup(replica).attributes).toEqual({ grants: ['orders'] });
  });

  test('come from entries that can be read: half of a grant is none, and whatever stands in its end ends it', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    const [request, approval] = replica.entries;
    if (!request || !approval) throw new Error('no entries');
    await using other = await openReplica();
    await other.state.put([approval]);
    expect(lookup(other).status).toBe('absent');
    await other.state.put([{ ...request, value: { scope: 'orders', break_glass: true } }]);
    expect(lookup(other).status).toBe('absent');
    expect(other.book.list(LEE, { all: true }).grants).toEqual([]);
    await replica.state.put([{ ...request, key: request.key.replace(/request$/, 'end'), value: 'rubbish' }]);
    expect(lookup(replica).status).toBe('absent');
    expect(await replica.book.approve(actor('staff/max'), id)).toMatchObject({ refused: 'conflict' });
  });

  test('an approval that says that it is by the user does not count', async () => {
    await using replica = await openReplica();
    await granted(replica.book.request(KIM, wish()));
    const [request] = replica.entries;
    if (!request) throw new Error('no entry');
    const key = request.key.replace(/request$/, `approval-${'x'.repeat(43)}`);
    await replica.state.put([{ key, rank: 0, at: START, value: { by: 'staff/kim' } }]);
    expect(lookup(replica).status).toBe('absent');
  });

  test('a grant does not change hands: an id that another user has already is not taken', async () => {
    await using replica = await openReplica();
    const { id } = await approvedGrant(replica);
    const [request] = replica.entries;
    if (!request) throw new Error('no entry');
    const key = request.key.replace('user:9:staff/kim', 'user:9:staff/eve');
    await replica.state.put([
      { ...request, key, value: { ...(request.value as object), break_glass: true } },
    ]);
    expect(lookup(replica, 'staff/eve').status).toBe('absent');
    expect(lookup(replica).attributes).toEqual({ grants: ['orders'] });
    expect(replica.book.list(KIM, { all: false }).grants).toMatchObject([{ id }]);
  });
});
