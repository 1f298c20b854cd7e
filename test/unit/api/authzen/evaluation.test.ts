import { describe, expect, test } from 'vitest';
import { refuse } from '../../../../src/pdp/decision.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { userIdentity } from '../../pdp/decision-point.ts';
import { GRANT } from '../decision-service/fixture.ts';
import { QUESTION, serveAuthzen } from './fixture.ts';

describe('an answer', () => {
  test('says what was decided, why, and where the record is', async () => {
    const { evaluate, records } = await serveAuthzen();
    const { status, json } = await evaluate(QUESTION);
    expect(status).toBe(200);
    const [record] = records;
    expect(json).toMatchObject({
      decision: true,
      context: { decision_id: record?.id, reason: 'permitted', snapshot: record?.snapshot?.digest },
    });
    expect(record).toMatchObject({ surface: 'authzen', asked: { asserted: ['subject', 'resource.owner'] } });
  });

  test('names the policies only to callers that may have explanations', async () => {
    const hidden = await (await serveAuthzen()).evaluate(QUESTION);
    expect(hidden.text).not.toContain('policies');
    const access = { plaintext: true, grants: [GRANT], explains: () => true };
    const shown = await (await serveAuthzen({}, { access })).evaluate(QUESTION);
    expect(shown.json['context']).toMatchObject({ policies: ['owner'] });
  });

  test('of a deny has the words of the policy', async () => {
    const { evaluate } = await serveAuthzen();
    const resource = { ...QUESTION.resource, properties: { owner: 'alice', status: 'closed' } };
    expect((await evaluate({ ...QUESTION, resource })).json).toMatchObject({
      decision: false,
      context: { reason: 'policy_forbids', message: 'the order is closed' },
    });
  });

  test('carries the advice of a policy', async () => {
    const policies = `@id("mfa") @advice("step_up") @acr_values("gold silver") forbid(principal, action, resource);`;
    const { evaluate } = await serveAuthzen({ policies });
    expect((await evaluate(QUESTION)).json).toMatchObject({
      decision: false,
      context: { advice: { kind: 'step_up', acr_values: ['gold', 'silver'] } },
    });
  });

  test('advises to authenticate where the token is at fault', async () => {
    const { evaluate } = await serveAuthzen({ user: refuse('token_expired', 'expired') });
    expect((await evaluate({ ...QUESTION, subject: { token: 'a.b.c' } })).json).toMatchObject({
      decision: false,
      context: { reason: 'token_expired', advice: { kind: 'authenticate' } },
    });
  });

  test('is a deny, and says that nothing was decided, where we are overloaded', async () => {
    const { evaluate, records } = await serveAuthzen({}, { inFlight: new InFlight(0) });
    const { status, json } = await evaluate(QUESTION);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      decision: false,
      context: { reason: 'overloaded', error: { status: 503 } },
    });
    expect(records.map(({ decision }) => decision.reason)).toEqual(['overloaded']);
  });
});

describe('a subject that a token proves', () => {
  test('is the user of the token', async () => {
    const { evaluate, records } = await serveAuthzen({ user: userIdentity('alice') });
    const { json } = await evaluate({ ...QUESTION, subject: { token: 'a.b.c' } });
    expect(json['decision']).toBe(true);
    expect(records[0]).toMatchObject({ identities: { user: { id: 'demo/alice' } } });
  });

  test.each([
    { token: 'a.b.c', type: 'ZeroTrust::User', id: 'demo/bob' },
    { token: 'a.b.c', properties: {} },
    { token: 7 },
    { token: '' },
    { token: 'a.b.c', device_assertion: 1 },
  ])('cannot be written as %j', async (subject) => {
    const { evaluate } = await serveAuthzen({ user: userIdentity('alice') });
    expect((await evaluate({ ...QUESTION, subject })).status).toBe(400);
  });
});

