import { describe, expect, test } from 'vitest';
import type { OnFailure } from '../../../../src/pdp/attribute.ts';
import { HeaderFields } from '../../../../src/pdp/header-fields.ts';
import type { DeviceIdentity } from '../../../../src/pdp/identity.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { setUp, userIdentity } from '../decision-point.ts';
import { START, answer, failing, sourceWith } from './fixture.ts';

const device: DeviceIdentity = { id: 'mdm/laptop', evidence: 'token_claim' };
const READS = `@id("healthy") permit(principal, action, resource) when {
  context has device && context.device has compliant && context.device.compliant };
@id("risky") forbid(principal, action, resource) when {
  context has device && context.device has risk && context.device.risk == "high" };`;
const GIVES = ['compliant', 'risk', 'firewall'];
const means = (entries: { readonly [attribute: string]: OnFailure }) => new Map(Object.entries(entries));

async function decide(...sources: readonly AttributeSource[]) {
  return await setUp({ policies: READS, device, sources }).decide();
}

describe('a source that fails', () => {
  test('denies for each readable attribute that must be known, and says which', async () => {
    const onFailureOf = means({ risk: 'omit' });
    expect((await decide(failing('device', GIVES, { onFailureOf }))).decision).toMatchObject({
      reason: 'attribute_unavailable',
      detail: "device-source: timed out; 'compliant' must be known",
    });
    expect((await decide(failing('device', GIVES))).decision).toMatchObject({
      detail: "device-source: timed out; 'compliant', 'risk' must be known",
    });
  });

  test('does not deny for what no policy reads', async () => {
    const onFailureOf = means({ compliant: 'omit', risk: 'omit' });
    const trace = await decide(
      failing('device', GIVES, { onFailureOf }),
      sourceWith('device', answer({ compliant: true }), { name: 'other' }),
    );
    expect(trace.decision.verdict).toBe('permit');
    expect(trace.omissions).toMatchObject([{ leftOut: { compliant: 'unavailable', risk: 'unavailable' } }]);
    expect(trace.decision).not.toHaveProperty('cacheableUntil');
  });

  test('has the word with what it said last where that will do, and leaves out the rest', async () => {
    const last = answer({ compliant: true, risk: 'high' }, { stale: true });
    const onFailureOf = means({ compliant: 'last_known', risk: 'omit' });
    const trace = await decide(failing('device', GIVES, { onFailureOf, last }));
    expect(trace.decision).toMatchObject({ verdict: 'permit', policies: ['healthy'] });
    expect(trace.facts).toMatchObject([
      { stale: true, leftOut: { risk: 'unavailable' }, failure: 'timed out' },
    ]);
    expect(trace.decision).not.toHaveProperty('cacheableUntil');
  });

  test('denies where nothing is known from before', async () => {
    const onFailureOf = means({ compliant: 'last_known', risk: 'omit' });
    expect((await decide(failing('device', GIVES, { onFailureOf }))).decision).toMatchObject({
      reason: 'attribute_unavailable',
      detail: "device-source: timed out; nothing is known of 'compliant' from before",
    });
  });

  test('denies where even that fails', async () => {
    const lastKnown = () => {
      throw new Error('worse');
    };
    const source = failing('device', GIVES, { onFailure: 'last_known', lastKnown });
    expect((await decide(source)).decision).toMatchObject({
      reason: 'attribute_unavailable',
      detail: "device-source: timed out; nothing is known of 'compliant', 'risk' from before",
    });
  });

  test('denies at once, whatever the others do', async () => {
    const late = sourceWith('device', answer({ risk: 'low' }), {
      name: 'late',
      lookup: () => new Promise(() => undefined),
    });
    expect((await decide(failing('device', GIVES), late)).decision.reason).toBe('attribute_unavailable');
  });

  test('fails its groups too where policies name the type that they become', async () => {
    const policies = '@id("team") permit(principal in ZeroTrust::Group::"Finance", action, resource);';
    const user = userIdentity('alice');
    const last = answer({}, { groups: ['Finance'], stale: true });
    const gather = async (onFailureOf: ReadonlyMap<string, OnFailure>) =>
      (
        await setUp({
          policies,
          user,
          sources: [failing('user', ['groups', 'revoked'], { onFailureOf, last })],
        }).decide()
      ).decision;
    expect(await gather(means({ groups: 'last_known' }))).toMatchObject({ verdict: 'permit' });
    expect(await gather(means({ groups: 'omit' }))).toMatchObject({ reason: 'no_permit' });
    expect(await gather(means({ revoked: 'omit' }))).toMatchObject({
      detail: "user-source: timed out; 'groups' must be known",
    });
  });

  test('leaves groups out of what it said last where they may be missing', async () => {
    const policies = `${READS} @id("team") forbid(principal, action, resource) when {
      context has device && context.device in ZeroTrust::DeviceGroup::"Lost" };`;
    const last = answer({ compliant: true }, { groups: ['Lost'], stale: true });
    const onFailureOf = means({ groups: 'omit' });
    const source = failing('device', ['compliant', 'groups'], { onFailure: 'last_known', onFailureOf, last });
    const trace = await setUp({ policies, device, sources: [source] }).decide();
    expect(trace.decision.verdict).toBe('permit');
    expect(trace.facts?.[0]?.leftOut).toEqual({ groups: 'unavailable' });
  });
});

