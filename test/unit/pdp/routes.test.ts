import { describe, expect, it } from 'vitest';
import { decodeCheckResponse } from '../../../src/api/ext-authz/client.ts';
import { createEncoder } from '../../../src/api/ext-authz/encode.ts';
import { httpStatusOf } from '../../../src/api/status.ts';
import { recordLine } from '../audit/trace-fixture.ts';
import { compileSnapshot } from '../../../src/pdp/compile-snapshot.ts';
import { refuse } from '../../../src/pdp/decision.ts';
import { InputError } from '../../../src/pdp/errors.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';
import { EXT_AUTHZ_TYPES, LEDGER_API, type RequestOptions, accessRequest } from '../../support/requests.ts';
import { SAMPLE_SCHEMA, policyTexts } from '../../support/snapshot.ts';
import { type Setup, setUp, sourceOf, userIdentity } from './decision-point.ts';

const SCHEMA = `${SAMPLE_SCHEMA}
namespace Shop {
  entity Customer;
  entity Order in [Customer] = { number: String, owner?: String, region?: String };
  action view, cancel appliesTo {
    principal: [ZeroTrust::User, ZeroTrust::Workload],
    resource: [Order],
    context: ZeroTrust::Facts,
  };
}`;

const BINDINGS = `
bindings:
  - id: shop.view
    match: { method: GET, path: '/customers/{customer}/orders/{order}' }
    action: Shop::Action::"view"
    resource:
      type: Shop::Order
      id: '{customer}/{order}'
      attributes: { number: '{order}', owner: '{customer}' }
      parents: [{ type: Shop::Customer, id: '{customer}' }]
      pip: orders
  - id: shop.cancel
    match: { method: DELETE, path: '/orders/{order}', headers: { x-shop: eu } }
    action: Shop::Action::"cancel"
    resource: { type: Shop::Order, id: '{order}', attributes: { number: '{order}' } }
    observe: true
`;

const POLICIES = `
@id("shop.owner-views") permit (principal is ZeroTrust::User, action == Shop::Action::"view", resource)
when { resource has owner && resource.owner == principal.subject };
@id("shop.annas-customer") permit (principal is ZeroTrust::User, action == Shop::Action::"view", resource in Shop::Customer::"anna");
`;

/** A decision point over a set with bindings. */
function shop(setup: Setup = {}, policies = POLICIES, bindings = BINDINGS) {
  const texts = { ...policyTexts(policies, SCHEMA), bindings: [{ file: 'bindings.yaml', text: bindings }] };
  const { snapshot } = compileSnapshot(texts, 0);
  return setUp({ snapshots: { current: () => snapshot }, ...setup });
}

const get = (path: string, options: RequestOptions = {}) =>
  accessRequest({ method: 'GET', path, ...options });

/** The answer to a trace as Envoy reads it. */
function answerTo(trace: DecisionTrace) {
  const encode = createEncoder(EXT_AUTHZ_TYPES.CheckResponse, { realm: 'test', faultsAsError: false });
  const bytes = encode(trace.id, trace.decision);
  return { ...decodeCheckResponse(bytes, EXT_AUTHZ_TYPES.CheckResponse), bytes };
}

const recordOf = (trace: DecisionTrace) =>
  JSON.parse(
    recordLine(trace, { log: 'test', engine: 'test', acceptsTokens: true, httpStatus: httpStatusOf }),
  ) as Record<string, unknown>;

