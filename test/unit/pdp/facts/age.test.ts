import { describe, expect, test } from 'vitest';
import { HeaderFields } from '../../../../src/pdp/header-fields.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { SAMPLE_SCHEMA, problemsOf, snapshotOf } from '../../../support/snapshot.ts';
import { accessRequest } from '../../../support/requests.ts';
import { type Setup, setUp } from '../decision-point.ts';
import { START, answer, failing, sourceWith } from './fixture.ts';

/** The sample schema, in which what is known of a risk is good for a minute, and of patches for an hour. */
const SCHEMA = SAMPLE_SCHEMA.replace(/(firewall\?: Bool,\s+)/, '$1@max_age("1m") ').replace(
  'patched?: Bool',
  '@max_age("1h") patched?: Bool',
);
const POLICIES = `@id("low") permit(principal, action, resource) when {
  context has device && context.device has risk && context.device.risk == "low" };
@id("patched") permit(principal, action, resource) when {
  context has device && context.device has os && context.device.os has patched && context.device.os.patched };
@id("linux") permit(principal, action, resource) when {
  context has device && context.device has os && context.device.os has family && context.device.os.family == "linux" };`;

const device = { id: 'mdm/laptop', evidence: 'token_claim' } as const;
const OMIT = { onFailure: 'omit' } as const;

function pointWith(sources: readonly AttributeSource[], more: Setup = {}) {
  return setUp({ policies: POLICIES, schema: SCHEMA, device, sources, ...more });
}

async function policiesFor(ageMs: number, more: object = {}): Promise<readonly string[]> {
  const says = answer(
    { risk: 'low', os: { family: 'linux', patched: true } },
    { observedAt: START - ageMs, ...more },
  );
  return (await pointWith([sourceWith('device', says, OMIT)]).decide()).decision.policies;
}

describe('what was observed longer ago than @max_age says, where its source may be omitted,', () => {
  test.each([
    [0, ['linux', 'low', 'patched']],
    [60_000, ['linux', 'low', 'patched']],
    [60_001, ['linux', 'patched']],
    [3_600_000, ['linux', 'patched']],
    [3_600_001, ['linux']],
    // A source whose clock runs ahead.
    [-1e9, ['linux', 'low', 'patched']],
  ])('is missing, alone and in records: %d ms', async (ageMs, policies) => {
    expect(await policiesFor(ageMs)).toEqual(policies);
  });

  test('holds nevertheless where a security event said so', async () => {
    expect(await policiesFor(1e10, { event: true })).toEqual(['linux', 'low', 'patched']);
  });

  test('is told of in the record of the decision, where policies read it', async () => {
    const says = answer(
      { risk: 'low', compliant: true, os: { patched: true } },
      { observedAt: START - 1e10, freshUntil: START + 500 },
    );
    const trace = await pointWith([sourceWith('device', says, OMIT)]).decide();
    expect(trace.facts).toMatchObject([{ leftOut: { risk: 'too_old', 'os.patched': 'too_old' } }]);
    expect(trace.facts?.[0]?.leftOut).not.toHaveProperty('compliant');
    // It stays too old until the source is asked again.
    expect(trace.decision.cacheableUntil).toBe(START + 500);
  });

  test('is missing in the members of sets', async () => {
    const schema = SAMPLE_SCHEMA.replace(
      'firewall?: Bool',
      'disks?: Set<{ name: String, @max_age("1m") locked?: Bool }>',
    );
    const policies = `@id("named") permit(principal, action, resource) when {
      context has device && context.device has disks && !context.device.disks.isEmpty() };`;
    const says = answer({ disks: [{ name: 'c', locked: true }] }, { observedAt: START - 60_001 });
    const trace = await pointWith([sourceWith('device', says, OMIT)], { policies, schema }).decide();
    expect(trace.decision.verdict).toBe('permit');
    const entity = trace.cedar?.entities.find(({ uid }) => uid.type === 'ZeroTrust::Device');
    expect(entity?.attrs).toEqual({ disks: [{ name: 'c' }] });
    expect(trace.facts?.[0]?.leftOut).toEqual({ 'disks.locked': 'too_old' });
  });

  test('is missing of an address too', async () => {
    const schema = SAMPLE_SCHEMA.replace('country?: String', '@max_age("1h") country?: String');
    const policies = `@id("home") permit(principal, action, resource) when {
      context has ip_facts && context.ip_facts has country && context.ip_facts.country == "CH" };`;
    const request = accessRequest();
    const from = { ...request, source: { ...request.source, ip: '203.0.113.7' } };
    const verdict = async (ageMs: number) => {
      const says = answer({ country: 'CH' }, { observedAt: START - ageMs });
      const sources = [sourceWith('ip', says, OMIT)];
      return (await pointWith(sources, { policies, schema }).decide(from)).decision.reason;
    };
    expect([await verdict(3_600_000), await verdict(3_600_001)]).toEqual(['permitted', 'no_permit']);
  });

  test('does not let what was observed earlier have the word', async () => {
    const sources = [
      sourceWith('device', answer({ risk: 'low' }, { observedAt: START - 61_000 }), {
        name: 'late',
        ...OMIT,
      }),
      sourceWith('device', answer({ risk: 'low' }, { observedAt: START - 90_000, event: true }), {
        name: 'event',
      }),
    ];
    const trace = await pointWith(sources).decide();
    expect(trace.decision.reason).toBe('no_permit');
    expect(trace.facts?.map(({ source, leftOut }) => [source, leftOut])).toEqual([
      ['late', { risk: 'too_old' }],
      ['event', undefined],
    ]);
  });
});

