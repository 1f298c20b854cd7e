import { describe, expect, it } from 'vitest';
import { CurrentFacts } from '../../../../src/audit/diff/current-facts.ts';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { SAMPLE_SCHEMA } from '../../../support/snapshot.ts';
import { userIdentity } from '../../pdp/decision-point.ts';
import { recordLog, snapshotWith, told } from './fixture.ts';

const SCHEMA = `${SAMPLE_SCHEMA}
namespace Shop {
  entity Order = { owner?: String, state?: String };
  action view, cancel appliesTo { principal: [ZeroTrust::User, ZeroTrust::Workload], resource: [Order], context: ZeroTrust::Facts };
}`;

const POLICIES = `@id("own") permit(principal is ZeroTrust::User, action == Shop::Action::"view", resource is Shop::Order)
when { resource has owner && resource.owner == principal.subject };
@id("open") permit(principal, action == ZeroTrust::Action::"GET", resource);`;

function binding(action: string, resource: string, match = ''): string {
  return `bindings:
  - id: shop.${action}
    match: { method: GET, path: '/orders/{owner}/{id}'${match} }
    action: Shop::Action::"${action}"
    resource:
      type: Shop::Order
      ${resource}
`;
}

const SAID = "id: '{id}'\n      attributes: { owner: '{owner}' }";
const LOOKED_UP = "id: '{id}'\n      pip: order";

function shop(bindings: string, policies = POLICIES): PolicySnapshot {
  return snapshotWith(policies, {
    schemas: [{ file: 'schema.cedarschema', text: SCHEMA }],
    bindings: bindings === '' ? [] : [{ file: 'bindings.yaml', text: bindings }],
  });
}

function orders(answer: () => Promise<Partial<AttributeAnswer>>, subject = 'order'): AttributeSource {
  return {
    name: 'orders',
    subject,
    gives: ['owner', 'state', 'department', 'groups'],
    onFailure: 'deny',
    lookup: async () => ({
      status: 'found',
      attributes: {},
      groups: [],
      observedAt: Date.now(),
      freshUntil: Date.now() + 60_000,
      ...(await answer()),
    }),
  };
}

function recorded(snapshot: PolicySnapshot, sources: readonly AttributeSource[] = []) {
  const setup = { snapshots: { current: () => snapshot }, sources };
  return recordLog({ setup }, async (log) => {
    await log.ask({ user: 'alice', path: '/orders/alice/o-1' });
  });
}

function current(sources: readonly AttributeSource[], snapshot: PolicySnapshot): CurrentFacts {
  return new CurrentFacts({ sources, snapshot, clock: MACHINE_CLOCK, timeoutMs: 1000 });
}