describe('a bound route', () => {
  it('asks about the application’s own action and object', async () => {
    const { decide } = shop({ user: userIdentity('bert') });
    const trace = await decide(get('/customers/bert/orders/17?x=1'));
    expect(trace.decision).toMatchObject({ verdict: 'permit', policies: ['shop.owner-views'] });
    expect(trace.cedar).toMatchObject({
      action: { type: 'Shop::Action', id: 'view' },
      resource: { type: 'Shop::Order', id: 'bert/17' },
    });
    expect(recordOf(trace)).toMatchObject({ binding: 'shop.view', resource: 'Shop::Order::"bert/17"' });
  });

  it('puts the object under its parents', async () => {
    const { decide } = shop({ user: userIdentity('carl') });
    expect((await decide(get('/customers/anna/orders/1'))).decision).toMatchObject({
      policies: ['shop.annas-customer'],
    });
    expect((await decide(get('/customers/dora/orders/1'))).decision).toMatchObject({ reason: 'no_permit' });
  });

  it('believes what an information point knows of the object over what the path says', async () => {
    const orders = sourceOf('orders', { owner: 'eve' });
    const { decide } = shop({ user: userIdentity('bert'), sources: [orders] });
    expect((await decide(get('/customers/bert/orders/17'))).decision).toMatchObject({ verdict: 'deny' });
    expect(orders.asked).toEqual(['bert/17']);
  });

  it('asks no information point of objects that the route is not about', async () => {
    const orders = sourceOf('orders', { owner: 'eve' });
    const { decide } = shop({ user: userIdentity('bert'), sources: [orders] });
    await decide(accessRequest({ method: 'DELETE', path: '/orders/1', headers: [['x-shop', 'eu']] }));
    await decide(get('/elsewhere'));
    expect(orders.asked).toEqual([]);
  });

  it('denies, with the challenge that it takes, a principal that the action does not apply to', async () => {
    const { decide } = shop();
    const { decision } = await decide(get('/customers/bert/orders/17', { source: '' }));
    expect(decision).toMatchObject({ verdict: 'deny', reason: 'authentication_required' });
    expect((await decide(get('/customers/bert/orders/17'))).decision).toMatchObject({ reason: 'no_permit' });
  });

  it('leaves every other route to the default binding', async () => {
    const { decide } = shop({ user: userIdentity('bert') });
    const trace = await decide(get('/elsewhere'));
    expect(trace.route).toBeUndefined();
    expect(trace.cedar?.resource).toEqual({ type: 'ZeroTrust::Endpoint', id: `${LEDGER_API} /elsewhere` });
  });

  it('refuses a deciding header that is also sent with underscores, or twice', async () => {
    const { decide } = shop({ user: userIdentity('bert') });
    const cancel = (headers: RequestOptions['headers'] & object) =>
      decide(accessRequest({ method: 'DELETE', path: '/orders/1', headers }));
    expect(
      (
        await cancel([
          ['x-shop', 'eu'],
          ['x_shop', 'us'],
        ])
      ).decision.reason,
    ).toBe('header_ambiguous');
    expect(
      (
        await cancel([
          ['x-shop', 'eu'],
          ['x-shop', 'us'],
        ])
      ).decision.reason,
    ).toBe('header_ambiguous');
  });

  it('is refused at load with its position where it names what the schema does not know', () => {
    const bad = BINDINGS.replace('Shop::Action::"view"', 'Shop::Action::"veiw"');
    expect(() => shop({}, POLICIES, bad)).toThrow(InputError);
    expect(() => shop({}, POLICIES, bad)).toThrow(/bindings\.yaml:5:\d+: .*view/);
  });

  it('is part of the digest', () => {
    const digest = (bindings: string) =>
      compileSnapshot({ ...policyTexts(POLICIES, SCHEMA), bindings: [{ file: 'b', text: bindings }] }, 0)
        .snapshot.digest;
    expect(digest(BINDINGS)).not.toBe(digest(BINDINGS.replace('observe: true', 'observe: false')));
  });
});

describe('a route in observe mode', () => {
  const cancel = accessRequest({ method: 'DELETE', path: '/orders/9', headers: [['x-shop', 'eu']] });

  it('lets the request through that policies deny, and says so everywhere', async () => {
    const { decide } = shop({ user: userIdentity('bert') });
    const trace = await decide(cancel);
    expect(trace.decision).toMatchObject({ verdict: 'deny', reason: 'no_permit', enforced: false });
    expect(answerTo(trace)).toMatchObject({
      allowed: true,
      metadata: { decision: 'DENY', reason: 'no_permit', enforced: false },
    });
    expect(recordOf(trace)).toMatchObject({
      decision: 'DENY',
      enforced: false,
      http_status: 200,
      binding: 'shop.cancel',
    });
  });

  it('still enforces what is not for policies to say', async () => {
    const refused = shop({ user: refuse('token_expired') });
    expect(answerTo(await refused.decide(cancel))).toMatchObject({ allowed: false, httpStatus: 401 });
    const unrecorded = shop({
      user: userIdentity('bert'),
      recorder: { record: () => Promise.reject(new Error('disk')) },
    });
    expect(answerTo(await unrecorded.decide(cancel))).toMatchObject({ allowed: false, httpStatus: 503 });
    const trapped = shop({ user: userIdentity('bert') });
    expect(answerTo(await trapped.decide(get('/a/../b')))).toMatchObject({ allowed: false });
  });

  it('covers its own route only', async () => {
    const { decide } = shop({ user: userIdentity('bert') });
    const other = await decide(accessRequest({ method: 'DELETE', path: '/orders/9' }));
    expect(answerTo(other)).toMatchObject({ allowed: false });
    expect(recordOf(other)).toMatchObject({ enforced: true });
  });
});

