import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InFlight } from '../../../../src/api/in-flight.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { sourceOf } from '../../pdp/decision-point.ts';
import { GRANT } from '../decision-service/fixture.ts';
import { serveAuthzen } from './fixture.ts';

const ALICE = { type: 'ZeroTrust::User', id: 'demo/alice' };
const VIEW = { name: 'view' };

/** Orders as an information point knows them: each by its owner. */
function orders(
  owners: Readonly<Record<string, string>>,
  parts: Partial<AttributeSource> = {},
): AttributeSource {
  return sourceOf(
    'order',
    { owner: '' },
    {
      list: () => Object.keys(owners),
      lookup: (id) => ({
        status: 'found',
        attributes: { owner: owners[id] ?? '' },
        groups: [],
        observedAt: Date.now(),
        freshUntil: Date.now() + 60_000,
      }),
      ...parts,
    },
  );
}

function entity(type: string, id: string) {
  const [issuer = '', subject = ''] = id.split('/');
  return { uid: { type, id }, attrs: { issuer, subject }, parents: [] };
}

describe('a search', () => {
  test('finds what information points can list, and is one record in the log', async () => {
    const { search, searches, records } = await serveAuthzen({
      sources: [orders({ '1': 'alice', '2': 'bob', '3': 'alice' })],
    });
    const { json } = await search('resource', { subject: ALICE, action: VIEW, resource: { type: 'Order' } });
    expect(json['results']).toEqual([
      { type: 'Order', id: '1' },
      { type: 'Order', id: '3' },
    ]);
    expect(records).toEqual([]);
    expect(searches).toMatchObject([
      {
        found: 'resource',
        subject: 'ZeroTrust::User::"demo/alice"',
        action: 'Shop::Action::"view"',
        resource: 'Shop::Order',
        looked_at: 3,
        results: 2,
        undecided: 0,
      },
    ]);
  });

  test('finds static entities', async () => {
    const entities = [entity('ZeroTrust::User', 'demo/alice'), entity('ZeroTrust::User', 'demo/bob')];
    const { search } = await serveAuthzen({ entities, sources: [orders({ '1': 'alice' })] });
    const who = { subject: { type: 'ZeroTrust::User' }, action: VIEW, resource: { type: 'Order', id: '1' } };
    expect((await search('subject', who)).json['results']).toEqual([ALICE]);
  });

  test('finds actions by the names that callers use', async () => {
    const policies = `@id("all") permit(principal, action, resource);`;
    const { search } = await serveAuthzen({ policies });
    const { json } = await search('action', { subject: ALICE, resource: { type: 'Order', id: '1' } });
    expect(json['results']).toEqual([{ name: 'delete' }, { name: 'edit' }, { name: 'view' }]);
  });

  test('says which information points cannot list, and of how many nothing could be decided', async () => {
    const down = orders(
      { '1': 'alice', '2': 'alice' },
      {
        name: 'listing',
        lookup: (id) => {
          if (id === '2') throw new Error('down');
          return {
            status: 'found',
            attributes: { owner: 'alice' },
            groups: [],
            observedAt: 0,
            freshUntil: Date.now() + 1000,
          };
        },
      },
    );
    const silent = sourceOf('order', { status: '' }, { name: 'silent' });
    const { search } = await serveAuthzen({
      sources: [
        down,
        {
          ...silent,
          lookup: () => ({
            status: 'absent',
            attributes: {},
            groups: [],
            observedAt: 0,
            freshUntil: Date.now() + 1000,
          }),
        },
      ],
    });
    const { json } = await search('resource', { subject: ALICE, action: VIEW, resource: { type: 'Order' } });
    expect(json).toMatchObject({ results: [{ id: '1' }], context: { undecided: 1, unlisted: ['silent'] } });
  });

  test('needs a grant of its own', async () => {
    const access = { plaintext: true, grants: [GRANT], explains: () => false };
    const { search, records } = await serveAuthzen({}, { access });
    const answer = await search('resource', { subject: ALICE, action: VIEW, resource: { type: 'Order' } });
    expect([answer.status, answer.text]).toEqual([403, 'the caller may not search for what is a resource']);
    expect(records.map(({ decision }) => decision.reason)).toEqual(['caller_not_allowed']);
  });

  test('that we have no room for says so, and is no list without an end', async () => {
    const { search } = await serveAuthzen({}, { inFlight: new InFlight(0) });
    const question = { subject: ALICE, action: VIEW, resource: { type: 'Order' } };
    const { status, json } = await search('resource', question);
    expect([status, json['results'], json['page']]).toEqual([200, [], undefined]);
    expect(json['context']).toMatchObject({ reason: 'overloaded', error: { status: 503 } });
  });

  test('that cannot be recorded is not answered', async () => {
    const { search } = await serveAuthzen(
      { sources: [orders({ '1': 'alice' })] },
      { record: () => Promise.reject(new Error('disk full')) },
    );
    const answer = await search('resource', { subject: ALICE, action: VIEW, resource: { type: 'Order' } });
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('Order');
  });
});

