// src/pdp/explain/{explain,policy-explainer,prober,scope}.ts: which policies are told, in what order, how many, and odd ones.
import { describe, expect, test } from 'vitest';
import { CedarEngine } from '../../../../src/pdp/cedar.ts';
import type { CedarRequest, Evaluation } from '../../../../src/pdp/evaluation.ts';
import { explain } from '../../../../src/pdp/explain/explain.ts';
import { explanationText } from '../../../../src/pdp/explain/explanation-text.ts';
import type { ExplainablePolicy, Explanation } from '../../../../src/pdp/explain/explanation.ts';
import { CHECKER, NOW, explainable, failedWords } from './fixture.ts';

const SCHEMA = `
  entity Group in [Group];
  entity User in [Group] = { level: Long, n?: Long };
  entity Doc = { path: String };
  action all;
  action read in [all];
  action view in [read] appliesTo { principal: [User], resource: [Doc], context: { flag: Bool } };`;

const REQUEST: CedarRequest = {
  principal: { type: 'User', id: 'ann' },
  action: { type: 'Action', id: 'view' },
  resource: { type: 'Doc', id: 'd' },
  context: { flag: true },
  entities: [
    { uid: { type: 'User', id: 'ann' }, attrs: { level: 2 }, parents: [{ type: 'Group', id: 'staff' }] },
    { uid: { type: 'Group', id: 'staff' }, attrs: {}, parents: [{ type: 'Group', id: 'people' }] },
    { uid: { type: 'Doc', id: 'd' }, attrs: { path: '/a' }, parents: [] },
  ],
};
const NOTHING: Evaluation = { verdict: 'deny', policies: [], errors: [] };

function evaluated(text: string, odd: readonly ExplainablePolicy[] = []): Explanation {
  const policies = explainable(text);
  const texts = Object.fromEntries(policies.map((policy) => [policy.id, policy.text]));
  const evaluation = CedarEngine.load({ schema: SCHEMA, policies: texts }).evaluate(REQUEST);
  return explain({ cedar: REQUEST, facts: [] }, [...policies, ...odd], SCHEMA, evaluation, NOW, CHECKER);
}

const ids = (policies: readonly { readonly id: string }[]): string[] => policies.map(({ id }) => id);
const permits = (count: number, scope: string, body: (index: number) => string): string =>
  Array.from(
    { length: count },
    (_, index) => `@id("p${String(index).padStart(3, '0')}") permit (${scope}) when { ${body(index)} };`,
  ).join('\n');
const ANYONE = 'principal, action, resource';

describe('the policies that are told', () => {
  test('are permits within whose scope the request lies, through the hierarchies of entities and actions', () => {
    const { nearMisses, scopeMisses } = evaluated(`
      @id("all") permit (principal in Group::"people", action in Action::"all", resource is Doc) when { false };
      @id("one") permit (principal == User::"ann", action == Action::"view", resource == Doc::"d") when { false };
      @id("either") permit (principal is User in Group::"staff", action in [Action::"all"], resource) when { false };
      @id("other-action") permit (principal, action == Action::"read", resource) when { false };
      @id("other-resource") permit (principal, action, resource == Doc::"e") when { false };
      @id("other-principal") permit (principal in Group::"board", action, resource);
      @id("other-type") permit (principal is Group, action, resource) when { context.flag };
      @id("no-forbid") forbid (principal, action, resource) when { false };`);
    expect(ids(nearMisses)).toEqual(['all', 'either', 'one']);
    expect(failedWords(scopeMisses)).toEqual({
      'other-principal': ['principal is User::"ann", the policy wants one in Group::"board"'],
      'other-type': ['principal is User::"ann", the policy wants a Group'],
    });
  });

  test('come nearest first: by what fails, then by what was never reached, then by id', () => {
    const { nearMisses } = evaluated(`
      @id("a-two") permit (${ANYONE}) when { principal.level == 1 && resource.path == "/x" };
      @id("b-one-and-guarded") permit (${ANYONE}) when { principal has n && principal.n == 1 };
      @id("c-one") permit (${ANYONE}) when { principal.level == 1 };
      @id("d-one") permit (${ANYONE}) unless { principal.level == 2 || context.flag && principal.level == 3 };`);
    expect(nearMisses.map(({ id, failed }) => [id, failed])).toEqual([
      ['c-one', 1],
      ['d-one', 1],
      ['b-one-and-guarded', 1],
      ['a-two', 2],
    ]);
  });

  test('of another principal are told with what else would fail', () => {
    const { scopeMisses } = evaluated(
      `@id("p") permit (principal == User::"bob", action, resource) when { resource.path == "/x" };`,
    );
    expect(failedWords(scopeMisses)).toEqual({
      p: ['principal is User::"ann", the policy wants User::"bob"', 'resource.path is "/a", not "/x"'],
    });
  });

  test('are, where an erring forbid denies, that forbid with its error, and the permits that it overrode', () => {
    const explanation = evaluated(`
      @id("open") permit (${ANYONE});
      @id("broken") forbid (${ANYONE}) when { principal.n == 1 };`);
    expect(explanation.verdict).toBe('deny');
    expect(failedWords(explanation.determining)).toEqual({
      broken: ['principal has no n, which principal.n == 1 needs'],
    });
    expect(ids(explanation.overridden)).toEqual(['open']);
    expect(explanation.erring).toEqual([]);
  });

  test('are, where a forbid denies, that forbid; one that errs besides is told apart, an erring permit among the near misses', () => {
    const explanation = evaluated(`
      @id("closed") forbid (${ANYONE});
      @id("broken") forbid (${ANYONE}) when { principal.n == 1 };
      @id("broken-permit") permit (${ANYONE}) when { principal.n == 1 };`);
    expect([explanation.determining, explanation.erring, explanation.nearMisses].map(ids)).toEqual([
      ['closed'],
      ['broken'],
      ['broken-permit'],
    ]);
    expect(explanationText(explanation)).toContain(
      'Could not be evaluated:\n  forbid broken  test.cedar:3:7\n    - principal has no n',
    );
  });

  test('are, on a permit, the permits, and a permit that errs', () => {
    const explanation = evaluated(`
      @id("open") permit (${ANYONE}) when { context.flag };
      @id("shut") permit (${ANYONE}) when { !context.flag };
      @id("broken") permit (${ANYONE}) when { principal.n == 1 };`);
    expect(
      [explanation.determining, explanation.erring, explanation.nearMisses, explanation.scopeMisses].map(ids),
    ).toEqual([['open'], ['broken'], [], []]);
    expect(explanationText(explanation)).toMatch(
      /^Permitted by:\n {2}permit open {2}test\.cedar:2:7\n {4}- context\.flag is true\n/,
    );
  });
});

