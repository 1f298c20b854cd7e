import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CallScope } from '../../../../src/pdp/call-scope.ts';
import { accessRequest } from '../../../support/requests.ts';
import { PERMIT_ALL, setUp, sourceOf, userIdentity } from '../decision-point.ts';

const READS_REVOKED =
  '@id("live") permit(principal is ZeroTrust::User, action, resource) when { principal has revoked && !principal.revoked };';
const IN_FINANCE = '@id("finance") permit(principal in ZeroTrust::Group::"Finance", action, resource);';
const user = userIdentity('alice');

describe('a source is asked', () => {
  test('about the subject that was verified', async () => {
    const source = sourceOf('user', { revoked: false });
    const { decide } = setUp({ policies: READS_REVOKED, user, sources: [source] });
    const trace = await decide();
    expect(source.asked).toEqual(['demo/alice']);
    expect(trace.facts).toMatchObject([
      { source: 'user-source', subject: 'user', subjectId: 'demo/alice', status: 'found' },
    ]);
  });

  test.each([
    ['policies read none of its attributes', PERMIT_ALL, sourceOf('user', { revoked: false })],
    ['policies name no group', PERMIT_ALL, sourceOf('user', {}, { groups: ['Finance'] })],
    ['policies name only groups of another subject', IN_FINANCE, sourceOf('workload', {}, { groups: ['x'] })],
    ['there is no such subject', READS_REVOKED, sourceOf('device', { revoked: false })],
  ])('never where %s', async (_why, policies, source) => {
    await setUp({ policies, user, sources: [source] }).decide();
    expect(source.asked).toEqual([]);
  });

  test('for its groups where policies name one', async () => {
    const source = sourceOf('user', {}, { groups: ['Finance'] });
    expect((await setUp({ policies: IN_FINANCE, user, sources: [source] }).decide()).decision.verdict).toBe(
      'permit',
    );
  });

  test('for its groups where policies name only what static entities put above them', async () => {
    const policies = `${PERMIT_ALL} @id("banned") forbid(principal in ZeroTrust::Group::"Banned", action, resource);`;
    const schema = `namespace ZeroTrust { entity Org; entity Group in [Org]; entity Endpoint; entity User in [Group, Org] = { issuer: String, subject: String };
      action POST appliesTo { principal: [User], resource: [Endpoint], context: { mtls: Bool } }; }`;
    const source = sourceOf('user', {}, { groups: ['Contractors'] });
    const { decide } = setUp({
      policies: policies.replace('Group::"Banned"', 'Org::"Outside"'),
      schema,
      entities: [
        {
          uid: { type: 'ZeroTrust::Group', id: 'Contractors' },
          parents: [{ type: 'ZeroTrust::Org', id: 'Outside' }],
        },
      ],
      user,
      sources: [source],
    });
    expect((await decide()).decision).toMatchObject({ verdict: 'deny', policies: ['banned'] });
  });

  test('without a signal where it answers at once, since making one costs', async () => {
    const signal = vi.spyOn(CallScope.prototype, 'signal', 'get');
    onTestFinished(() => signal.mockRestore());
    const source = sourceOf('user', { revoked: false });
    await setUp({ policies: READS_REVOKED, user, sources: [source] }).decide();
    expect(source.asked).toEqual(['demo/alice']);
    expect(signal).not.toHaveBeenCalled();
  });

  test('in parallel with the others', async () => {
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const slow = (name: string) => {
      const source = sourceOf('user', { revoked: false });
      return sourceOf(
        'user',
        { revoked: false },
        {
          name,
          async lookup(id, asker) {
            asked += 1;
            if (asked === 3) gate.resolve();
            await gate.promise;
            return source.lookup(id, asker);
          },
        },
      );
    };
    const { decide } = setUp({ policies: READS_REVOKED, user, sources: [slow('a'), slow('b'), slow('c')] });
    expect((await decide()).decision.verdict).toBe('permit');
  });
});

describe('a source that fails', () => {
  const down = () => Promise.reject(new Error('down'));

  test('denies by default', async () => {
    const { decide } = setUp({
      policies: READS_REVOKED,
      user,
      sources: [sourceOf('user', { revoked: false }, { lookup: down })],
    });
    expect((await decide()).decision).toMatchObject({
      reason: 'attribute_unavailable',
      detail: "user-source: down; 'revoked' must be known",
    });
  });

  test('where it may be omitted leaves the attribute missing, never false', async () => {
    const source = sourceOf('user', { revoked: false }, { lookup: down, onFailure: 'omit' });
    const trace = await setUp({ policies: READS_REVOKED, user, sources: [source] }).decide();
    expect(trace.decision).toMatchObject({ verdict: 'deny', reason: 'no_permit' });
    expect(trace.omissions).toEqual([
      {
        source: 'user-source',
        subject: 'user',
        subjectId: 'demo/alice',
        gives: ['revoked'],
        status: 'omitted',
        leftOut: { revoked: 'unavailable' },
        detail: 'user-source: down',
      },
    ]);
    expect(trace.decision).not.toHaveProperty('cacheableUntil');
  });

  test('does not undo what another source knows', async () => {
    const sources = [
      sourceOf('user', { revoked: false }, { lookup: down, onFailure: 'omit' }),
      sourceOf('user', { revoked: false }),
    ];
    expect((await setUp({ policies: READS_REVOKED, user, sources }).decide()).decision.verdict).toBe(
      'permit',
    );
  });
});

test('an absent subject is an answer: its attributes are missing', async () => {
  const source = sourceOf(
    'user',
    { revoked: false },
    {
      lookup: () => ({ status: 'absent', attributes: {}, groups: [], observedAt: 0, freshUntil: 1 }),
    },
  );
  const trace = await setUp({ policies: READS_REVOKED, user, sources: [source] }).decide();
  expect(trace.decision.reason).toBe('no_permit');
  expect(trace.facts).toMatchObject([{ status: 'absent' }]);
});

test('the first source that knows an attribute has the word', async () => {
  const sources = [sourceOf('user', { revoked: true }), sourceOf('user', { revoked: false })];
  expect((await setUp({ policies: READS_REVOKED, user, sources }).decide()).decision.verdict).toBe('deny');
  expect(
    (await setUp({ policies: READS_REVOKED, user, sources: sources.toReversed() }).decide()).decision.verdict,
  ).toBe('permit');
});

test('one check sees one snapshot, also when it changes on the way', async () => {
  const setup = setUp({
    policies: READS_REVOKED,
    user,
    sources: [
      sourceOf(
        'user',
        { revoked: false },
        {
          async lookup() {
            setup.activate('@id("none") forbid(principal, action, resource);');
            await new Promise(setImmediate);
            return {
              status: 'found',
              attributes: { revoked: false },
              groups: [],
              observedAt: 0,
              freshUntil: 1,
            };
          },
        },
      ),
    ],
  });
  expect((await setup.decide(accessRequest())).decision).toMatchObject({
    verdict: 'permit',
    policies: ['live'],
  });
  expect((await setup.decide(accessRequest())).decision).toMatchObject({
    verdict: 'deny',
    policies: ['none'],
  });
});
