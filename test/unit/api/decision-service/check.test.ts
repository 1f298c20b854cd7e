import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { refuse } from '../../../../src/pdp/decision.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { sourceOf, userIdentity } from '../../pdp/decision-point.ts';
import { type Asked, GRANT, OWNERS, serve, struct } from './fixture.ts';

const ALICE = { type: 'ZeroTrust::User', id: 'demo/alice' };

describe('a question', () => {
  test('is answered by the policies, with the id of its record', async () => {
    const { check, records, faults } = await serve();
    const { code, answer } = await check();
    expect(code).toBe(status.OK);
    expect(answer).toMatchObject({ decision: 'DECISION_ALLOW', reason: 'permitted', policies: ['owner'] });
    expect(answer['decisionId']).toBe(records[0]?.id);
    expect(answer['snapshot']).toBe(records[0]?.snapshot?.digest);
    expect(records[0]?.surface).toBe('check');
    expect(records).toHaveLength(1);
    expect(faults).toEqual([]);
  });

  test('that is denied is answered too, with public words', async () => {
    const { check } = await serve();
    const { code, answer } = await check({ properties: { owner: 'alice', status: 'closed' } });
    expect(code).toBe(status.OK);
    expect(answer).toMatchObject({
      decision: 'DECISION_DENY',
      reason: 'policy_forbids',
      message: 'the order is closed',
    });
  });

  test('an equal one is answered from the cache, and says until when it is good', async () => {
    const { check, records } = await serve();
    const first = await check();
    const second = await check();
    expect(records.map(({ cache }) => cache?.hit)).toEqual([false, true]);
    expect(second.answer['cacheableUntil']).toEqual(first.answer['cacheableUntil']);
    expect(second.answer['cacheableUntil']).toBeDefined();
  });

  test.each<[string, Asked]>([
    ['names in full', { action: 'Shop::Action::"view"', resource: order('Shop::Order') }],
    ['names of the configured namespace', { action: 'view', resource: order('Order') }],
  ])('may use %s', async (_what, asked) => {
    const { check, records } = await serve();
    expect((await check(asked)).answer).toMatchObject({ reason: 'permitted' });
    expect(records[0]?.cedar).toMatchObject({
      action: { type: 'Shop::Action', id: 'view' },
      resource: { type: 'Shop::Order', id: '17' },
    });
  });

  test('about what the schema does not have is denied', async () => {
    const { check } = await serve();
    expect((await check({ action: 'fly' })).answer).toMatchObject({ reason: 'no_binding' });
  });

  test('is not told which policies decided unless the caller may have explanations', async () => {
    const { check } = await serve({}, { access: { explains: () => false } });
    expect((await check()).answer['policies']).toEqual([]);
  });

  test('carries the advice of policies', async () => {
    const stepUp = `@id("mfa") @advice("step_up") @acr_values("gold silver") forbid(principal, action, resource);`;
    const { check } = await serve({ policies: stepUp });
    expect((await check()).answer).toMatchObject({
      reason: 'step_up_required',
      advice: { kind: 'ADVICE_KIND_STEP_UP', acrValues: ['gold', 'silver'] },
    });
  });

  test('is joined to the trace and request id of the caller', async () => {
    const { check, records } = await serve();
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    await check(
      {},
      { metadata: { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, 'x-request-id': 'r-1' } },
    );
    expect(records[0]).toMatchObject({ trace: { traceId }, requestId: 'r-1' });
  });
});

function order(type: string) {
  return { type, id: '17', properties: struct({ owner: 'alice' }) };
}