describe('pages', () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,6}$/), { minLength: 1, maxLength: 25 });

  test('of any size and with any bound on candidates add up to the whole, in order, each result once', async () => {
    let known: Readonly<Record<string, string>> = {};
    let candidates = 1;
    const { search } = await serveAuthzen(
      {
        sources: [
          orders(
            {},
            {
              list: () => Object.keys(known),
              lookup: (id) => ({
                status: 'found',
                attributes: { owner: known[id] ?? '' },
                groups: [],
                observedAt: 0,
                freshUntil: Date.now() + 1000,
              }),
            },
          ),
        ],
      },
      {
        get maxCandidates() {
          return candidates;
        },
      },
    );
    await fc.assert(
      fc.asyncProperty(
        ids,
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 9 }),
        async (all, limit, bound) => {
          known = Object.fromEntries(all.map((id, index) => [id, index % 3 === 0 ? 'bob' : 'alice']));
          candidates = bound;
          const found: string[] = [];
          let token = '';
          do {
            const question = {
              subject: ALICE,
              action: VIEW,
              resource: { type: 'Order' },
              page: { limit, token },
            };
            const { json } = await search('resource', question);
            const results = json['results'] as readonly { id: string }[];
            expect(results.length).toBeLessThanOrEqual(limit);
            found.push(...results.map(({ id }) => id));
            token = (json['page'] as { next_token: string }).next_token;
          } while (token !== '');
          expect(found).toEqual(all.filter((id) => known[id] === 'alice').sort());
        },
      ),
      { numRuns: 25 },
    );
  });

  test('of another search, or of other policies, cannot be continued', async () => {
    const { search, activate } = await serveAuthzen({ sources: [orders({ '1': 'alice', '2': 'alice' })] });
    const question = { subject: ALICE, action: VIEW, resource: { type: 'Order' } };
    const { json } = await search('resource', { ...question, page: { limit: 1 } });
    const { next_token: token } = json['page'] as { next_token: string };
    const other = { ...question, subject: { ...ALICE, id: 'demo/bob' }, page: { token } };
    expect((await search('resource', other)).status).toBe(400);
    activate('@id("none") forbid(principal, action, resource);');
    expect((await search('resource', { ...question, page: { token } })).status).toBe(400);
  });

  test.each([{ limit: 0 }, { limit: 1.5 }, { limit: '1' }, { token: 7 }, { token: 'x' }, 'all'])(
    '%j is none',
    async (page) => {
      const { search } = await serveAuthzen();
      const question = { subject: ALICE, action: VIEW, resource: { type: 'Order' }, page };
      expect((await search('resource', question)).status).toBe(400);
    },
  );

  test('stop when time is up, and the next one goes on from there', async () => {
    const owners = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [String(100 + n), 'alice']));
    const slow = orders(owners, {
      lookup: async () => {
        await new Promise((resolve) => setTimeout(resolve, 10));
        return {
          status: 'found',
          attributes: { owner: 'alice' },
          groups: [],
          observedAt: 0,
          freshUntil: Date.now() + 1000,
        };
      },
    });
    const { search } = await serveAuthzen({ sources: [slow] }, { searchTimeoutMs: 60 });
    const found: string[] = [];
    let token = '';
    let pages = 0;
    do {
      const question = { subject: ALICE, action: VIEW, resource: { type: 'Order' }, page: { token } };
      const { json } = await search('resource', question);
      found.push(...(json['results'] as readonly { id: string }[]).map(({ id }) => id));
      token = (json['page'] as { next_token: string }).next_token;
      pages += 1;
    } while (token !== '');
    expect(found).toEqual(Object.keys(owners));
    expect(pages).toBeGreaterThan(1);
  });
});
