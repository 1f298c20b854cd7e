// The levels of the AuthZEN 1.0 certification scenario; numbers are its sections. What it wants of answers is tested here; how questions are
// decided beyond its fixture is tested elsewhere.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CertifiedAnswer, type CertifiedPdp, startCertifiedPdp } from './harness.ts';

let pdp: CertifiedPdp;
beforeAll(async () => {
  pdp = await startCertifiedPdp();
});
afterAll(() => pdp[Symbol.asyncDispose]());

const EVALUATION = '/access/v1/evaluation';
const EVALUATIONS = '/access/v1/evaluations';
const SEARCH = '/access/v1/search';

const user = (id: string, properties?: object) => ({ type: 'user', id, ...(properties && { properties }) });
const record = (id: string, properties?: object) => ({
  type: 'record',
  id,
  ...(properties && { properties }),
});
const action = (name: string, properties?: object) => ({ name, ...(properties && { properties }) });
const ARCHIVED = record('record-2', { status: 'archived' });
const ADMIN = user('bob', { role: 'admin' });
const READ = { subject: user('alice'), action: action('read'), resource: record('record-1') };

function expectJson(answer: CertifiedAnswer): void {
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
}

async function decisionOf(question: object): Promise<unknown> {
  const answer = await pdp.post(EVALUATION, question);
  expectJson(answer);
  return answer.json['decision'];
}

async function decisionsOf(batch: object): Promise<unknown> {
  const answer = await pdp.post(EVALUATIONS, batch);
  expectJson(answer);
  expect(answer.json).not.toHaveProperty('decision');
  return (answer.json['evaluations'] as readonly { decision: unknown }[]).map(({ decision }) => decision);
}