describe('headers that policies set upstream', () => {
  const HEADERS = `
    @id("a.gold") @upstream_headers("x-tier: gold\\nx-class: internal")
    permit (principal in ZeroTrust::Group::"demo/gold", action, resource);
    @id("b.all") @upstream_headers("x-tier: basic")
    permit (principal, action, resource);
    @id("c.never") @upstream_headers("x-admin: yes")
    permit (principal == ZeroTrust::User::"demo/root", action, resource);`;

  it('are those of the determining permits; of two values the one of the smaller policy id', async () => {
    const gold = await setUp({
      policies: HEADERS,
      user: userIdentity('anna', { groups: ['gold'] }),
    }).decide();
    expect(answerTo(gold).headers).toMatchObject({ 'x-tier': 'gold', 'x-class': 'internal' });
    const basic = await setUp({ policies: HEADERS, user: userIdentity('bert') }).decide();
    expect(answerTo(basic).headers).toMatchObject({ 'x-tier': 'basic' });
  });

  it('are taken out of the request where no policy sets them, underscores and all', async () => {
    const { bytes, headers } = answerTo(
      await setUp({ policies: HEADERS, user: userIdentity('bert') }).decide(),
    );
    const { okResponse } = EXT_AUTHZ_TYPES.CheckResponse.toObject(
      EXT_AUTHZ_TYPES.CheckResponse.decode(bytes),
    ) as {
      okResponse: { headersToRemove: string[] };
    };
    expect(okResponse.headersToRemove).toEqual(
      expect.arrayContaining(['x-admin', 'x_admin', 'x-class', 'x_class', 'x_tier']),
    );
    // Envoy removes after it sets: what we set must not be in the list.
    for (const name of Object.keys(headers)) expect(okResponse.headersToRemove).not.toContain(name);
  });

  it.each([
    ['no value', '"x-tier"', /not 'name: value'/],
    ['an upper-case name', '"X-Tier: gold"', /lower case/],
    ['a reserved name', '"authorization: x"', /not for policies/],
    ['our own name', '"x-pdp-decision-id: x"', /not for policies/],
    ['a name twice', '"x-a: 1\\nx-a: 2"', /named twice/],
    ['a control character', '"x-a: 1\\u{7}"', /not 'name: value'/],
  ])('are refused at load with %s', (_what, value, message) => {
    expect(() =>
      setUp({ policies: `@id("p") @upstream_headers(${value}) permit(principal, action, resource);` }),
    ).toThrow(message);
  });

  it('belong on permits', () => {
    expect(() =>
      setUp({ policies: '@id("p") @upstream_headers("x-a: 1") forbid(principal, action, resource);' }),
    ).toThrow(/belongs on a permit/);
  });
});

describe('what a path says of an object', () => {
  it('is not believed where an information point should know and does not', async () => {
    const absent = sourceOf(
      'orders',
      { owner: 'x' },
      {
        lookup: () => ({ status: 'absent', attributes: {}, groups: [], observedAt: 0, freshUntil: 4e12 }),
      },
    );
    const down = sourceOf(
      'orders',
      { owner: 'x' },
      {
        onFailure: 'omit',
        lookup() {
          throw new Error('down');
        },
      },
    );
    for (const source of [absent, down]) {
      const { decide } = shop({ user: userIdentity('bert'), sources: [source] });
      const { decision, cedar } = await decide(get('/customers/bert/orders/17'));
      expect(decision).toMatchObject({ verdict: 'deny', reason: 'no_permit' });
      expect(JSON.stringify(cedar?.entities)).not.toContain('"owner"');
    }
  });

  it('neither overrides nor extends what the policy set says of it', async () => {
    const entities = [
      { uid: { type: 'Shop::Order', id: 'eve/17' }, attrs: { number: '17', owner: 'anna' }, parents: [] },
      { uid: { type: 'Shop::Order', id: 'anna/18' }, attrs: { number: '18', owner: 'nobody' }, parents: [] },
    ];
    const texts = {
      ...policyTexts(POLICIES, SCHEMA, entities),
      bindings: [{ file: 'bindings.yaml', text: BINDINGS }],
    };
    const { snapshot } = compileSnapshot(texts, 0);
    const parts = { snapshots: { current: () => snapshot }, user: userIdentity('eve') };
    expect((await setUp(parts).decide(get('/customers/eve/orders/17'))).decision).toMatchObject({
      verdict: 'deny',
    });
    expect((await setUp(parts).decide(get('/customers/anna/orders/18'))).decision).toMatchObject({
      verdict: 'deny',
    });
  });
});

describe('a header that decides', () => {
  it.each([
    ['joined by the PEP', true, [['x-shop', 'us,eu']]],
    ['joined by somebody before it', false, [['x-shop', 'eu, us']]],
    [
      'sent twice',
      false,
      [
        ['x-shop', 'eu'],
        ['x-shop', 'eu'],
      ],
    ],
  ] as const)('is refused with two values: %s', async (_what, joined, fields) => {
    const { decide } = shop({ user: userIdentity('bert') });
    const request = accessRequest({ method: 'DELETE', path: '/orders/1' });
    const headers = new HeaderFields(fields, joined);
    const { decision } = await decide({ ...request, http: { ...request.http, headers } });
    expect(decision.reason).toBe('header_ambiguous');
  });
});