describe('an explanation is kept small', () => {
  test('in policies', () => {
    const few = evaluated(permits(20, ANYONE, (n) => `principal.level == ${n + 10}`));
    expect([few.nearMisses.length, few.truncated]).toEqual([20, false]);
    const many = evaluated(permits(150, ANYONE, (n) => `principal.level == ${n + 10}`));
    expect([many.nearMisses.length, many.truncated]).toEqual([20, true]);
    expect(explanationText(many)).toMatch(/\nMore was left out\.\n$/);
    const others = evaluated(permits(11, 'principal == User::"bob", action, resource', () => 'true'));
    expect([others.scopeMisses.length, others.truncated]).toEqual([10, true]);
    const forbids = evaluated(permits(21, ANYONE, () => 'true').replaceAll('permit', 'forbid'));
    expect([forbids.determining.length, forbids.truncated]).toEqual([20, true]);
  });

  test('in conditions, of which those that hold are left out first', () => {
    const holding = Array.from({ length: 60 }, (_, n) => `principal.level != ${n + 10}`);
    const { nearMisses, truncated } = evaluated(
      permits(1, ANYONE, () => [...holding, 'principal.level == 3'].join(' && ')),
    );
    expect([nearMisses[0]?.conditions.length, nearMisses[0]?.failed, truncated]).toEqual([40, 1, true]);
    expect(nearMisses[0]?.conditions.at(-1)?.words).toBe('principal.level is 2, not 3');
  });

  test('in alternatives and texts', () => {
    const values = Array.from({ length: 90 }, (_, n) => `principal.level == ${n + 10}`);
    const { nearMisses, truncated } = evaluated(permits(1, ANYONE, () => values.join(' || ')));
    const [condition] = nearMisses[0]?.conditions ?? [];
    expect([condition?.anyOf?.length, truncated]).toEqual([20, true]);
    expect(condition?.words.length).toBeLessThan(2010);
    expect(condition?.text.length).toBeLessThan(510);
    const long = evaluated(permits(1, ANYONE, () => `resource.path == "${'x'.repeat(50_000)}"`));
    expect(JSON.stringify(long).length).toBeLessThan(8000);
    expect(long.truncated).toBe(true);
  });
});