describe('what may not be asked', () => {
  const only = (grant: Partial<typeof GRANT>) => ({
    access: { plaintext: true, grants: [{ ...GRANT, ...grant }], explains: () => false },
  });

  test.each([
    ['a subject of this type', { subjects: new Set<string>() }],
    ['a resource of this type', { resources: new Set<string>() }],
    ['a property', { properties: new Set<string>() }],
  ])('is 403 in words, and recorded: %s', async (_what, grant) => {
    const { evaluate, records } = await serveAuthzen({}, only(grant));
    const answer = await evaluate(QUESTION);
    expect(answer.status).toBe(403);
    expect(answer.text).toMatch(/^the caller may not/);
    expect(answer.headers.get('x-pdp-decision-id')).toBe(records[0]?.id);
    expect(records[0]?.decision.reason).toBe('caller_not_allowed');
  });

  test('a type of * is any type', async () => {
    const grant = only({ subjects: new Set(['*']), resources: new Set(['*']) });
    expect((await (await serveAuthzen({}, grant)).evaluate(QUESTION)).json['decision']).toBe(true);
  });

  test('nobody may ask where nobody is granted anything', async () => {
    const access = { plaintext: true, grants: [], explains: () => false };
    const answer = await (await serveAuthzen({}, { access })).evaluate(QUESTION);
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringMatching(/^Bearer/),
    ]);
  });

  test.each(['user', 'token', 'source', 'now', 'mtls'])('nobody may assert context.%s', async (name) => {
    const answer = await (await serveAuthzen()).evaluate({ ...QUESTION, context: { [name]: true } });
    expect([answer.status, answer.text]).toEqual([400, `context.${name} cannot be asserted`]);
  });

  test('an item of a batch that exceeds the grant fails by itself', async () => {
    const { evaluateAll } = await serveAuthzen();
    const other = { ...QUESTION, resource: { type: 'Customer', id: '1' } };
    expect((await evaluateAll({ evaluations: [QUESTION, other] })).json['evaluations']).toMatchObject([
      { decision: true },
      { decision: false, context: { error: { status: 403 } } },
    ]);
  });
});

describe('what is no question', () => {
  test.each([
    ['__entity', { ...QUESTION, context: { a: { __entity: { type: 'A', id: 'b' } } } }],
    ['__proto__', '{"subject":{"__proto__":{"a":1}}}'],
    ['a fraction', { ...QUESTION, context: { reason: 1.5 } }],
    ['2^53', '{"subject":{"type":"T","id":"x"},"context":{"a":9007199254740993}}'],
  ])('is 400 with a record: %s', async (_what, body) => {
    const { post, records } = await serveAuthzen();
    expect((await post('/access/v1/evaluation', body)).status).toBe(400);
    expect(records.map(({ decision }) => decision.reason)).toEqual(['request_malformed']);
  });

  test('a body that is too large is 400 with a record', async () => {
    const { post, records } = await serveAuthzen();
    const answer = await post('/access/v1/evaluation', { ...QUESTION, padding: 'x'.repeat(70_000) });
    expect([answer.status, answer.text]).toEqual([400, 'the body is larger than this service reads']);
    expect(records.map(({ decision }) => decision.reason)).toEqual(['request_malformed']);
  });

  test('nesting without end is 400', async () => {
    const { post } = await serveAuthzen();
    const body = `{"context":${'['.repeat(5000)}${']'.repeat(5000)}}`;
    expect((await post('/access/v1/evaluation', body)).status).toBe(400);
  });

  test('a message quotes nothing of what was sent', async () => {
    const { post } = await serveAuthzen();
    const { text } = await post('/access/v1/evaluation', '{"canary-7f3a91": ');
    expect(text).not.toContain('canary');
  });
});

describe('a batch', () => {
  test('is answered by one snapshot, and each item leaves a record', async () => {
    const { evaluateAll, records, activate } = await serveAuthzen();
    const pending = evaluateAll({ ...QUESTION, evaluations: Array.from({ length: 50 }, () => ({})) });
    activate('@id("none") forbid(principal, action, resource);');
    await pending;
    expect(new Set(records.map(({ decision }) => decision.snapshot)).size).toBe(1);
    expect(new Set(records.map(({ batch }) => batch)).size).toBe(1);
    expect(new Set(records.map(({ id }) => id)).size).toBe(50);
  });

  test('with more items than are answered is 400 as a whole', async () => {
    const { evaluateAll } = await serveAuthzen({}, { maxBatchItems: 2 });
    const answer = await evaluateAll({ ...QUESTION, evaluations: [{}, {}, {}] });
    expect([answer.status, answer.text]).toEqual([
      400,
      '3 evaluations are more than the 2 that are answered',
    ]);
  });

  test('that ends early decides no more than it has to', async () => {
    const { evaluateAll, records } = await serveAuthzen();
    const options = { evaluations_semantic: 'permit_on_first_permit' };
    await evaluateAll({ ...QUESTION, options, evaluations: [{}, {}, {}] });
    expect(records).toHaveLength(1);
  });
});

test('the trace and the id of a call are in its record', async () => {
  const { evaluate, records } = await serveAuthzen();
  await evaluate(QUESTION, {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'x-request-id': 'r-1',
  });
  expect(records[0]).toMatchObject({
    requestId: 'r-1',
    trace: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' },
  });
});

test('the OpenAPI document is served, and paths of the API are no others', async () => {
  const { base } = await serveAuthzen();
  const document = (await (await fetch(`${base}/access/v1/openapi.json`)).json()) as { openapi: string };
  expect(document.openapi).toBe('3.1.0');
  expect((await fetch(`${base}/access/v1/evaluation`)).status).toBe(404);
});
