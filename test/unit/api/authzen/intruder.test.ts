import { type Socket, connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { refuse } from '../../../../src/pdp/decision.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { createManualClock } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { PERMIT_ALL, sourceOf, userIdentity } from '../../pdp/decision-point.ts';
import { QUESTION, SEARCHER, serveAuthzen } from './fixture.ts';

const ALICE = { type: 'ZeroTrust::User', id: 'demo/alice' };
const VIEW = { name: 'view' };
const SEARCH = { subject: ALICE, action: VIEW, resource: { type: 'Order' } };

function orders(ids: readonly string[], lookup = () => ALICES) {
  return sourceOf('order', { owner: '' }, { list: () => ids, lookup });
}

const ALICES = {
  status: 'found' as const,
  attributes: { owner: 'alice' },
  groups: [],
  observedAt: 0,
  freshUntil: Date.now() + 600_000,
};

/** Sends bytes as they are; what comes back until the other end closes. */
function rawOn(base: string): { socket: Socket; answer: Promise<string> } {
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString()));
  const answer = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  return { socket, answer };
}

function head(fields: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries({ host: 'pdp', connection: 'close', ...fields });
  return `POST /access/v1/evaluation HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

describe('a caller', () => {
  test('that may say anything of the context may not say by it what it may not say of the action', async () => {
    const grant = { ...SEARCHER, properties: new Set(['context.*', 'resource.*']) };
    const access = { plaintext: true, grants: [grant], explains: () => false };
    const { evaluate, records } = await serveAuthzen({}, { access });
    const answer = await evaluate({ ...QUESTION, context: { action: { soft: true } } });
    expect([answer.status, answer.text]).toEqual([403, 'the caller may not assert action.soft']);
    expect(records.map(({ decision }) => decision.reason)).toEqual(['caller_not_allowed']);
  });

  test.each([
    ['may not ask', { access: { plaintext: true, grants: [], explains: () => false } }, 'caller_not_allowed'],
    ['comes when there is no room', { inFlight: new InFlight(0) }, 'overloaded'],
  ])('that %s has its message not even read', async (_what, parts, reason) => {
    const { post, records } = await serveAuthzen({}, parts);
    for (const path of ['evaluation', 'evaluations', 'search/action'])
      await post(`/access/v1/${path}`, '{"a":');
    expect(records.map(({ decision }) => decision.reason)).toEqual([reason, reason, reason]);
  });
});

describe('a message', () => {
  test.each(['', ';', 'application', 'application/json, text/plain'])(
    'of the content type %j is 400 in words, with a record',
    async (type) => {
      const { base, records } = await serveAuthzen();
      const { socket, answer } = rawOn(base);
      socket.write(`${head({ 'content-type': type, 'content-length': 2, 'x-request-id': 'r-1' })}{}`);
      expect(await answer).toMatch(/^HTTP\/1.1 400 .*the content type must be application\/json$/s);
      expect(await answer).toMatch(/\r\nx-request-id: r-1\r\n/);
      expect(records.map(({ decision }) => decision.reason)).toEqual(['request_malformed']);
    },
  );

  test('that does not come whole leaves a record', async () => {
    const { base, records } = await serveAuthzen();
    const { socket } = rawOn(base);
    socket.write(`${head({ 'content-type': 'application/json', 'content-length': 100 })}{"a"`, () =>
      setImmediate(() => socket.destroy()),
    );
    const record = await eventually('a record', () => records[0]);
    expect(record.decision.reason).toBe('cancelled');
  });

  test('with a key twice is refused without quoting it', async () => {
    const { post } = await serveAuthzen();
    const answer = await post('/access/v1/evaluation', '{"canary":1,"canary":2}');
    expect([answer.status, answer.text.includes('canary')]).toEqual([400, false]);
  });
});

test('calls that are pipelined are no leak, and end with their connection', async () => {
  const warnings: string[] = [];
  const warn = ({ name }: Error) => void warnings.push(name);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  let asked = 0;
  const never = sourceOf(
    'order',
    { owner: '' },
    {
      lookup: () => {
        asked += 1;
        return new Promise<typeof ALICES>(() => undefined);
      },
    },
  );
  const { base, records } = await serveAuthzen({ sources: [never] }, { timeoutMs: 60_000 });
  const { socket } = rawOn(base);
  const body = JSON.stringify(QUESTION);
  const fields = {
    'content-type': 'application/json',
    'content-length': body.length,
    connection: 'keep-alive',
  };
  socket.write(`${head(fields)}${body}`.repeat(12));
  await eventually('all calls', () => (asked === 12 ? true : undefined));
  socket.destroy();
  await eventually('all records', () => (records.length === 12 ? true : undefined));
  expect(new Set(records.map(({ decision }) => decision.reason))).toEqual(new Set(['cancelled']));
  expect(warnings).toEqual([]);
});

describe('a batch', () => {
  test.each([
    ['a lone surrogate', { ...QUESTION, resource: { type: 'Order', id: '\ud800' } }],
    ['a reserved key', { ...QUESTION, context: { __entity: { type: 'A', id: 'b' } } }],
    ['2^53', { ...QUESTION, context: { reason: 2 ** 53 } }],
    [
      'endless nesting',
      { ...QUESTION, context: { a: JSON.parse(`${'['.repeat(40)}${']'.repeat(40)}`) as unknown } },
    ],
  ])('with %s in one item answers the others', async (_what, bad) => {
    const { evaluateAll } = await serveAuthzen();
    const { status, json } = await evaluateAll({ evaluations: [QUESTION, bad, QUESTION] });
    expect(status).toBe(200);
    expect(json['evaluations']).toMatchObject([
      { decision: true },
      { decision: false, context: { error: { status: 400 } } },
      { decision: true },
    ]);
  });

  test('whose time is up reads no more of its items, and answers each', async () => {
    const clock = createManualClock(Date.now());
    const late = orders([], () => {
      clock.advance(10_000);
      return ALICES;
    });
    const { evaluateAll, records } = await serveAuthzen({ clock, sources: [late] }, { clock });
    const bad = { ...QUESTION, subject: { type: 'no type', id: '1' } };
    const { json } = await evaluateAll({ evaluations: [QUESTION, QUESTION, QUESTION, QUESTION, bad, bad] });
    expect(json['evaluations']).toHaveLength(6);
    expect(new Set(records.map(({ decision }) => decision.reason))).toEqual(new Set(['deadline_exceeded']));
  });
});

describe('a search', () => {
  const workloads = {
    questions: {
      namespace: 'Shop',
      pipSubjects: new Map(),
      assertionHeader: 'x-device-assertion',
      parseSpiffeId: (text: string) => {
        const parsed = parseSpiffeId(text);
        return 'invalid' in parsed ? undefined : parsed;
      },
    },
  };

  test('finds workloads, whose ids are SPIFFE IDs; one whose id is none is undecided', async () => {
    const known = sourceOf(
      'workload',
      { tier: '' },
      {
        list: () => ['spiffe://a/b', 'none'],
        lookup: () => ({ ...ALICES, attributes: {} }),
      },
    );
    const { search } = await serveAuthzen({ policies: PERMIT_ALL, sources: [known] }, workloads);
    const who = {
      subject: { type: 'ZeroTrust::Workload' },
      action: VIEW,
      resource: { type: 'Order', id: '1' },
    };
    expect((await search('subject', who)).json).toMatchObject({
      results: [{ type: 'ZeroTrust::Workload', id: 'spiffe://a/b' }],
      context: { undecided: 1 },
    });
  });

  test('for what the user of a token may do finds it, and records who that is', async () => {
    const { search, searches } = await serveAuthzen({ policies: PERMIT_ALL, user: userIdentity('alice') });
    const answer = await search('action', {
      subject: { token: 'a.b.c' },
      resource: { type: 'Order', id: '1' },
    });
    expect(answer.json['results']).toEqual([{ name: 'delete' }, { name: 'edit' }, { name: 'view' }]);
    expect(searches).toMatchObject([{ subject: 'ZeroTrust::User::"demo/alice"', results: 3, ended: true }]);
  });

  test('by a token that is refused finds nobody, and says and records why', async () => {
    const user = refuse('token_expired', 'expired');
    const { search, records } = await serveAuthzen({ user, sources: [orders(['1', '2'])] });
    const { status, json } = await search('resource', { ...SEARCH, subject: { token: 'a.b.c' } });
    expect([status, json]).toMatchObject([200, { results: [], context: { reason: 'token_expired' } }]);
    expect(records.map(({ decision }) => decision.reason)).toEqual(['token_expired']);
  });

  test('by what nobody may assert is 400, as the question itself would be', async () => {
    const { search } = await serveAuthzen({ sources: [orders(['1'])] });
    const answer = await search('resource', { ...SEARCH, context: { now: 'x' } });
    expect([answer.status, answer.text]).toEqual([400, 'context.now cannot be asserted']);
  });

  test('comes to an end where an information point never answers in time', async () => {
    const never = orders(['1', '2', '3'], () => new Promise<never>(() => undefined) as never);
    const { search } = await serveAuthzen({ sources: [never] }, { searchTimeoutMs: 5 });
    let [token, undecided, pages] = ['', 0, 0];
    do {
      const { json } = await search('resource', { ...SEARCH, page: { token } });
      undecided += (json['context'] as { undecided: number }).undecided;
      token = (json['page'] as { next_token: string }).next_token;
      pages += 1;
    } while (token !== '' && pages < 50);
    expect([token, undecided]).toEqual(['', 3]);
  });

  test('goes on whatever the order of members is', async () => {
    const { search } = await serveAuthzen({ sources: [orders(['1', '2'])] });
    const question = { ...SEARCH, context: { ip: '192.0.2.1', reason: 'a' }, page: { limit: 1 } };
    const { json } = await search('resource', question);
    const { next_token: token } = json['page'] as { next_token: string };
    const same = { page: { token }, context: { reason: 'a', ip: '192.0.2.1' }, ...SEARCH };
    expect((await search('resource', same)).json['results']).toEqual([{ type: 'Order', id: '2' }]);
  });

  test('among very many asks about no more than one page of them', async () => {
    const asked: string[] = [];
    const ids = Array.from({ length: 50_000 }, (_, at) => String(at));
    const many = sourceOf(
      'order',
      { owner: '' },
      {
        list: () => ids,
        lookup: (id) => {
          asked.push(id);
          return ALICES;
        },
      },
    );
    const { search } = await serveAuthzen({ sources: [many] }, { maxCandidates: 20 });
    const { json } = await search('resource', { ...SEARCH, page: { limit: 8 } });
    expect(json['results']).toEqual(
      ids
        .toSorted()
        .slice(0, 8)
        .map((id) => ({ type: 'Order', id })),
    );
    expect(asked).toHaveLength(8);
  });

  test('leaves what it cached under the id of its own record', async () => {
    const fixture = await serveAuthzen({ sources: [orders(['1'])] });
    const { search, searches } = await serveAuthzen(
      { sources: [orders(['1'])] },
      { unrecorded: fixture.point },
    );
    await search('resource', SEARCH);
    await fixture.evaluate({ subject: ALICE, action: VIEW, resource: { type: 'Order', id: '1' } });
    expect(fixture.records.at(-1)?.cache).toMatchObject({ hit: true, of: searches[0]?.id });
  });

  test('has the trace and the id of its call in its record', async () => {
    const { post, searches } = await serveAuthzen({ sources: [orders(['1'])] });
    await post('/access/v1/search/resource', SEARCH, {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'x-request-id': 'r-1',
    });
    expect(searches).toMatchObject([
      { trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331', request_id: 'r-1' },
    ]);
  });
});

test.each([
  ['https://pdp.example.com', ''],
  ['https://gateway.example.com/pdp/eu', '/pdp/eu'],
])('the metadata of %s is where callers look for it', async (baseUrl, path) => {
  const { base } = await serveAuthzen({}, { baseUrl });
  const answer = await fetch(`${base}/.well-known/authzen-configuration${path}`);
  expect(await answer.json()).toMatchObject({ policy_decision_point: baseUrl });
});