describe('Basic Core', () => {
  test.each([
    ['1', 'alice', 'read', true],
    ['2', 'alice', 'write', true],
    ['3', 'bob', 'read', true],
    ['4', 'bob', 'write', false],
  ])('rule %s: %s, %s: %s', async (_rule, who, what, decision) => {
    const question = { subject: user(who), action: action(what), resource: record('record-1') };
    expect(await decisionOf(question)).toBe(decision);
  });

  test('2.2.3: a context changes nothing', async () => {
    const context = { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' };
    expect(await decisionOf({ ...READ, context })).toBe(true);
  });

  test('2.2.8: further properties are accepted', async () => {
    const question = {
      subject: user('alice', { department: 'Sales', role: 'manager' }),
      action: action('read', { method: 'GET' }),
      resource: record('record-1', { status: 'active', owner: 'bob' }),
    };
    expect(await decisionOf(question)).toBe(true);
  });

  test('2.2.9: unknown members are ignored, in whatever order members come', async () => {
    const { subject, action: what, resource } = READ;
    const question = { futureField: { nested: true }, resource, foo: 'bar', action: what, subject };
    expect(await decisionOf(question)).toBe(true);
  });

  test('2.3.2: the context of an answer is an object', async () => {
    const { json } = await pdp.post(EVALUATION, READ);
    expect(json['context']).toMatchObject({ reason: 'permitted' });
  });

  test.each([
    ['subject', { action: READ.action, resource: READ.resource }],
    ['action', { subject: READ.subject, resource: READ.resource }],
    ['resource', { subject: READ.subject, action: READ.action }],
    ['subject.type', { ...READ, subject: { id: 'alice' } }],
    ['subject.id', { ...READ, subject: { type: 'user' } }],
    ['action.name', { ...READ, action: {} }],
    ['resource.type', { ...READ, resource: { id: 'record-1' } }],
    ['resource.id', { ...READ, resource: { type: 'record' } }],
  ])('2.4.1, 2.4.2: without %s it is 400 with a message', async (missing, question) => {
    const answer = await pdp.post(EVALUATION, question);
    expect(answer.status).toBe(400);
    expect(answer.text).toBe(`${missing} is missing`);
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx'])(
    '2.4.3: the content type %s is 400',
    async (type) => {
      expect((await pdp.post(EVALUATION, READ, { 'content-type': type })).status).toBe(400);
    },
  );

  test.each(['{', 'x', '', '[]', '"alice"', 'null', '{"subject":{"type":"user","type":"admin"}}'])(
    '2.4.4, 2.4.5: the body %j is 400 with a message',
    async (body) => {
      const answer = await pdp.post(EVALUATION, body);
      expect([answer.status, answer.text === '']).toEqual([400, false]);
    },
  );

  test.each([
    { ...READ, subject: 'alice' },
    { ...READ, action: { name: 123 } },
    { ...READ, resource: ['record-1'] },
    { ...READ, subject: { type: 7, id: 'alice' } },
    { ...READ, context: 'now' },
    { ...READ, subject: { ...READ.subject, properties: [] } },
  ])('2.4.6: a member of a wrong type is 400: %j', async (question) => {
    expect((await pdp.post(EVALUATION, question)).status).toBe(400);
  });

  test.each([EVALUATION, EVALUATIONS])(
    '2.5: %s tells the X-Request-ID again, and needs none',
    async (path) => {
      const told = await pdp.post(path, READ, { 'x-request-id': 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716' });
      expect(told.headers.get('x-request-id')).toBe('bfe9eb29-ab87-4ca3-be83-a1d5d8305716');
      expectJson(await pdp.post(path, READ));
    },
  );

  test('2.5.1: an error tells it again too', async () => {
    const refused = await pdp.post(EVALUATION, {}, { 'x-request-id': 'abc' });
    expect([refused.status, refused.headers.get('x-request-id')]).toEqual([400, 'abc']);
  });

  test('2.6: the same question has the same decision', async () => {
    const decisions = new Set<unknown>();
    for (let again = 0; again < 5; again++) decisions.add(await decisionOf(READ));
    expect([...decisions]).toEqual([true]);
  });
});

describe('Basic Properties', () => {
  test.each([
    ['5', user('alice'), action('write'), ARCHIVED, false],
    ['6', ADMIN, action('write'), ARCHIVED, true],
    ['7', user('alice'), action('delete', { soft: true }), record('record-1'), true],
    ['8', user('alice'), action('delete', { soft: false }), record('record-1'), false],
  ])('rule %s', async (_rule, subject, what, resource, decision) => {
    expect(await decisionOf({ subject, action: what, resource })).toBe(decision);
  });
});

describe('Batch Core', () => {
  test('3.2.1: items take what they leave out from the defaults', async () => {
    const { subject, action: what } = READ;
    const evaluations = [{ resource: record('record-1') }, { resource: record('record-2') }];
    expect(await decisionsOf({ subject, action: what, evaluations })).toEqual([true, true]);
  });

  test('3.2.2: answers are in the order of the items', async () => {
    const evaluations = [{ action: action('read') }, { action: action('write') }];
    const batch = { subject: user('bob'), resource: record('record-1'), evaluations };
    expect(await decisionsOf(batch)).toEqual([true, false]);
  });

  test('3.2.5: items may be whole', async () => {
    const evaluations = [
      READ,
      { subject: user('bob'), action: action('write'), resource: record('record-1') },
    ];
    expect(await decisionsOf({ evaluations })).toEqual([true, false]);
  });

  test('3.2.6: the context is a default like any other', async () => {
    const { subject, action: what } = READ;
    const evaluations = [
      { resource: record('record-1') },
      {
        resource: record('record-2'),
        context: { time: '2025-06-27T19:00-07:00', source: 'batch-override' },
      },
    ];
    const batch = { subject, action: what, context: { time: '2025-06-27T18:03-07:00' }, evaluations };
    expect(await decisionsOf(batch)).toHaveLength(2);
  });

  test('3.4.1: an item that is no question is denied by itself, and says why', async () => {
    const { subject, action: what, resource } = READ;
    const answer = await pdp.post(EVALUATIONS, { subject, action: what, evaluations: [{ resource }, {}] });
    expectJson(answer);
    expect(answer.json['evaluations']).toMatchObject([
      { decision: true },
      { decision: false, context: { error: { status: 400, message: 'resource is missing' } } },
    ]);
  });

  test.each([{}, { evaluations: [] }])(
    '3.4.2, 3.4.3: %j beside a question is that question',
    async (more) => {
      const answer = await pdp.post(EVALUATIONS, { ...READ, ...more });
      expectJson(answer);
      expect(answer.json).toMatchObject({ decision: true });
      expect(answer.json).not.toHaveProperty('evaluations');
    },
  );

  test.each([
    ['execute_all', [true, false, true]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])('%s answers %j', async (semantic, decisions) => {
    const evaluations = [{ action: action('read') }, { action: action('write') }, { action: action('read') }];
    const options = { evaluations_semantic: semantic };
    const batch = { subject: user('bob'), resource: record('record-1'), options, evaluations };
    expect(await decisionsOf(batch)).toEqual(decisions);
  });

  test.each([
    { evaluations: 'all' },
    { evaluations: [{}], options: { evaluations_semantic: 'some' } },
    { evaluations: [{}], options: 'x' },
    { evaluations: [{}], subject: 'alice' },
  ])('a batch that is none as a whole is 400: %j', async (batch) => {
    expect((await pdp.post(EVALUATIONS, batch)).status).toBe(400);
  });
});

describe('Batch Properties', () => {
  test('3.2.3: properties of the resource count for their item', async () => {
    const evaluations = [{ resource: record('record-1', { status: 'active' }) }, { resource: ARCHIVED }];
    const batch = { subject: user('alice'), action: action('write'), evaluations };
    expect(await decisionsOf(batch)).toEqual([true, false]);
  });

  test('3.2.4: properties of the subject count for their item', async () => {
    const evaluations = [{ subject: user('alice') }, { subject: ADMIN }];
    expect(await decisionsOf({ action: action('write'), resource: ARCHIVED, evaluations })).toEqual([
      false,
      true,
    ]);
  });

  test('3.2.7: a part of an item replaces the default whole, but for type and id that it lacks', async () => {
    const batch = {
      subject: user('alice'),
      action: action('write'),
      resource: { type: 'record', properties: { status: 'archived' } },
      evaluations: [
        { resource: { id: 'record-1', properties: { status: 'active' } } },
        { resource: ARCHIVED },
        { resource: { id: 'record-1' } },
      ],
    };
    expect(await decisionsOf(batch)).toEqual([true, false, true]);
  });
});

async function resultsOf(what: string, question: object): Promise<readonly object[]> {
  const answer = await pdp.post(`${SEARCH}/${what}`, question);
  expectJson(answer);
  return answer.json['results'] as readonly object[];
}

describe('Search Core', () => {
  const WHO = { subject: { type: 'user' }, action: action('read'), resource: record('record-1') };

  test.each([{}, { context: { time: 'x' } }, { subject: { type: 'user', id: 'ignored' } }])(
    '4.2.1 to 4.2.3: who may read the record, with %j',
    async (more) => {
      expect(await resultsOf('subject', { ...WHO, ...more })).toEqual([user('alice'), user('bob')]);
    },
  );

  test.each([{}, { id: 'ignored' }])('4.3: which records alice may read, with %j', async (more) => {
    const question = {
      subject: user('alice'),
      action: action('read'),
      resource: { type: 'record', ...more },
    };
    expect(await resultsOf('resource', question)).toEqual([record('record-1'), record('record-2')]);
  });

  test.each([{}, { context: { time: 'x' } }])(
    '4.4: what alice may do to the record, with %j',
    async (more) => {
      const question = { subject: user('alice'), resource: record('record-1'), ...more };
      expect(await resultsOf('action', question)).toEqual([action('read'), action('write')]);
    },
  );

  test('4.5: pages follow one another up to an empty token', async () => {
    const first = await pdp.post(`${SEARCH}/subject`, { ...WHO, page: { limit: 1 } });
    expectJson(first);
    const { next_token: token, count } = first.json['page'] as Record<string, unknown>;
    expect([first.json['results'], count]).toEqual([[user('alice')], 1]);
    const second = await pdp.post(`${SEARCH}/subject`, { ...WHO, page: { token } });
    expect(second.json).toMatchObject({ results: [user('bob')], page: { next_token: '', count: 1 } });
  });

  test.each([
    ['subject', { subject: { type: 'spaceship' }, action: action('read'), resource: record('record-1') }],
    ['resource', { subject: user('alice'), action: action('read'), resource: { type: 'spaceship' } }],
    ['resource', { subject: user('nobody'), action: action('read'), resource: { type: 'record' } }],
    ['action', { subject: user('nonexistent-user'), resource: record('record-1') }],
    ['action', { subject: { type: 'spaceship', id: 'x' }, resource: record('record-1') }],
    ['subject', { subject: { type: 'user' }, action: action('fly'), resource: record('record-1') }],
  ])('4.6: what is not known has no results: %s of %j', async (what, question) => {
    expect(await resultsOf(what, question)).toEqual([]);
  });

  test.each([
    ['subject', { subject: { type: 'user' }, resource: record('record-1') }],
    ['subject', { action: action('read'), resource: record('record-1') }],
    ['subject', { subject: { type: 'user' }, action: action('read'), resource: { type: 'record' } }],
    ['resource', { action: action('read'), resource: { type: 'record' } }],
    ['resource', { subject: { type: 'user' }, action: action('read'), resource: { type: 'record' } }],
    ['resource', { subject: user('alice'), action: action('read') }],
    ['action', { subject: user('alice') }],
    ['action', { resource: record('record-1') }],
  ])('4.7: what is needed and missing is 400: %s of %j', async (what, question) => {
    expect((await pdp.post(`${SEARCH}/${what}`, question)).status).toBe(400);
  });
});

describe('Search Properties', () => {
  test('4.2.4: who may write the archived record', async () => {
    const question = { subject: { type: 'user' }, action: action('write'), resource: ARCHIVED };
    expect(await resultsOf('subject', question)).toEqual([user('bob')]);
  });

  test('4.3.3: which records an admin may write', async () => {
    const question = { subject: ADMIN, action: action('write'), resource: { type: 'record' } };
    expect(await resultsOf('resource', question)).toContainEqual(record('record-2'));
  });

  test('4.4.3: what an admin may do to the archived record', async () => {
    expect(await resultsOf('action', { subject: ADMIN, resource: ARCHIVED })).toContainEqual(action('write'));
  });
});

describe('Discovery', () => {
  test('6: the metadata names the endpoints by the base URL, whatever host was asked', async () => {
    const answer = await fetch(`${pdp.base}/.well-known/authzen-configuration`, {
      headers: { 'x-forwarded-host': 'evil.example.com', forwarded: 'host=evil.example.com' },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await answer.json()).toEqual({
      policy_decision_point: pdp.base,
      access_evaluation_endpoint: `${pdp.base}${EVALUATION}`,
      access_evaluations_endpoint: `${pdp.base}${EVALUATIONS}`,
      search_subject_endpoint: `${pdp.base}${SEARCH}/subject`,
      search_resource_endpoint: `${pdp.base}${SEARCH}/resource`,
      search_action_endpoint: `${pdp.base}${SEARCH}/action`,
    });
  });
});
