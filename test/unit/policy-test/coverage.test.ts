import { describe, expect, it } from 'vitest';
import type { Coverage } from '../../../src/policy-test/report.ts';
import { runTests, setsBelow } from '../../../src/policy-test/run-tests.ts';
import { POLICIES, SCHEMA, Sets, parts, requestCase } from './fixture.ts';

async function coverage(cases: readonly object[], policies = POLICIES): Promise<Coverage | undefined> {
  using sets = new Sets();
  const root = sets.write({ 's/schema.cedarschema': SCHEMA, 's/s.cedar': policies, 's/tests/t.json': cases });
  const report = await runTests({ paths: [root], coverage: true }, parts);
  return report.sets[0]?.coverage;
}

function seen(found: Coverage | undefined): string[] {
  return (found?.conditions ?? []).map(
    ({ kind, text, sawTrue, sawFalse }) => `${kind} ${text}: ${sawTrue ? 'T' : ''}${sawFalse ? 'F' : ''}`,
  );
}

const ANY = { decision: 'ALLOW' };
const device = (attributes: object) => ({
  device: { id: 'mdm/d' },
  facts: [{ source: 'mdm', subject: 'device', attributes }],
});

describe('coverage', () => {
  it('names the policies that determined no decision', async () => {
    const found = await coverage([requestCase('reads', {}, ANY)]);
    expect(found?.undetermined).toEqual(['t.compliant', 't.level', 't.step-up']);
    expect(found).toMatchObject({ policies: 4, policyPercent: 25 });
  });

  it('counts a policy that determined a decision as covered even where the test failed', async () => {
    const found = await coverage([requestCase('reads', {}, { decision: 'DENY' })]);
    expect(found?.undetermined).not.toContain('t.members-read');
  });

  it('follows conjuncts as far as the engine comes', async () => {
    const found = await coverage([
      requestCase('no device', {}, ANY),
      requestCase('other path', { path: '/b' }, ANY),
    ]);
    expect(seen(found)).toEqual([
      'when resource.path like "/a*": TF',
      'when context has device: F',
      'unless context.device has compliant: ',
      'unless context.device.compliant: ',
      'when principal has level: F',
      'when (principal.level + 1) < 3: ',
    ]);
  });

  it('sees true and false apart, through when and unless', async () => {
    const found = await coverage([
      requestCase('unknown', device({}), ANY),
      requestCase('bad', device({ compliant: false }), ANY),
    ]);
    expect(seen(found).slice(1, 4)).toEqual([
      'when context has device: T',
      'unless context.device has compliant: TF',
      'unless context.device.compliant: F',
    ]);
  });

  it('evaluates nothing of a policy whose scope does not match', async () => {
    const found = await coverage([requestCase('nobody', { user: null, facts: null }, ANY)]);
    expect(seen(found)[0]).toBe('when resource.path like "/a*": ');
  });

  it('sees neither where a conjunct is an error', async () => {
    const text =
      '@id("t.sum") permit (principal is ZeroTrust::User, action, resource) when { principal has level && principal.level * 9007199254740991 > 0 };';
    const facts = [{ source: 'x', subject: 'user', attributes: { level: 9007199254740991 } }];
    expect(seen(await coverage([requestCase('overflow', { facts }, ANY)], text))).toEqual([
      'when principal has level: T',
      'when (principal.level * 9007199254740991) > 0: ',
    ]);
  });

  it('names file and line of the policy', async () => {
    expect((await coverage([]))?.conditions.map(({ policy, line }) => [policy, line])).toContainEqual([
      't.compliant',
      5,
    ]);
  });

  it('keeps an alternative in one piece, and texts that look like code', async () => {
    const text =
      '@id("t.or") permit (principal, action, resource) when { (resource.path == ") && (" || resource.host == "a.example") && context.mtls };';
    expect(seen(await coverage([requestCase('it', {}, ANY)], text))).toEqual([
      'when (resource.path == ") && (") || (resource.host == "a.example"): T',
      'when context.mtls: F',
    ]);
  });

  it('is whole where there is nothing to cover', async () => {
    const text = '@id("t.all") permit (principal, action, resource);';
    expect(await coverage([requestCase('it', {}, ANY)], text)).toMatchObject({
      policyPercent: 100,
      conditionPercent: 100,
      conditions: [],
    });
  });

  it('says which sets are below a share, of policies or of conditions', async () => {
    using sets = new Sets();
    const root = sets.write({
      'schema.cedarschema': SCHEMA,
      'low/s.cedar': POLICIES,
      'full/s.cedar': '@id("t.all") permit (principal, action, resource);',
      'full/tests/t.json': [requestCase('it', {}, ANY)],
    });
    const report = await runTests({ paths: [root], coverage: true }, parts);
    expect(setsBelow(report, 100).map((set) => set.name)).toEqual(['low']);
    expect(setsBelow(report, 0)).toEqual([]);
  });
});
