// src/pdp/explain: whatever policies and requests there are, an explanation never contradicts Cedar.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CedarEngine } from '../../../../src/pdp/cedar.ts';
import type { CedarRequest, CedarValue, EntityUid, Evaluation } from '../../../../src/pdp/evaluation.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import { explain } from '../../../../src/pdp/explain/explain.ts';
import type {
  ExplainablePolicy,
  Explanation,
  PolicyExplanation,
} from '../../../../src/pdp/explain/explanation.ts';
import { explanationText } from '../../../../src/pdp/explain/explanation-text.ts';
import { snapshotOf } from '../../../support/snapshot.ts';
import { CHECKER, NOW, allConditions, askCedar, explainable } from './fixture.ts';

const SCHEMA = `
  type Inner = { x?: Long, y?: Long };
  type Profile = { level?: Long, inner?: Inner, must: Long };
  entity Group in [Group] = { level?: Long };
  entity User in [Group] = { level?: Long, admin?: Bool, boss?: User, team?: Group, names: Set<String> } tags String;
  entity Robot in [Group] = { level?: Long, names: Set<String> };
  entity Doc in [Folder] = { level?: Long, profile?: Profile, owner?: User, readers?: Set<Group>, path: String };
  entity Folder in [Folder];
  action any;
  action read in [any];
  action view, edit in [read] appliesTo {
    principal: [User, Robot],
    resource: [Doc],
    context: { n?: Long, flag: Bool, one?: Profile, friend?: User, ip?: ipaddr, score?: decimal, now?: datetime },
  };`;

/** What strict validation accepts: every optional attribute is tested before it is read. */
const SAFE = [
  'context.flag',
  '!context.flag',
  'context has n && context.n > 1',
  'context has n && 1 >= context.n',
  'context has n && context.n * 9007199254740991 > 0',
  'context has n && context.n + 1 != 2',
  'context has one && context.one.must == 1 && context.one has inner && context.one.inner has x && context.one.inner.x == 1',
  'context has one.inner.y && context.one.inner.y == 2',
  'context has friend && context.friend == principal',
  'context has friend && context.friend has boss && context.friend.boss has admin && context.friend.boss.admin',
  'context has friend && context.friend in Group::"g1"',
  'context has ip && context.ip.isInRange(ip("10.0.0.0/8")) && !context.ip.isLoopback()',
  'context has score && context.score.lessThan(decimal("0.5"))',
  'context has now && context.now > datetime("2026-01-01")',
  'principal is User && principal has level && principal.level == 1',
  'principal is User in Group::"g0"',
  'principal == User::"u0" || principal in [Group::"g1", Group::"g2"]',
  'principal is User && principal has team && principal in principal.team',
  'principal is User && principal.hasTag("k") && principal.getTag("k") == "v"',
  'principal.names.contains("a") || principal.names.containsAny(["b", "c"])',
  'principal.names.isEmpty() || ["x", "y"].containsAll(principal.names)',
  '["a", "b"].contains(resource.path)',
  'resource.path like "/a/*" || resource.path == "\\u{202e}*"',
  'resource has owner && resource.owner == principal',
  'resource has readers && principal in resource.readers',
  'if context.flag then resource in Folder::"f0" else principal in Group::"g0"',
  'if context has n && context.n > 0 then context has one else !(context has one)',
  '(if context.flag then 1 else 2) == 1',
  '{"a b": context.flag}["a b"]',
  'true',
  '!(1 == 2)',
];

/** What errs now and then, or always: unguarded attributes, operands of the wrong type. */
const WILD = [
  ...SAFE,
  'context.n > 1',
  'context.friend.boss.admin',
  'principal.level < resource.level',
  'context.flag && context.n',
  'context.n || context.flag',
  '!context.n',
  'if context.n then true else false',
  'if context.friend.admin then context.flag else !context.flag',
  'principal.team.level == Group::"g0".level',
  'context.one == {must: 1}',
  'principal.getTag("k") like "v*"',
  'context.one.inner.x + 9223372036854775807 > 0',
  'context.n * 9007199254740993 > 0',
  'resource.owner in resource.readers',
  'context == context',
  'principal is User && 3',
];

const ENTITY = {
  user: fc.constantFrom('u0', 'u1').map((id): EntityUid => ({ type: 'User', id })),
  group: fc.constantFrom('g0', 'g1', 'g2').map((id): EntityUid => ({ type: 'Group', id })),
};
const small = fc.constantFrom(0, 1, 2);
const ref = (uid: fc.Arbitrary<EntityUid>) =>
  fc.tuple(uid, fc.boolean()).map(([it, escaped]) => (escaped ? { __entity: it } : it));
