import { describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import type { UserIdentity } from '../../../../src/pdp/identity.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { createUserGroups } from '../../../../src/pip/grants/user-groups.ts';
import { START, manualClock } from '../fixture.ts';

const LEE: UserIdentity = {
  id: 'staff/lee',
  token: {
    issuer: 'staff',
    subject: 'lee',
    algorithm: 'ES256',
    audiences: [],
    expiresAt: 0,
    claims: {},
    groups: ['leads'],
  },
};

const answer = (more: Partial<AttributeAnswer> = {}): AttributeAnswer => ({
  status: 'found',
  attributes: {},
  groups: ['orders-leads'],
  observedAt: START,
  freshUntil: START + 1000,
  ...more,
});

const source = (lookup: AttributeSource['lookup'], more: Partial<AttributeSource> = {}): AttributeSource => ({
  name: 'directory',
  subject: 'user',
  gives: ['groups'],
  onFailure: 'deny',
  lookup,
  ...more,
});

const groupsOf = async (...sources: readonly AttributeSource[]): Promise<readonly string[]> => [
  ...(await createUserGroups({ sources, clock: manualClock(), timeoutMs: 50 })(LEE)),
];

const fails = (): never => {
  throw new Error('the directory is down');
};

describe('the groups of a user', () => {
  test('are those of the token, under the name of its issuer, and those of information points, now or later', async () => {
    expect(await groupsOf()).toEqual(['staff/leads']);
    expect(await groupsOf(source(() => answer()))).toEqual(['staff/leads', 'orders-leads']);
    expect(await groupsOf(source(async () => answer()))).toEqual(['staff/leads', 'orders-leads']);
  });

  test('are asked for by the id of the user, of points that give groups of users only', async () => {
    const asked: string[] = [];
    const ask = source((id) => (asked.push(id), answer()));
    await groupsOf(ask, { ...ask, subject: 'workload' }, { ...ask, gives: ['department'] });
    expect(asked).toEqual(['staff/lee']);
  });

  test.each([
    ['stale', { stale: true as const }],
    ['past its freshness', { freshUntil: START }],
  ])('are not those of an answer that is %s', async (_what, more) => {
    expect(await groupsOf(source(() => answer(more)))).toEqual(['staff/leads']);
  });

  test('cannot be told where a point fails, unless its failure is to be left out', async () => {
    await expect(groupsOf(source(fails))).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'directory: the directory is down',
    });
    await expect(groupsOf(source(fails, { onFailure: 'last_known' }))).rejects.toThrow();
    expect(await groupsOf(source(fails, { onFailure: 'omit' }))).toEqual(['staff/leads']);
    expect(await groupsOf(source(fails, { onFailureOf: new Map([['groups', 'omit']]) }))).toEqual([
      'staff/leads',
    ]);
  });

  test('are not waited for beyond the time limit', async () => {
    const hangs = source(
      (_id, { signal }) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new Error('too slow'))),
        ),
    );
    await expect(groupsOf(hangs)).rejects.toThrow('too slow');
  });
});
