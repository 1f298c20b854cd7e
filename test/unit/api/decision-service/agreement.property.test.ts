import fc from 'fast-check';
import { expect, test } from 'vitest';
import { recordLine } from '../../audit/trace-fixture.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import type { UserIdentity } from '../../../../src/pdp/identity.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { checkRequestBytes } from '../../../support/requests.ts';
import { SAMPLE_SCHEMA, policyTexts } from '../../../support/snapshot.ts';
import { sourceOf, userIdentity } from '../../pdp/decision-point.ts';
import { authzenOn } from '../authzen/fixture.ts';
import { GRANT, OWNERS, SHOP_SCHEMA, serve, struct } from './fixture.ts';

const BINDINGS = `
bindings:
  - id: view
    match: { method: GET, path: '/orders/{id}' }
    action: Shop::Action::"view"
    resource: { type: Shop::Order, id: '{id}', pip: order }
  - id: edit
    match: { method: PUT, path: '/orders/{id}' }
    action: Shop::Action::"edit"
    resource: { type: Shop::Order, id: '{id}', pip: order }
`;

const POLICIES = `${OWNERS}
@id("staff") permit(principal in ZeroTrust::Group::"demo/staff", action, resource is Shop::Order);
@id("mfa") @advice("step_up") @acr_values("gold")
forbid(principal, action == Shop::Action::"edit", resource) unless { context has token && context.token.issuer == "demo" };
@id("errs") permit(principal, action, resource) when { resource has total && resource.total * 9000000000000 > 0 };
`;

const METHODS = { view: 'GET', edit: 'PUT' } as const;

/** What both ways of asking must leave in the record alike: all but how it was asked, and when. */
function comparable(trace: DecisionTrace): object {
  const line = recordLine(trace, { log: 'test', engine: 'test', acceptsTokens: true, httpStatus: () => 0 });
  const {
    decision,
    reason,
    message,
    policies,
    policy_errors: errors,
    stage,
    user,
    token,
    device,
    mtls,
    principal,
    action,
    resource,
    context,
    entities,
    snapshot,
    pip,
  } = JSON.parse(line) as Record<string, unknown>;
  const sources = (pip as readonly { source: string; status: string }[] | null)?.map((one) => [
    one.source,
    one.status,
  ]);
  return {
    decision,
    reason,
    message,
    policies,
    errors,
    stage,
    user,
    token,
    device,
    mtls,
    principal,
    action,
    resource,
    context,
    entities,
    snapshot,
    sources,
  };
}

const facts = fc.record(
  {
    owner: fc.constantFrom('alice', 'bob'),
    status: fc.constantFrom('open', 'closed'),
    total: fc.constantFrom(0, 5, Number.MAX_SAFE_INTEGER),
  },
  { requiredKeys: [] },
);
const cases = fc.record({
  user: fc.constantFrom(undefined, 'alice', 'bob'),
  groups: fc.constantFrom([], ['staff']),
  action: fc.constantFrom('view' as const, 'edit' as const),
  id: fc.constantFrom('17', 'a-b', 'x~y'),
  facts,
  outage: fc.constantFrom('none' as const, 'absent' as const, 'deny' as const, 'omit' as const),
});

function boundSnapshot() {
  const texts = policyTexts(POLICIES, `${SAMPLE_SCHEMA}\n${SHOP_SCHEMA}`);
  return compileSnapshot({ ...texts, bindings: [{ file: 'bindings.yaml', text: BINDINGS }] }, 0).snapshot;
}

test('Check, AuthZEN and ext_authz give one decision, reason and record for the same facts', async () => {
  let user: UserIdentity | undefined;
  let now: typeof cases extends fc.Arbitrary<infer T> ? T | undefined : never;
  const snapshot = boundSnapshot();
  const order = (onFailure: 'deny' | 'omit') =>
    sourceOf(
      'order',
      { owner: '', status: '', total: 0 },
      {
        name: `orders-${onFailure}`,
        onFailure,
        lookup: () => {
          if (now?.outage === onFailure) throw new Error('down');
          const status = now?.outage === 'absent' ? ('absent' as const) : ('found' as const);
          const attributes = status === 'absent' ? {} : (now?.facts ?? {});
          return { status, attributes, groups: [], observedAt: 0, freshUntil: Date.now() + 60_000 };
        },
      },
    );
  const { client, check, records, point } = await serve({
    user: () => Promise.resolve(user),
    snapshots: { current: () => snapshot },
    sources: [order('deny'), order('omit')],
    // What one has asked must not answer the other: the comparison would be with itself.
    maxAgeMs: 0,
  });
  const access = { plaintext: true, grants: [GRANT], explains: () => true };
  const authzen = await authzenOn({ point, snapshot: () => snapshot }, { access });
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      now = one;
      user = userIdentity(one.user ?? '', { groups: one.groups });
      records.length = 0;
      const path = `/orders/${one.id}`;
      const said = { owner: 'alice', status: 'open' };
      const asked = { action: one.action, resource: { type: 'Order', id: one.id, properties: struct(said) } };
      const own = await check({ ...asked, subject: { token: 'a.b.c' } });
      const mesh = await client.check(checkRequestBytes({ method: METHODS[one.action], path, source: '' }));
      const resource = { type: 'Order', id: one.id, properties: said };
      const subject = { token: 'a.b.c' };
      const standard = await authzen.evaluate({ subject, action: { name: one.action }, resource });
      const [first, second, third] = records.map(comparable);
      expect(first).toEqual(second);
      expect(third).toEqual(first);
      expect(standard.json).toMatchObject({
        decision: mesh.allowed,
        context: { reason: mesh.metadata['reason'], policies: mesh.metadata['policies'] },
      });
      expect(own.answer['decision']).toBe(mesh.allowed ? 'DECISION_ALLOW' : 'DECISION_DENY');
      expect(own.answer['reason']).toBe(mesh.metadata['reason']);
      expect(own.answer['policies']).toEqual(mesh.metadata['policies']);
    }),
    { numRuns: 60 },
  );
});

test('a question that the mesh has asked is answered from the cache, and the other way round', async () => {
  const snapshot = boundSnapshot();
  const { client, check, records } = await serve({
    user: userIdentity('alice', { expiresAt: Math.floor(Date.now() / 1000) + 300 }),
    snapshots: { current: () => snapshot },
    sources: [sourceOf('order', { owner: 'alice' }, { freshUntil: Date.now() + 60_000 })],
  });
  const subject = { token: 'a.b.c' };
  const mesh = (id: string) =>
    client.check(checkRequestBytes({ method: 'GET', path: `/orders/${id}`, source: '' }));
  await mesh('1');
  await check({ subject, resource: { type: 'Order', id: '1' } });
  await check({ subject, resource: { type: 'Order', id: '2' } });
  await mesh('2');
  expect(records.map(({ cache }) => cache?.hit)).toEqual([false, true, false, true]);
  expect(records.map(({ decision }) => decision.reason)).toEqual(Array(4).fill('permitted'));
});