describe('the subject', () => {
  const user = userIdentity('alice');

  test('is the user that a token proves, by the verifier of the mesh', async () => {
    const { check, records } = await serve({
      user: () => Promise.resolve(user),
      policies: `${OWNERS} @id("token") permit(principal, action, resource) when { context has token };`,
    });
    expect((await check({ subject: { token: 'a.b.c' } })).answer).toMatchObject({
      policies: ['owner', 'token'],
    });
    expect(records[0]?.identities?.user?.id).toBe('demo/alice');
    expect(records[0]?.asked?.asserted).toEqual(['resource.owner']);
  });

  test('whose token is bad is denied, never taken for somebody without one', async () => {
    const { check, records } = await serve({ user: refuse('token_expired', 'expired') });
    const { code, answer } = await check({ subject: { token: 'a.b.c' } });
    expect(code).toBe(status.OK);
    expect(answer).toMatchObject({ decision: 'DECISION_DENY', reason: 'token_expired' });
    expect(records[0]?.cedar).toBeUndefined();
  });

  test('is never the caller, where a token is sent that proves no user', async () => {
    const { check, records } = await serve({
      user: () => Promise.resolve(undefined),
      policies: '@id("all") permit(principal, action, resource);',
    });
    expect((await check({ subject: { token: 'a.b.c' } })).answer).toMatchObject({
      decision: 'DECISION_DENY',
      reason: 'token_type_refused',
    });
    expect(records[0]?.cedar).toBeUndefined();
  });

  test('is on the word of the caller where it is named, and the record says so', async () => {
    const { check, records } = await serve();
    await check({ context: { reason: 'audit' } });
    expect(records[0]?.cedar?.principal).toEqual(ALICE);
    expect(records[0]?.identities).toMatchObject({ tokenState: 'absent' });
    expect(records[0]?.identities?.user).toBeUndefined();
    expect(records[0]?.asked?.asserted).toEqual(['subject', 'resource.owner', 'context.reason']);
  });

  test('may be a workload, which then is the source of the access', async () => {
    const id = 'spiffe://prod.example.com/ns/shop/sa/cart';
    const { check, records } = await serve({
      policies:
        '@id("w") permit(principal is ZeroTrust::Workload, action, resource) when { context has source && principal.trust_domain == "prod.example.com" };',
    });
    await check({ subject: { type: 'ZeroTrust::Workload', id } });
    expect(records[0]?.decision.policies).toEqual(['w']);
    expect(records[0]?.identities?.source).toBeUndefined();
  });

  test('may be an entity of the application', async () => {
    const { check } = await serve({
      policies:
        '@id("gold") permit(principal is Shop::Customer, action, resource) when { principal has tier && principal.tier == "gold" };',
    });
    const subject = (tier: string) => ({ type: 'Customer', id: '1', properties: struct({ tier }) });
    expect((await check({ subject: subject('gold') })).answer).toMatchObject({ reason: 'permitted' });
    expect((await check({ subject: subject('tin') })).answer).toMatchObject({ reason: 'no_permit' });
  });
});