describe('a request that met a binding', () => {
  it('is asked anew in full where the new binding takes all from the request', async () => {
    await using log = await recorded(shop(binding('view', SAID)));
    expect(told(await log.diffs(shop(binding('view', SAID))))).toEqual(['unchanged']);
    expect(told(await log.diffs(shop(binding('cancel', SAID))))).toEqual([
      'revoked decision reason policies',
    ]);
    expect(told(await log.diffs(shop(''), undefined))).toEqual(['reclassified policies']);
    const swapped = "id: '{owner}'\n      attributes: { owner: '{id}' }";
    expect(told(await log.diffs(shop(binding('view', swapped))))).toEqual([
      'revoked decision reason policies',
    ]);
  });

  it('is not told where the new binding is about another object that an information point knows', async () => {
    await using log = await recorded(shop(''));
    expect(told(await log.diffs(shop(binding('view', LOOKED_UP))))).toEqual([
      'not_replayable other_binding then ZeroTrust::Action::"GET" on ZeroTrust::Endpoint; now Shop::Action::"view" on Shop::Order Shop::Order.owner',
    ]);
  });

  it('keeps what an information point said of the same object', async () => {
    const source = orders(() => Promise.resolve({ attributes: { owner: 'alice' } }));
    await using log = await recorded(shop(binding('view', LOOKED_UP)), [source]);
    expect(told(await log.diffs(shop(binding('view', LOOKED_UP))))).toEqual(['unchanged']);
    const state = `${POLICIES}\n@id("held") forbid(principal, action, resource is Shop::Order) when { resource has state };`;
    expect(told(await log.diffs(shop(binding('view', LOOKED_UP), state)))).toEqual([
      'not_replayable needs_facts Shop::Order.state',
    ]);
  });

  it('is not told where new bindings look at headers, unless they are the old ones', async () => {
    const byHeader = binding('view', SAID, ", headers: { x-tenant: 'a' }");
    await using log = await recorded(shop(byHeader));
    expect(told(await log.diffs(shop(byHeader)))).toEqual(['unchanged']);
    await using other = await recorded(shop(binding('view', SAID)));
    expect(told(await other.diffs(shop(byHeader)))).toEqual(["not_replayable needs_facts header 'x-tenant'"]);
  });

  it('that none met is not told where one does now, and stays where none does', async () => {
    const none = shop('').texts;
    const setup = { snapshots: { current: () => shop('') } };
    await using log = await recordLog({ setup }, async ({ ...log_ }) => {
      await log_.ask({ user: 'alice', method: 'BREW', path: '/orders/alice/o-1' });
    });
    expect(none.bindings).toEqual([]);
    const brew = binding('view', SAID).replace('GET', 'BREW');
    expect(told(await log.diffs(shop(brew)))).toEqual([
      'not_replayable other_binding then no_binding; now binding shop.view',
    ]);
    expect(told(await log.diffs(shop(binding('view', SAID))))).toEqual(['unchanged']);
  });
});

describe('current facts', () => {
  const view = shop(binding('view', LOOKED_UP));

  it('are asked for in place of the recorded ones', async () => {
    const then = orders(() => Promise.resolve({ attributes: { owner: 'alice' } }));
    await using log = await recorded(view, [then]);
    const now = orders(() => Promise.resolve({ attributes: { owner: 'bob' } }));
    expect(told(await log.diffs(view, current([now], view)))).toEqual(['revoked decision reason policies']);
    expect(told(await log.diffs(view, current([then], view)))).toEqual(['unchanged']);
  });

  it('give what was not read then', async () => {
    const plain = '@id("open") permit(principal, action == ZeroTrust::Action::"HEAD", resource);';
    await using log = await recordLog({ policies: plain }, async (one) => {
      await one.ask({ user: 'alice' });
    });
    const next = snapshotWith(`${plain}
@id("dept") permit(principal is ZeroTrust::User, action, resource) when { principal has department && principal.department == "legal" };`);
    const now = orders(() => Promise.resolve({ attributes: { department: 'legal' } }), 'user');
    expect(told(await log.diffs(next))).toEqual(['not_replayable needs_facts ZeroTrust::User.department']);
    expect(told(await log.diffs(next, current([now], next)))).toEqual(['gained decision reason policies']);
  });

  it('say nothing where a point fails', async () => {
    const then = orders(() => Promise.resolve({ attributes: { owner: 'alice' } }));
    await using log = await recorded(view, [then]);
    const broken = orders(() => Promise.reject(new Error('down')));
    for (const source of [broken, { ...broken, onFailure: 'omit' as const }])
      expect(told(await log.diffs(view, current([source], view)))).toEqual([
        'not_replayable facts_unavailable orders',
      ]);
  });

  it('keep the groups that a token named', async () => {
    const policies = '@id("staff") permit(principal in ZeroTrust::Group::"demo/staff", action, resource);';
    const user = userIdentity('alice', { groups: ['staff'] });
    const snapshot = snapshotWith(policies);
    const setup = { snapshots: { current: () => snapshot }, sources: [], user: () => Promise.resolve(user) };
    await using log = await recordLog({ setup }, async (one) => {
      await one.ask({ user: 'alice' });
    });
    const now = orders(() => Promise.resolve({ groups: [] }), 'user');
    expect(told(await log.diffs(snapshot, current([now], snapshot)))).toEqual(['unchanged']);
  });
});