/** A forbid that reads a risk, and lets pass whom it knows nothing of. */
const FORBID = `@id("any") permit(principal, action, resource);
@id("risky") forbid(principal, action, resource) when {
  context has device && context.device has risk && context.device.risk == "high" };
@id("unpatched") forbid(principal, action, resource) when {
  context has device && context.device has os && context.device.os has patched && !context.device.os.patched };`;

describe('what was observed longer ago than @max_age says, where it must be known,', () => {
  const risky = answer({ risk: 'high' }, { observedAt: START - 61_000 });
  const decided = async (...sources: readonly AttributeSource[]) =>
    (await pointWith(sources, { policies: FORBID }).decide()).decision;
  const refused = (detail: string) => ({ verdict: 'deny', reason: 'attribute_refused', detail });
  const OLD = "'risk' was observed 61 s ago, which is more than its @max_age, and must be known";

  test.each(['deny', 'last_known'] as const)('denies (%s), and opens no forbid', async (onFailure) => {
    const young = answer({ risk: 'high' }, { observedAt: START - 60_000 });
    expect((await decided(sourceWith('device', young, { onFailure }))).policies).toEqual(['risky']);
    expect(await decided(sourceWith('device', risky, { onFailure }))).toMatchObject(
      refused(`device-source: ${OLD}`),
    );
  });

  test('opens the forbid where the configuration says omit', async () => {
    expect((await decided(sourceWith('device', risky, OMIT))).policies).toEqual(['any']);
  });

  test.each([
    ['omit', 'deny', 'attribute_refused'],
    ['omit', 'last_known', 'attribute_refused'],
    ['deny', 'omit', 'permitted'],
  ] as const)('is so by attribute before by source: %s, %s', async (onFailure, ofOne, reason) => {
    const source = sourceWith('device', risky, { onFailure, onFailureOf: new Map([['risk', ofOne]]) });
    expect((await decided(source)).reason).toBe(reason);
  });

  test('denies for a part of a record by what is said of the record', async () => {
    const says = answer({ os: { patched: true, family: 'linux' } }, { observedAt: START - 3_600_001 });
    const source = (onFailure: 'deny' | 'omit', ofOs: 'deny' | 'omit') =>
      sourceWith('device', says, { onFailure, onFailureOf: new Map([['os', ofOs]]) });
    expect(await decided(source('omit', 'deny'))).toMatchObject(
      refused(
        "device-source: 'os.patched' was observed 3600 s ago, which is more than its @max_age, and must be known",
      ),
    );
    expect((await decided(source('deny', 'omit'))).reason).toBe('permitted');
  });

  test('keeps nobody out where no policy reads it', async () => {
    const says = answer({ risk: 'low', os: { patched: true } }, { observedAt: START - 1e10 });
    const policies = '@id("any") permit(principal, action, resource) when { context has device };';
    const trace = await pointWith([sourceWith('device', says)], { policies }).decide();
    expect(trace.decision.verdict).toBe('permit');
  });

  test('is no matter where a security event said so, or another source has a younger word', async () => {
    const event = answer({ risk: 'high' }, { observedAt: START - 1e10, event: true });
    expect((await decided(sourceWith('device', event))).policies).toEqual(['risky']);
    const newer = sourceWith('device', answer({ risk: 'low' }), { name: 'newer', ...OMIT });
    expect((await decided(sourceWith('device', risky), newer)).policies).toEqual(['any']);
    const high = sourceWith('device', answer({ risk: 'high' }), { name: 'newer', ...OMIT });
    expect((await decided(sourceWith('device', risky, OMIT), high)).policies).toEqual(['risky']);
  });

  test('denies also where a newer word, too old itself, is of a source that may be omitted', async () => {
    const newer = sourceWith('device', answer({ risk: 'low' }, { observedAt: START - 60_500 }), OMIT);
    const older = sourceWith('device', risky, { name: 'older' });
    for (const sources of [
      [newer, older],
      [older, newer],
    ])
      expect(await decided(...sources)).toMatchObject(refused(`older: ${OLD}`));
    const silent = sourceWith('device', answer({}, { observedAt: START - 61_000 }), { gives: ['risk'] });
    expect((await decided(newer, silent)).policies).toEqual(['any']);
  });

  test('says why the source is not asked anew where it is down', async () => {
    const source = failing('device', ['risk'], { last: risky, onFailure: 'last_known' });
    expect(await decided(source)).toMatchObject(refused(`device-source: ${OLD}; timed out`));
  });

  test('denies where a signed assertion said so, whose sender is not to gain by waiting', async () => {
    const posture = { risk: 'low', os: { family: 'linux', patched: true } };
    const asserted = (ageMs: number) =>
      ({ ...device, evidence: 'assertion', posture, observedAt: START - ageMs }) as const;
    const young = await pointWith([], { device: asserted(60_000) }).decide();
    expect(young.decision.policies).toEqual(['linux', 'low', 'patched']);
    const old = await pointWith([], { device: asserted(61_000) }).decide();
    expect(old.decision).toMatchObject(refused(`the device assertion: ${OLD}`));
    const newer = sourceWith('device', answer({ risk: 'low' }), OMIT);
    const both = await pointWith([newer], { device: asserted(61_000) }).decide();
    expect(both.decision.policies).toEqual(['linux', 'low', 'patched']);
  });

  test('denies where it is about the address', async () => {
    const schema = SAMPLE_SCHEMA.replace('country?: String', '@max_age("1h") country?: String');
    const policies = `@id("any") permit(principal, action, resource);
      @id("abroad") forbid(principal, action, resource) when {
      context has ip_facts && context.ip_facts has country && context.ip_facts.country == "XX" };`;
    const request = accessRequest();
    const from = { ...request, source: { ...request.source, ip: '203.0.113.7' } };
    const says = answer({ country: 'XX' }, { observedAt: START - 3_600_001 });
    const trace = await pointWith([sourceWith('ip', says)], { policies, schema }).decide(from);
    expect(trace.decision.reason).toBe('attribute_refused');
  });

  test.each([
    ['deny', 'attribute_refused', []],
    ['omit', 'permitted', ['any']],
  ] as const)(
    'is so for whom a question about entities names (%s): %s',
    async (onFailure, reason, policies) => {
      const schema = SAMPLE_SCHEMA.replace('department?: String', '@max_age("1h") department?: String');
      const forbid = `@id("any") permit(principal, action, resource);
      @id("suspended") forbid(principal is ZeroTrust::User, action, resource) when {
      principal has department && principal.department == "suspended" };`;
      const entity = (type: string, id: string, properties = {}) => ({
        uid: { type: `ZeroTrust::${type}`, id },
        properties,
        subjects: [],
      });
      const question = {
        // What a source is there to say is not the caller's to say, even where the source has nothing to say that counts.
        subject: entity('User', 'idp/ann', { department: 'suspended' }),
        credentials: new HeaderFields([], false),
        action: { type: 'ZeroTrust::Action', id: 'GET' },
        resource: entity('Endpoint', 'api /x', { host: 'api' }),
        context: {},
        asserted: ['subject'],
      };
      const says = (ageMs: number) => answer({ department: 'suspended' }, { observedAt: START - ageMs });
      const about = async (ageMs: number) =>
        (
          await setUp({
            policies: forbid,
            schema,
            sources: [sourceWith('user', says(ageMs), { onFailure })],
          }).decide(question)
        ).decision;
      expect((await about(3_600_000)).policies).toEqual(['suspended']);
      expect(await about(3_600_001)).toMatchObject({ reason, policies });
    },
  );

  test('is told with what the sources said', async () => {
    const trace = await pointWith([sourceWith('device', risky)], { policies: FORBID }).decide();
    expect(trace.facts).toMatchObject([{ source: 'device-source', observedAt: START - 61_000 }]);
    expect(trace.decision.cacheableUntil).toBeUndefined();
  });
});