describe('an odd policy', () => {
  const odd = (id: string, json: object, text = 'whatever'): ExplainablePolicy => ({
    id,
    effect: 'permit',
    text,
    file: 'odd.cedar',
    line: 1,
    column: 1,
    json,
  });
  const all = { op: 'All' };
  const scope = { effect: 'permit', principal: all, action: all, resource: all };

  test.each<[string, object]>([
    ['nothing at all', {}],
    ['a scope of nonsense', { principal: 3, action: null, resource: 'x', conditions: 7 }],
    ['an unfilled slot', { ...scope, principal: { op: '==', slot: '?principal' }, conditions: [] }],
    ['actions that are none', { ...scope, action: { op: 'in', entities: [1, null] }, conditions: [] }],
    ['no conditions where some must be', scope],
    [
      'an unknown operator',
      {
        ...scope,
        conditions: [{ kind: 'when', body: { '~': { left: { Value: 1 }, right: { Value: 2 } } } }],
      },
    ],
    [
      'an unknown function',
      { ...scope, conditions: [{ kind: 'when', body: { frobnicate: [{ Value: 1 }] } }] },
    ],
    [
      'a pattern of nonsense',
      { ...scope, conditions: [{ kind: 'when', body: { like: { left: { Value: 'a' }, pattern: 'a*' } } }] },
    ],
    ['an unknown clause', { ...scope, conditions: [{ kind: 'whenever', body: { Value: true } }] }],
    [
      'an entity of no type',
      { ...scope, conditions: [{ kind: 'when', body: { Value: { __entity: { type: '', id: 3 } } } }] },
    ],
  ])('with %s is told by its text, and hurts no other', (_what, json) => {
    const explanation = evaluated(
      '@id("sane") permit (principal, action, resource) when { principal.level == 3 };',
      [odd('odd', json)],
    );
    const { sane, odd: told } = failedWords([...explanation.nearMisses, ...explanation.scopeMisses]);
    expect(sane).toEqual(['principal.level is 2, not 3']);
    expect([
      undefined,
      ['it does not apply'],
      ['principal is User::"ann", the policy wants what its template is linked with'],
    ]).toContainEqual(
      told?.map((words) => words.replace(/^.* cannot be evaluated: .*/, 'it does not apply')),
    );
    expect(explanationText(explanation)).not.toContain('undefined');
  });

  test('that JSON cannot carry exactly is told as a whole, and rightly', () => {
    const { nearMisses } = evaluated(
      '@id("p") permit (principal, action, resource) when { 9007199254740993 == 9007199254740992 };',
    );
    expect(failedWords(nearMisses)).toEqual({ p: ['it does not apply'] });
    const broken = evaluated(
      '@id("p") permit (principal, action, resource) when { 9223372036854775807 + principal.level > 0 };',
    );
    expect(failedWords(broken.nearMisses)['p']?.[0]).toMatch(/^it cannot be evaluated: integer overflow/);
  });

  test('with chains as long and nesting as deep as the engine holds is still told condition by condition', () => {
    const chain = Array.from({ length: 190 }, () => 'context.flag').join(' && ');
    const deep = `${'('.repeat(90)}principal.level${')'.repeat(90)} + ${Array.from({ length: 60 }, () => '1').join(' + ')} == 3`;
    const { nearMisses } = evaluated(`
      @id("chain") permit (principal, action, resource) when { ${chain} && principal.level == 3 };
      @id("deep") permit (principal, action, resource) when { ${deep} };`);
    expect(failedWords(nearMisses)).toMatchObject({
      chain: ['principal.level is 2, not 3'],
      deep: [expect.stringMatching(/ is false, where principal\.level is 2$/)],
    });
  });

  test('that traps the engine spoils neither the rest nor the next explanation', () => {
    const body = (depth: number): object =>
      depth === 0 ? { Value: true } : { '!': { arg: body(depth - 1) } };
    const trap = odd(
      'trap',
      { ...scope, conditions: [{ kind: 'when', body: body(4000) }] },
      `permit(principal, action, resource) when { ${'!('.repeat(4000)}true${')'.repeat(4000)} };`,
    );
    const sane = '@id("sane") permit (principal, action, resource) when { principal.level == 3 };';
    expect(failedWords(evaluated(sane, [trap]).nearMisses)['sane']).toEqual(['principal.level is 2, not 3']);
    expect(failedWords(evaluated(sane).nearMisses)).toEqual({ sane: ['principal.level is 2, not 3'] });
  });

  test('does not exist where it is the request that the engine refuses: every policy is told by its text', () => {
    const policies = explainable(permits(30, ANYONE, (n) => `principal.level == ${n + 10}`));
    const cedar = { ...REQUEST, context: { flag: 'no boolean' } };
    const { nearMisses, truncated } = explain({ cedar, facts: [] }, policies, SCHEMA, NOTHING, NOW, CHECKER);
    expect([nearMisses.length, truncated]).toEqual([20, true]);
    expect(failedWords(nearMisses)['p000']).toEqual(['it does not apply']);
  });
});