describe('what is past its freshness', () => {
  const asked: (boolean | undefined)[] = [];
  const stale = (onFailureOf: ReadonlyMap<string, OnFailure>) =>
    sourceWith('device', answer({ compliant: true, risk: 'low' }), {
      onFailureOf,
      gives: GIVES,
      lookup(_id, _asker, will) {
        asked.push(will);
        return answer({ compliant: true, risk: 'low' }, will ? { stale: true } : {});
      },
    });

  test('is asked for only where it will do for all that policies can read', async () => {
    asked.length = 0;
    await decide(stale(means({ compliant: 'last_known', risk: 'last_known' })));
    await decide(stale(means({ compliant: 'last_known' })));
    expect(asked).toEqual([true, false]);
  });

  test('is used, and the decision is not kept', async () => {
    const source = stale(means({ compliant: 'last_known', risk: 'last_known' }));
    const setup = setUp({ policies: READS, device, sources: [source] });
    expect((await setup.decide()).decision).toMatchObject({ verdict: 'permit' });
    const again = await setup.decide();
    expect(again.cache).toEqual({ hit: false });
    expect(again.decision).not.toHaveProperty('cacheableUntil');
  });
});

describe('an answer of another type than the schema declares', () => {
  const wrong = { compliant: true, risk: 7 };

  test('denies, naming source, attribute and types but never the value', async () => {
    expect((await decide(sourceWith('device', answer(wrong)))).decision).toMatchObject({
      reason: 'attribute_refused',
      detail: "device-source: 'risk' is a long, the schema says String",
    });
  });

  test('denies where what was known last would do: the source has answered', async () => {
    const source = sourceWith('device', answer(wrong), {
      onFailure: 'last_known',
      lastKnown: () => answer({}),
    });
    expect((await decide(source)).decision).toMatchObject({ reason: 'attribute_refused' });
  });

  test('is left out where that may be, and the rest is used', async () => {
    const trace = await decide(sourceWith('device', answer(wrong), { onFailureOf: means({ risk: 'omit' }) }));
    expect(trace.decision).toMatchObject({ verdict: 'permit' });
    expect(trace.facts).toMatchObject([{ leftOut: { risk: 'wrong_type' } }]);
    expect(trace.decision).not.toHaveProperty('cacheableUntil');
  });

  test('is not replaced by what the caller asserts', async () => {
    const policies = `@id("live") permit(principal is ZeroTrust::User, action, resource) when {
      principal has revoked && !principal.revoked };`;
    const source = sourceWith('user', answer({ revoked: 'no' }), { onFailure: 'omit' });
    const question = {
      subject: {
        uid: { type: 'ZeroTrust::User', id: 'idp/ann' },
        properties: { revoked: false },
        subjects: [],
      },
      credentials: new HeaderFields([], false),
      action: { type: 'ZeroTrust::Action', id: 'GET' },
      resource: {
        uid: { type: 'ZeroTrust::Endpoint', id: 'api /x' },
        properties: { host: 'api' },
        subjects: [],
      },
      context: {},
      asserted: [],
    };
    expect((await setUp({ policies }).decide(question)).decision.verdict).toBe('permit');
    const trace = await setUp({ policies, sources: [source] }).decide(question);
    expect(trace.decision).toMatchObject({ verdict: 'deny', reason: 'no_permit' });
    expect(trace.facts).toMatchObject([{ leftOut: { revoked: 'wrong_type' } }]);
  });

  test("is nobody's concern where policies do not read it", async () => {
    const source = sourceWith('device', answer({ compliant: true, firewall: 'on', os: 'linux' }));
    expect((await decide(source)).decision.verdict).toBe('permit');
  });

  test('refuses the last answer too, where it is what must do', async () => {
    const last = answer({ compliant: 'yes' }, { stale: true });
    const source = failing('device', GIVES, { onFailure: 'last_known', last });
    expect((await decide(source)).decision).toMatchObject({
      reason: 'attribute_refused',
      detail: "device-source: 'compliant' is a string, the schema says Bool",
    });
  });

  test('is looked for once in an answer, however often it is given', async () => {
    let read = 0;
    const attributes = {
      get compliant() {
        read += 1;
        return true;
      },
      risk: 'low',
    };
    const setup = setUp({
      policies: READS,
      device,
      sources: [sourceWith('device', answer(attributes))],
      maxAgeMs: 0,
    });
    await setup.decide();
    const once = read;
    await setup.decide();
    // What is left is one reading for the entity.
    expect(read - once).toBeLessThan(once);
  });
});

test('a quiet source that does not know the subject leaves no fact, others do', async () => {
  const absent = answer({}, { status: 'absent' });
  const source = (name: string) => sourceWith('device', absent, { name, gives: ['risk'] });
  const trace = await decide({ ...source('quiet'), quiet: true }, source('loud'));
  expect(trace.facts?.map((fact) => fact.source)).toEqual(['loud']);
});

test('a decision is kept no longer than a quiet source knows nothing for', async () => {
  const absent = answer({}, { status: 'absent', freshUntil: START + 700 });
  const source = sourceWith('device', absent, { gives: ['risk'], quiet: true });
  expect((await decide(source)).decision.cacheableUntil).toBe(START + 700);
});