describe('a decision is not kept beyond the maximum age of what it rests on', () => {
  const says = answer({ risk: 'low' }, { observedAt: START - 59_000 });

  test('by us, although the source holds that it is fresh', async () => {
    const { decide, clock } = pointWith([sourceWith('device', says)]);
    expect((await decide()).inputsValidUntil).toBe(START + 1000);
    clock.advance(999);
    expect(await decide()).toMatchObject({ cache: { hit: true }, decision: { verdict: 'permit' } });
    clock.advance(2);
    expect((await decide()).decision).toMatchObject({ verdict: 'deny', reason: 'attribute_refused' });
  });

  test('by the PEP', async () => {
    expect((await pointWith([sourceWith('device', says)]).decide()).decision.cacheableUntil).toBe(
      START + 1000,
    );
  });

  test('but where no policy reads it', async () => {
    const policies = '@id("any") permit(principal, action, resource) when { context has device };';
    const trace = await pointWith([sourceWith('device', says)], { policies }).decide();
    expect(trace.decision.cacheableUntil).toBe(START + 60_000);
  });
});

describe('a maximum age in a schema', () => {
  const schema = (attributes: string, context = 'ok?: Bool') =>
    `entity U = { ${attributes} };\nentity R;\naction a appliesTo { principal: [U], resource: [R], context: { ${context} } };`;
  const policies = '@id("p") permit(principal, action, resource);';
  const problems = (text: string) =>
    problemsOf(() => snapshotOf(policies, text)).map(
      ({ where, line, column, message }) => `${where}:${line}:${column}: ${message}`,
    );

  test.each(['1ms', '90s', '5m', '24h', '30d', '999999d'])('may be %s', (text) => {
    expect(() => snapshotOf(policies, schema(`@max_age("${text}") n?: Long`))).not.toThrow();
  });

  test.each(['', '5', 'm', '0s', '05m', '5 m', '5min', '-5m', '1.5h', '5m5s', '1000000s', '5M'])(
    'is refused where it is no duration: "%s"',
    (text) => {
      expect(problems(schema(`a?: Long, @max_age("${text}") n?: Long`))).toEqual([
        `schema.cedarschema:1:24: @max_age("${text}") of 'n' is not a duration such as "90s", "5m", "24h" or "30d"`,
      ]);
    },
  );

  test('is refused without a value', () => {
    expect(problems(schema('@max_age n?: Long'))[0]).toMatch(
      /^schema.cedarschema:1:14: @max_age\(""\) of 'n'/,
    );
  });

  test('is refused on an attribute that is never missing', () => {
    expect(problems(schema('@max_age("5m") n: Long'))).toEqual([
      `schema.cedarschema:1:14: @max_age("5m") of 'n' needs an attribute that may be missing: declare it as 'n?'`,
    ]);
  });

  test('is refused in records and sets of them just so', () => {
    const text = schema(
      'r?: { s?: Set<{\n // @max_age("1m") in a comment\n @max_age("x") @doc("y") "a b"?: Long }> }',
    );
    expect(problems(text)).toEqual([
      `schema.cedarschema:3:2: @max_age("x") of 'a b' is not a duration such as "90s", "5m", "24h" or "30d"`,
    ]);
  });

  test.each([
    ['an entity type', '@max_age("5m") entity V;\n', 'V'],
    ['a type', '@max_age("5m") type T = { n?: Long };\n', 'T'],
    ['a namespace', '@max_age("5m") namespace N { entity V; }\n', 'N'],
    ['an action', '@max_age("5m") action b;\n', 'b'],
  ])('is refused before %s', (_what, text, target) => {
    expect(problems(text + schema('n?: Long'))).toEqual([
      `schema.cedarschema:1:1: @max_age("5m") of '${target}' has no effect there: it belongs before an attribute`,
    ]);
  });

  test('is refused in the context, of which information points only know the address', () => {
    expect(problems(schema('n?: Long', 'r?: { @max_age("5m") n?: Long }'))).toEqual([
      `schema.cedarschema:3:70: @max_age("5m") of 'n' has no effect in the context, but in 'ip_facts'`,
    ]);
    const known = schema('n?: Long', 'ip_facts?: { @max_age("5m") country?: String }');
    expect(() => snapshotOf(policies, known)).not.toThrow();
  });

  test('tells of every one that is wrong', () => {
    expect(
      problems(schema('@max_age("x") a?: Long, @max_age("x") b?: Long, @max_age("1s") c: Long')),
    ).toHaveLength(3);
  });
});
