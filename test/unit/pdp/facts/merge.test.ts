import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeRecord } from '../../../../src/pdp/attribute.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { type Layer, mergeLayers } from '../../../../src/pdp/facts/merge.ts';
import { setUp, userIdentity } from '../decision-point.ts';
import { START, answer, sourceWith } from './fixture.ts';

const NOW = 1000;
const stated = (observedAt: number, attributes = { a: observedAt }): Layer => ({ attributes, observedAt });
const assumed = (observedAt: number): Layer => ({ ...stated(observedAt), assumed: true });
const event = (observedAt: number): Layer => ({ ...stated(observedAt), event: true });
const winner = (...layers: Layer[]) => mergeLayers(layers, NOW).get('a');

describe('of several words on one attribute', () => {
  test('the newest counts, whatever the order', () => {
    const [old, young] = [stated(1), stated(2)];
    expect(winner(old, young)).toBe(young);
    expect(winner(young, old)).toBe(young);
    expect(winner(assumed(1), young)).toBe(young);
  });

  test('the earlier in the configuration counts where they are equally new', () => {
    const [first, second] = [stated(5), stated(5)];
    expect(winner(first, second)).toBe(first);
    expect(winner(second, first)).toBe(second);
  });

  test('one from the future is as new as one from now', () => {
    const [now, ahead] = [stated(NOW), stated(NOW + 500)];
    expect(winner(now, ahead)).toBe(now);
    expect(winner(stated(NOW - 1), ahead)).toBe(ahead);
  });

  test('an event goes before what may be older than it looks', () => {
    const said = event(1);
    expect(winner(said, assumed(900))).toBe(said);
    expect(winner(assumed(900), said)).toBe(said);
  });

  test('an event gives way to a later observation, not to one of the same time', () => {
    const [said, later] = [event(5), stated(6)];
    expect(winner(said, later)).toBe(later);
    expect(winner(stated(5), said)).toBe(said);
    expect(winner(stated(4), said)).toBe(said);
  });

  test('what is only assumed does not come back where a later observation has ended the event', () => {
    const later = stated(6);
    expect(winner(assumed(900), event(5), later)).toBe(later);
  });

  test('each attribute goes for itself, and what is left out has no word', () => {
    const one: Layer = { attributes: { a: 1, b: 1, c: 1 }, observedAt: 1 };
    const two: Layer = { attributes: { a: 2, c: 2 }, observedAt: 2, leftOut: { c: 'wrong_type' } };
    expect(Object.fromEntries(mergeLayers([one, two], NOW))).toEqual({ a: two, b: one, c: one });
  });

  test('who has it depends on the order only among those that are equally new and of one kind', () => {
    const layer = fc.record({
      observedAt: fc.integer({ min: 0, max: 20 }),
      kind: fc.constantFrom('stated', 'assumed', 'event'),
    });
    const layers = fc.uniqueArray(layer, { selector: ({ observedAt }) => observedAt, maxLength: 5 });
    fc.assert(
      fc.property(layers, fc.nat(), (made, seed) => {
        const all = made.map(({ observedAt, kind }): Layer => ({
          ...stated(observedAt),
          ...(kind === 'assumed' && { assumed: true }),
          ...(kind === 'event' && { event: true }),
        }));
        const turned = [...all.slice(seed % 5), ...all.slice(0, seed % 5)];
        expect(winner(...turned)).toBe(winner(...all));
      }),
    );
  });
});