const some = (fields: Record<string, fc.Arbitrary<unknown>>, requiredKeys: string[] = []) =>
  fc.record(fields, { requiredKeys }) as fc.Arbitrary<{ readonly [name: string]: CedarValue }>;

const profile = some({ must: small, level: small, inner: some({ x: small, y: small }) }, ['must']);
const userAttributes = some(
  {
    level: small,
    admin: fc.boolean(),
    boss: ref(ENTITY.user),
    team: ref(ENTITY.group),
    names: fc.uniqueArray(fc.constantFrom('a', 'b', 'x'), { maxLength: 2 }),
  },
  ['names'],
);
const request: fc.Arbitrary<CedarRequest> = fc
  .record({
    robot: fc.boolean(),
    action: fc.constantFrom('view', 'edit'),
    users: fc.tuple(userAttributes, userAttributes),
    groups: fc.tuple(fc.uniqueArray(ENTITY.group), fc.uniqueArray(ENTITY.group)),
    tagged: fc.boolean(),
    nested: fc.boolean(),
    folder: fc.boolean(),
    doc: some(
      {
        level: small,
        profile,
        owner: ref(ENTITY.user),
        readers: fc.array(ref(ENTITY.group), { maxLength: 2 }),
        path: fc.constantFrom('a', '/a/b', '/c', '\u202e*'),
      },
      ['path'],
    ),
    context: some(
      {
        n: small,
        flag: fc.boolean(),
        one: profile,
        friend: ref(ENTITY.user),
        ip: fc.constantFrom('10.1.2.3', '127.0.0.1'),
        score: fc.constantFrom('0.25', '0.75'),
        now: fc.constantFrom('2025-06-01', '2026-06-01'),
      },
      ['flag'],
    ),
  })
  .map(({ robot, action, users, groups, tagged, nested, folder, doc, context }) => {
    const principal: EntityUid = robot ? { type: 'Robot', id: 'r0' } : { type: 'User', id: 'u0' };
    const resource: EntityUid = { type: 'Doc', id: 'd0' };
    const tags = tagged ? { tags: { k: 'v' } } : {};
    return {
      principal,
      action: { type: 'Action', id: action },
      resource,
      context,
      entities: [
        { uid: { type: 'User', id: 'u0' }, attrs: users[0], parents: groups[0], ...tags },
        { uid: { type: 'User', id: 'u1' }, attrs: users[1], parents: groups[1] },
        { uid: { type: 'Robot', id: 'r0' }, attrs: { names: ['a'] }, parents: groups[1] },
        {
          uid: { type: 'Group', id: 'g0' },
          attrs: { level: 1 },
          parents: nested ? [{ type: 'Group', id: 'g1' }] : [],
        },
        { uid: resource, attrs: doc, parents: folder ? [{ type: 'Folder', id: 'f0' }] : [] },
      ],
    };
  });

const SCOPES = [
  'principal, action, resource',
  'principal in Group::"g1", action, resource',
  'principal == User::"u0", action == Action::"view", resource',
  'principal == User::"u1", action in [Action::"view"], resource is Doc',
  'principal is User, action in Action::"any", resource in Folder::"f0"',
  'principal is Robot in Group::"g2", action, resource == Doc::"d0"',
  'principal, action in [Action::"edit", Action::"read"], resource is Doc in Folder::"f0"',
];

function policySet(atoms: readonly string[]): fc.Arbitrary<string> {
  const atom = fc.constantFrom(...atoms).map((text) => `(${text})`);
  const { body } = fc.letrec<{ body: string }>((tie) => ({
    body: fc.oneof(
      { maxDepth: 3 },
      atom,
      fc
        .tuple(tie('body'), fc.constantFrom('&&', '||'), tie('body'))
        .map(([a, op, b]) => `(${a} ${op} ${b})`),
      tie('body').map((text) => `!${text}`),
      fc.tuple(atom, tie('body'), tie('body')).map(([a, b, c]) => `(if ${a} then ${b} else ${c})`),
    ),
  }));
  const clause = fc
    .tuple(fc.constantFrom('when', 'unless'), body)
    .map(([kind, text]) => `${kind} { ${text} }`);
  const policy = fc.tuple(
    fc.constantFrom('permit', 'permit', 'permit', 'forbid'),
    fc.constantFrom(...SCOPES),
    fc.array(clause, { maxLength: 3 }),
  );
  return fc
    .array(policy, { minLength: 1, maxLength: 5 })
    .map((all) =>
      all
        .map(([effect, scope, clauses], id) => `@id("p${id}") ${effect}(${scope}) ${clauses.join(' ')};`)
        .join('\n'),
    );
}