describe('properties', () => {
  test('do not go before what an information point says', async () => {
    const source = sourceOf('order', { status: 'closed' });
    const { check } = await serve({ sources: [source] });
    const { answer } = await check({ properties: { owner: 'alice', status: 'open' } });
    expect(answer).toMatchObject({ reason: 'policy_forbids' });
    expect(source.asked).toEqual(['17']);
  });

  test('do not stand in for an information point that does not know the object, or does not answer', async () => {
    const silent = sourceOf(
      'order',
      { owner: 'alice' },
      {
        onFailure: 'omit',
        lookup: () => {
          throw new Error('down');
        },
      },
    );
    const unknowing = sourceOf(
      'order',
      { owner: 'alice' },
      {
        lookup: () => ({ status: 'absent', attributes: {}, groups: [], observedAt: 0, freshUntil: Infinity }),
      },
    );
    for (const source of [silent, unknowing]) {
      const { check } = await serve({ sources: [source] });
      expect((await check()).answer).toMatchObject({ reason: 'no_permit' });
    }
  });

  test('do not go before what the policy set says', async () => {
    const entities = [{ uid: { type: 'Shop::Order', id: '17' }, attrs: { owner: 'bob' }, parents: [] }];
    const { check } = await serve({ entities });
    expect((await check()).answer).toMatchObject({ reason: 'no_permit' });
  });

  test('facts about one user are not facts about another', async () => {
    const directory = {
      ...sourceOf('user', { department: 'x' }),
      lookup: (id: string) => ({
        status: 'found' as const,
        attributes: { department: id === 'demo/alice' ? 'billing' : 'none' },
        groups: [],
        observedAt: 0,
        freshUntil: Infinity,
      }),
    };
    const { check } = await serve({
      sources: [directory],
      policies:
        '@id("d") permit(principal is ZeroTrust::User, action, resource) when { principal has department && principal.department == "billing" };',
    });
    expect((await check()).answer).toMatchObject({ reason: 'permitted' });
    expect((await check({ subject: { type: 'ZeroTrust::User', id: 'demo/bob' } })).answer).toMatchObject({
      reason: 'no_permit',
    });
  });

  test('of an endpoint: it is in the service that its id names, as in the mesh', async () => {
    const grant = { ...GRANT, resources: new Set(['ZeroTrust::Endpoint']) };
    const { check } = await serve(
      {
        policies: `@id("api") permit(principal, action == ZeroTrust::Action::"GET", resource in ZeroTrust::Service::"api")
          when { resource.path == "/x" && resource.host == "api.example" };`,
      },
      { access: { grants: [grant] } },
    );
    const ask = (id: string, properties: object) =>
      check({
        action: 'ZeroTrust::Action::"GET"',
        resource: { type: 'ZeroTrust::Endpoint', id, properties },
      });
    const host = struct({ host: 'api.example', path: '/y' });
    expect((await ask('api /x', host)).answer).toMatchObject({ reason: 'permitted' });
    expect((await ask('other /x', host)).answer).toMatchObject({ reason: 'no_permit' });
    expect((await ask('api /x', struct({}))).answer).toMatchObject({ reason: 'attribute_refused' });
  });

  test('of the wrong type are denied, not guessed at', async () => {
    const { check } = await serve();
    expect((await check({ properties: { owner: 7 } })).answer).toMatchObject({ reason: 'attribute_refused' });
  });

  test('that the schema does not have reach no policy', async () => {
    const { check, records } = await serve();
    await check({ properties: { owner: 'alice', secret: 'x' } });
    expect(JSON.stringify(records[0]?.cedar)).not.toContain('secret');
  });

  test('of the action are its parameters', async () => {
    const { check } = await serve({
      policies:
        '@id("soft") permit(principal, action == Shop::Action::"delete", resource) when { context has action && context.action has soft && context.action.soft };',
    });
    const remove = (soft: boolean) => ({ name: 'delete', properties: struct({ soft }) });
    expect((await check({ action: remove(true) })).answer).toMatchObject({ reason: 'permitted' });
    expect((await check({ action: remove(false) })).answer).toMatchObject({ reason: 'no_permit' });
  });

  test.each<[string, Asked]>([
    ['a fraction', { properties: { total: 1.5 } }],
    ['an integer beyond 2^53', { properties: { total: 2 ** 60 } }],
    ['an escape into entities', { properties: { owner: { __entity: { type: 'X', id: '1' } } } }],
    ['an escape into functions', { context: { reason: { __extn: { fn: 'ip', arg: '1.1.1.1' } } } }],
    [
      'a prototype',
      { properties: JSON.parse('{"__proto__": {"owner": "alice"}}') as Record<string, unknown> },
    ],
  ])('%s is no question', async (_what, asked) => {
    const { check, records } = await serve();
    expect(await check(asked)).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(records[0]?.decision.reason).toBe('request_malformed');
  });

  test('whose names look like our own refusals are properties like any other', async () => {
    const { check } = await serve();
    const refusal = { refusal: 'permitted', detail: 'x' };
    expect(
      (await check({ properties: { owner: 'alice', ...refusal }, context: refusal })).answer,
    ).toMatchObject({
      reason: 'permitted',
    });
  });
});