describe('users, devices and workloads alike', () => {
  test.each(['user', 'workload', 'device'] as const)(
    'a %s is what was observed of it last',
    async (subject) => {
      const schema = `namespace ZeroTrust {
      entity TrustDomain; entity Namespace in [TrustDomain]; entity WorkloadGroup; entity Anonymous; entity Group; entity Endpoint;
      entity Workload in [Namespace, TrustDomain, WorkloadGroup] = { trust_domain: String, level?: Long };
      entity User in [Group] = { issuer: String, subject: String, level?: Long };
      entity Device = { level?: Long };
      action POST appliesTo { principal: [User, Workload], resource: [Endpoint],
        context: { source?: Workload, user?: User, device?: Device } };
    }`;
      const key = subject === 'workload' ? 'source' : subject;
      const policies = `@id("two") permit(principal, action, resource) when {
      context has ${key} && context.${key} has level && context.${key}.level == 2 };`;
      const sources = [
        sourceWith(subject, answer({ level: 1 }, { observedAt: START - 2000 }), { name: 'one' }),
        sourceWith(subject, answer({ level: 2 }, { observedAt: START - 1000 }), { name: 'two' }),
      ];
      const parties = {
        user: userIdentity('ann'),
        device: { id: 'mdm/d', evidence: 'token_claim' },
      } as const;
      for (const order of [sources, sources.toReversed()]) {
        const trace = await setUp({ policies, schema, ...parties, sources: order }).decide();
        expect(trace.decision).toMatchObject({ verdict: 'permit' });
      }
    },
  );

  test('what one vendor says of a device does not hide what another does, and is newer or older by vendor', async () => {
    const schema = `namespace ZeroTrust {
      entity TrustDomain; entity Namespace in [TrustDomain]; entity Anonymous; entity Endpoint;
      entity Workload in [Namespace, TrustDomain] = { trust_domain: String };
      entity Device = { risk?: String,
        vendor?: { fleet?: { failing?: Long }, crowdstrike?: { @max_age("1h") zta_score?: Long } } };
      action POST appliesTo { principal: [Workload], resource: [Endpoint], context: { device?: Device } };
    }`;
    const policies = `@id("all") permit(principal, action, resource);
      @id("failing") forbid(principal, action, resource) when { context has device && context.device has vendor &&
        context.device.vendor has fleet && context.device.vendor.fleet has failing && context.device.vendor.fleet.failing > 0 };
      @id("score") forbid(principal, action, resource) when { context has device && context.device has vendor &&
        context.device.vendor has crowdstrike && context.device.vendor.crowdstrike has zta_score &&
        context.device.vendor.crowdstrike.zta_score < 50 };`;
    const device = { id: 'mdm/d', evidence: 'token_claim' } as const;
    const says = (name: string, vendor: AttributeRecord, age: number, onFailure: 'deny' | 'omit' = 'deny') =>
      sourceWith('device', answer({ vendor }, { observedAt: START - age }), { name, onFailure });
    const fleet = says('fleet', { fleet: { failing: 1 } }, 2_000);
    const good = says('falcon', { crowdstrike: { zta_score: 90 } }, 1_000);
    const bad = says('older-falcon', { crowdstrike: { zta_score: 10 } }, 3_000);
    const old = (onFailure: 'deny' | 'omit') =>
      says('old-falcon', { crowdstrike: { zta_score: 10 } }, 7_200_000, onFailure);
    const decision = async (...sources: readonly AttributeSource[]) =>
      (await setUp({ policies, schema, device, sources }).decide()).decision;
    const decided = async (...sources: readonly AttributeSource[]) => (await decision(...sources)).policies;
    for (const sources of [
      [fleet, good, bad],
      [bad, good, fleet],
    ])
      expect(await decided(...sources)).toEqual(['failing']);
    expect(await decided(bad, fleet)).toEqual(['failing', 'score']);
    // What one vendor said is too old: that another must be known has nothing to do with it.
    expect(await decided(old('omit'), fleet)).toEqual(['failing']);
    expect((await decision(old('deny'), fleet)).reason).toBe('attribute_refused');
  });

  test('groups are added up', async () => {
    const policies = `@id("both") permit(principal in ZeroTrust::Group::"a", action, resource) when {
      principal in ZeroTrust::Group::"b" };`;
    const sources = ['a', 'b'].map((group) =>
      sourceWith('user', answer({}, { groups: [group] }), { name: group }),
    );
    const { decide } = setUp({ policies, user: userIdentity('ann'), sources });
    expect((await decide()).decision.verdict).toBe('permit');
  });
});