function listed(explanation: Explanation): readonly PolicyExplanation[] {
  const { determining, overridden, erring, nearMisses, scopeMisses } = explanation;
  return [...determining, ...overridden, ...erring, ...nearMisses, ...scopeMisses];
}

/** The scope of a policy, as a policy of its own. */
function scopeOf({ text }: ExplainablePolicy): string {
  return `${text.slice(0, text.search(/\) (?:when|unless|;)/) + 1)};`;
}

/** The promises of an explanation, each checked against what Cedar says when asked afresh. */
function checkAgreement(
  policies: readonly ExplainablePolicy[],
  cedar: CedarRequest,
  evaluation: Evaluation,
  explanation: Explanation,
): void {
  const all = listed(explanation);
  const permits = policies.filter(({ effect }) => effect === 'permit');
  const conditions = all
    .flatMap((policy) => allConditions(policy.conditions))
    // A text that was cut, or that is a whole policy, is no expression.
    .filter(({ text }) => !text.endsWith('…') && !policies.some((policy) => policy.text === text));
  const cedarSays = askCedar(
    [...conditions.map(({ text }) => text), ...permits.flatMap((policy) => [policy.text, scopeOf(policy)])],
    SCHEMA,
    cedar,
  );
  const brokenForbid = policies.some(
    ({ id, effect }) => effect === 'forbid' && evaluation.errors.includes(id),
  );
  expect(explanation.verdict).toBe(evaluation.verdict === 'deny' || brokenForbid ? 'deny' : 'permit');
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  for (const { text, wanted, outcome, words } of conditions) {
    const expected = { holds: wanted, fails: !wanted, error: 'error', not_reached: 'error' }[outcome];
    expect(cedarSays.get(text), `${text} → ${outcome}: ${words}`).toBe(expected);
  }
  for (const { text } of [...explanation.nearMisses, ...explanation.scopeMisses])
    expect(cedarSays.get(text)).not.toBe(true);
  const decided = [...explanation.determining, ...explanation.overridden];
  for (const policy of all) {
    const stop = policy.conditions.find(({ outcome }) => outcome !== 'holds');
    expect(stop?.outcome === 'error').toBe(evaluation.errors.includes(policy.id));
    expect(decided.includes(policy) && stop?.outcome !== 'error').toBe(stop === undefined);
  }
  if (explanation.verdict === 'permit') return;
  const inScope = [...explanation.determining, ...explanation.overridden, ...explanation.nearMisses];
  for (const policy of permits)
    expect(inScope.some(({ id }) => id === policy.id)).toBe(cedarSays.get(scopeOf(policy)));
}

function validated(text: string): PolicySnapshot | undefined {
  try {
    return snapshotOf(text, SCHEMA);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

describe('an explanation', () => {
  test('never contradicts Cedar, for validated policies, and puts every condition in its own words', () => {
    fc.assert(
      fc.property(policySet(SAFE), fc.array(request, { minLength: 4, maxLength: 4 }), (text, requests) => {
        const snapshot = validated(text);
        // Strict validation refuses some combinations; those are the other test's.
        fc.pre(snapshot !== undefined);
        const policies = explainable(text);
        for (const cedar of requests) {
          const evaluation = snapshot.evaluate(cedar);
          const explanation = explain({ cedar, facts: [] }, policies, SCHEMA, evaluation, NOW, CHECKER);
          checkAgreement(policies, cedar, evaluation, explanation);
          for (const policy of listed(explanation))
            expect(policy.conditions.map(({ text }) => text)).not.toContain(policy.text);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('never contradicts Cedar, for policies that no validation has seen', () => {
    fc.assert(
      fc.property(policySet(WILD), fc.array(request, { minLength: 4, maxLength: 4 }), (text, requests) => {
        const policies = explainable(text);
        const engine = CedarEngine.load({
          schema: SCHEMA,
          policies: Object.fromEntries(policies.map((policy) => [policy.id, policy.text])),
        });
        for (const cedar of requests) {
          const evaluation = engine.evaluate(cedar);
          const explanation = explain({ cedar, facts: [] }, policies, SCHEMA, evaluation, NOW, CHECKER);
          checkAgreement(policies, cedar, evaluation, explanation);
          expect(explanationText(explanation)).toMatch(/\n$/);
          expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
        }
      }),
      { numRuns: 40 },
    );
  });
});