describe('the context', () => {
  test('holds what the caller says, typed by the schema', async () => {
    const { check } = await serve({
      policies:
        '@id("net") permit(principal, action, resource) when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };',
    });
    expect((await check({ context: { ip: '::ffff:10.1.2.3' } })).answer).toMatchObject({
      reason: 'permitted',
    });
    expect((await check({ context: { ip: '192.0.2.1' } })).answer).toMatchObject({ reason: 'no_permit' });
    expect(await check({ context: { ip: '10.0.0.0/8' } })).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test.each(['mtls', 'source', 'user', 'device', 'token', 'now', 'origin', 'origin_evidence', 'pep'])(
    '%s cannot be asserted, whatever the caller was granted',
    async (name) => {
      const { check, records } = await serve();
      expect(await check({ context: { [name]: 'x' } })).toMatchObject({ code: status.INVALID_ARGUMENT });
      expect(records).toHaveLength(1);
    },
  );
});

describe('what is no question', () => {
  test.each<[string, Asked, RegExp]>([
    ['without a subject', { subject: null }, /subject is missing/],
    ['without an action', { action: null }, /action is missing/],
    ['without a resource', { resource: null }, /resource is missing/],
    ['with an empty id', { resource: { type: 'Order', id: '' } }, /resource.id is missing/],
    ['with a type that is none', { resource: { type: 'Order or 1', id: '1' } }, /resource.type/],
    ['with an id that no record holds', { resource: { type: 'Order', id: 'x'.repeat(1025) } }, /longer than/],
    ['with a token and a name', { subject: { ...ALICE, token: 'a.b.c' } }, /token/],
    ['with a workload that is none', { subject: { type: 'ZeroTrust::Workload', id: 'cart' } }, /SPIFFE ID/],
    [
      'with parameters twice',
      { action: { name: 'view', properties: struct({}) }, context: { action: {} } },
      /context.action/,
    ],
  ])('a message %s is INVALID_ARGUMENT in words, and leaves a record', async (_what, asked, words) => {
    const { check, records } = await serve();
    const { code, details, errorId } = await check(asked);
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toMatch(words);
    expect(records.map(({ id }) => id)).toEqual([errorId]);
    expect(records[0]).toMatchObject({ surface: 'check', decision: { reason: 'request_malformed' } });
  });

  test('bytes that are no message are INVALID_ARGUMENT, and leave a record', async () => {
    const { bytes, records } = await serve();
    expect(await bytes('Check', Buffer.from([0xff, 0xff, 0xff]))).toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect(records).toHaveLength(1);
  });

  test('a message that is too long is INVALID_ARGUMENT, and leaves a record', async () => {
    const { check, records } = await serve({}, { maxRequestBytes: 1024 });
    expect(await check({ properties: { owner: 'x'.repeat(2000) } })).toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect(records).toHaveLength(1);
  });
});

describe('who may ask', () => {
  const grant = { ...GRANT, properties: new Set(['resource.owner', 'context.*']) };

  test('nobody, where nobody is granted anything', async () => {
    const { check, records } = await serve({}, { access: { grants: [] } });
    expect(await check()).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(records[0]?.decision.reason).toBe('caller_not_allowed');
  });

  test.each<[string, Asked, RegExp]>([
    ['a subject', { subject: { type: 'ZeroTrust::Device', id: 'd' } }, /subjects of type ZeroTrust::Device/],
    ['a resource', { resource: { type: 'ZeroTrust::Endpoint', id: 'd' } }, /resources of type/],
    ['a property', { properties: { owner: 'alice', status: 'open' } }, /assert resource.status/],
    [
      'a property of the subject',
      { subject: { ...ALICE, properties: struct({ department: 'x' }) } },
      /assert subject.department/,
    ],
  ])('not about %s that was not granted', async (_what, asked, words) => {
    const { check, records } = await serve({}, { access: { grants: [grant] } });
    const { code, details } = await check(asked);
    expect(code).toBe(status.PERMISSION_DENIED);
    expect(details).toMatch(words);
    expect(records[0]?.decision.reason).toBe('caller_not_allowed');
    expect(records[0]?.cedar).toBeUndefined();
  });

  test('two grants do not add up to one', async () => {
    const subjects = { ...GRANT, resources: new Set<string>() };
    const resources = { ...GRANT, subjects: new Set<string>() };
    const { check } = await serve({}, { access: { grants: [subjects, resources] } });
    expect(await check()).toMatchObject({ code: status.PERMISSION_DENIED });
  });

  test('a subject that a token proves needs no grant', async () => {
    const { check } = await serve(
      { user: () => Promise.resolve(userIdentity('alice')) },
      { access: { grants: [{ ...GRANT, subjects: new Set<string>() }] } },
    );
    expect((await check({ subject: { token: 'a.b.c' } })).answer).toMatchObject({ reason: 'permitted' });
  });
});

describe('limits', () => {
  test('calls beyond those that may be under way are denied', async () => {
    const { check, records } = await serve({}, { inFlight: new InFlight(0) });
    expect((await check()).answer).toMatchObject({ decision: 'DECISION_DENY', reason: 'overloaded' });
    expect(records).toHaveLength(1);
  });

  test('the time of the caller ends a check', async () => {
    const { check, records, inFlight } = await serve(
      { user: () => delay(40, userIdentity('alice')) },
      { timeoutMs: 20 },
    );
    const { answer } = await check({ subject: { token: 'a.b.c' } });
    expect(answer).toMatchObject({ decision: 'DECISION_DENY', reason: 'deadline_exceeded' });
    expect(records).toHaveLength(1);
    expect(inFlight.count).toBe(0);
  });

  test('a fault of ours is an error, and somebody is told', async () => {
    const { check, faults } = await serve(
      {},
      {
        decisionPoint: {
          decide: () => Promise.reject(new Error('bug')),
          recall: () => undefined,
          turnAway: () => Promise.reject(new Error('not asked for')),
        },
      },
    );
    expect(await check()).toMatchObject({ code: status.INTERNAL, details: 'internal error' });
    expect(faults).toHaveLength(1);
  });
});
