// src/pdp/reads.ts, entities.ts (EntityStore, fitRecord) and cache-key.ts together: what is left out of a question must not matter.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decisionKey } from '../../../src/pdp/cache-key.ts';
import { EntityStore, fitRecord } from '../../../src/pdp/entities.ts';
import type { CedarRequest, CedarValue, EntityUid } from '../../../src/pdp/evaluation.ts';
import type { PolicySnapshot } from '../../../src/pdp/policy-snapshot.ts';
import { snapshotOf } from '../../support/snapshot.ts';

const SCHEMA = `
  type Inner = { x?: Long, y?: Long };
  type Profile = { level?: Long, inner?: Inner, must: Long };
  entity Group in [Group] = { level?: Long };
  entity User in [Group] = { level?: Long, profile?: Profile, boss?: User, team?: Group } tags String;
  entity Doc in [Folder] = { level?: Long, profile?: Profile, owner?: User, blocked?: Group, readers?: Set<Group> } tags User;
  entity Folder in [Folder];
  action view appliesTo {
    principal: [User],
    resource: [Doc],
    context: { n?: Long, flag: Bool, one?: Profile, two?: Profile, friend?: User, unused?: String },
  };`;

const ACTION: EntityUid = { type: 'Action', id: 'view' };
const user = (id: string): EntityUid => ({ type: 'User', id });
const group = (id: string): EntityUid => ({ type: 'Group', id });
const folder = (id: string): EntityUid => ({ type: 'Folder', id });
const doc = (id: string): EntityUid => ({ type: 'Doc', id });

const smallLong = fc.constantFrom(0, 1, 2, Number.MAX_SAFE_INTEGER);
const groupId = fc.constantFrom('g0', 'g1', 'g2', 'g3');
const userId = fc.constantFrom('u0', 'u1', 'u2');
const folderId = fc.constantFrom('f0', 'f1');

/** Boolean expressions that strict validation accepts: every optional attribute is tested before it is read. */
const ATOMS: readonly string[] = [
  'context.flag',
  'context has n && context.n > 0',
  'context has n && context.n * 9007199254740991 > 0',
  'context has one && context.one.must == 1',
  'context has one && context.one has inner && context.one.inner has x && context.one.inner.x == 1',
  'context has one.inner.y && context.one.inner.y == 2',
  'context has one && context has two && context.one == context.two',
  'context has one && context has two && context.one has inner && context.two has inner && context.one.inner == context.two.inner',
  'context has one && [context.one].contains(if context has two then context.two else context.one)',
  '(if context.flag then context else context) has n',
  'context == (if context has n then context else context) && [context].contains(context)',
  '{"has": context.flag, ".": 1}["has"]',
  'context has friend && context.friend == principal',
  'context has friend && context.friend has level && context.friend.level > 0',
  'context has friend && context.friend in Group::"g1"',
  'context has friend && context.friend in principal',
  'principal == User::"u0"',
  'principal in Group::"g0"',
  'principal in [Group::"g1", Group::"g2"]',
  'principal is User in Group::"g2"',
  'principal has team && principal in principal.team',
  'principal has boss && principal.boss has level && principal.boss.level == 1',
  'principal has boss && principal.boss in Group::"g3"',
  'principal has boss && principal.boss has boss && principal.boss.boss has team && principal.boss.boss.team == Group::"g0"',
  'principal has profile && resource has profile && principal.profile == resource.profile',
  'principal has profile && principal.profile has level && principal.profile.level == 1',
  'principal.hasTag("k") && principal.getTag("k") == "v"',
  'resource has owner && resource.owner has level && resource.owner.level > 0',
  'resource has owner && principal == resource.owner',
  'resource has blocked && principal in resource.blocked',
  'resource has readers && principal in resource.readers',
  'resource in Folder::"f0"',
  'resource.hasTag("editor") && resource.getTag("editor") has level && resource.getTag("editor").level == 2',
  'User::"u1" has level && User::"u1".level > 0',
  'User::"u1" in Group::"g1"',
  'Group::"g0" in Group::"g1"',
  'Group::"g0" has level && Group::"g0".level == 1',
];

const atom = fc.constantFrom(...ATOMS).map((text) => `(${text})`);
const expression = fc.oneof(
  atom,
  fc
    .tuple(atom, fc.constantFrom('&&', '||'), atom)
    .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
  atom.map((text) => `!${text}`),
  fc.tuple(atom, atom, atom).map(([a, b, c]) => `(if ${a} then ${b} else ${c})`),
);
const scope = fc.constantFrom(
  'principal, action, resource',
  'principal in Group::"g0", action, resource',
  'principal == User::"u1", action, resource',
  'principal, action, resource in Folder::"f1"',
  'principal is User in Group::"g3", action == Action::"view", resource is Doc',
);
const policySet = fc
  .array(fc.tuple(fc.constantFrom('permit', 'forbid'), scope, expression), { minLength: 1, maxLength: 4 })
  .map((policies) =>
    policies
      .map(([effect, head, body], id) => `@id("p${id}") ${effect}(${head}) when { ${body} };`)
      .join('\n'),
  );

const profile = fc.record(
  {
    must: smallLong,
    level: smallLong,
    inner: fc.record({ x: smallLong, y: smallLong }, { requiredKeys: [] }),
  },
  { requiredKeys: ['must'] },
);
/** With a schema Cedar takes a reference with and without the `__entity` escape. */
const reference = (id: fc.Arbitrary<string>, type: string) =>
  fc
    .tuple(id, fc.boolean())
    .map(([value, escaped]) => (escaped ? { __entity: { type, id: value } } : { type, id: value }));
const userAttributes = fc.record(
  { level: smallLong, profile, boss: reference(userId, 'User'), team: reference(groupId, 'Group') },
  { requiredKeys: [] },
);
const docAttributes = fc.record(
  {
    level: smallLong,
    profile,
    owner: reference(userId, 'User'),
    blocked: reference(groupId, 'Group'),
    readers: fc.array(reference(groupId, 'Group'), { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const context = fc.record(
  {
    flag: fc.boolean(),
    n: smallLong,
    one: profile,
    two: profile,
    friend: userId.map((id) => ({ __entity: user(id) })),
    unused: fc.constantFrom('a', 'b'),
    undeclared: fc.constant('x'),
  },
  { requiredKeys: ['flag'] },
);

/** Groups and folders point to higher numbers only, so that there are no cycles. */
const staticEntities = fc
  .record({
    users: fc.dictionary(
      userId,
      fc.tuple(userAttributes, fc.uniqueArray(groupId, { maxLength: 2 }), fc.boolean()),
    ),
    groups: fc.dictionary(groupId, fc.tuple(fc.boolean(), smallLong)),
    docs: fc.dictionary(fc.constantFrom('d0', 'd1'), fc.tuple(docAttributes, userId, fc.boolean())),
  })
  .map(({ users, groups, docs }) => [
    ...Object.entries(users).map(([id, [attrs, parents, tagged]]) => ({
      uid: user(id),
      attrs,
      parents: parents.map(group),
      ...(tagged && { tags: { k: 'v' } }),
    })),
    ...Object.entries(groups).map(([id, [nested, level]]) => ({
      uid: group(id),
      attrs: { level },
      parents: nested && id !== 'g3' ? [group(`g${Number(id.slice(1)) + 1}`)] : [],
    })),
    ...Object.entries(docs).map(([id, [attrs, editor, tagged]]) => ({
      uid: doc(id),
      attrs,
      parents: [folder('f0')],
      ...(tagged && { tags: { editor: { __entity: user(editor) } } }),
    })),
    { uid: folder('f0'), attrs: {}, parents: [folder('f1')] },
  ]);

const facts = fc.record({
  principal: userId,
  principalAttributes: userAttributes,
  groups: fc.uniqueArray(groupId, { maxLength: 3 }),
  resource: fc.constantFrom('d0', 'd1', 'd2'),
  resourceAttributes: docAttributes,
  folders: fc.uniqueArray(folderId, { maxLength: 1 }),
  context,
});
type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never;

class Everything extends Set<string> {
  override has(): boolean {
    return true;
  }
}

/** The same snapshot, but as if its policies read all that the schema declares and named every static entity. */
function unprojected(snapshot: PolicySnapshot, entities: readonly { uid: EntityUid }[]): PolicySnapshot {
  const all = new Everything();
  return {
    ...snapshot,
    reads: { contextKeys: all, attributes: all, wholeAttributes: all, entityTypes: all },
    literalEntities: entities.map(({ uid }) => `${uid.type}::${JSON.stringify(uid.id)}`),
  };
}

function question(snapshot: PolicySnapshot, known: Facts): CedarRequest {
  const store = new EntityStore(snapshot);
  const principal = store.add(user(known.principal), known.principalAttributes, known.groups.map(group));
  const resource = store.add(doc(known.resource), known.resourceAttributes, known.folders.map(folder));
  const { friend } = known.context;
  if (friend) store.add(friend.__entity, {}, []);
  const shape = snapshot.contextShape(ACTION);
  if (!shape) throw new Error('the schema has no action view');
  const values = known.context as { readonly [name: string]: CedarValue };
  return {
    principal,
    action: ACTION,
    resource,
    context: fitRecord(values, shape, snapshot.reads.contextKeys, snapshot.reads),
    entities: store.list(),
  };
}

describe('the projection of a question to what policies read', () => {
  test('changes no evaluation, and equal cache keys mean equal evaluations', () => {
    fc.assert(
      fc.property(
        policySet,
        staticEntities,
        fc.array(facts, { minLength: 6, maxLength: 6 }),
        (text, entities, many) => {
          const snapshot = snapshotOf(text, SCHEMA, entities);
          const whole = unprojected(snapshot, entities);
          const byKey = new Map<string, string>();
          for (const known of many) {
            const projected = question(snapshot, known);
            const evaluation = snapshot.evaluate(projected);
            expect(evaluation).toEqual(snapshot.evaluate(question(whole, known)));
            const key = decisionKey(snapshot.digest, projected);
            const answer = JSON.stringify(evaluation);
            expect(byKey.get(key) ?? answer).toBe(answer);
            byKey.set(key, answer);
          }
        },
      ),
      { numRuns: 250 },
    );
  });

  test.each(ATOMS)('holds for a policy that says %s', (condition) => {
    const entities: { uid: EntityUid; attrs: object; parents: EntityUid[]; tags?: object }[] = [
      { uid: user('u0'), attrs: { level: 2, team: group('g3') }, parents: [group('g0')], tags: { k: 'v' } },
      { uid: user('u1'), attrs: { level: 1, boss: user('u0'), team: group('g0') }, parents: [group('g1')] },
      { uid: group('g0'), attrs: { level: 1 }, parents: [group('g1')] },
      {
        uid: doc('d0'),
        attrs: { owner: user('u1'), blocked: group('g3') },
        parents: [folder('f0')],
        tags: { editor: { __entity: user('u0') } },
      },
    ];
    const snapshot = snapshotOf(
      `@id("p") forbid(principal, action, resource) when { ${condition} };`,
      SCHEMA,
      entities,
    );
    const whole = unprojected(snapshot, entities);
    fc.assert(
      fc.property(facts, (known) => {
        expect(snapshot.evaluate(question(snapshot, known))).toEqual(
          snapshot.evaluate(question(whole, known)),
        );
      }),
      { numRuns: 60 },
    );
  });

  test('leaves out what no policy reads', () => {
    const snapshot = snapshotOf(
      '@id("p") permit(principal, action, resource) when { context.flag };',
      SCHEMA,
    );
    const known: Facts = {
      principal: 'u0',
      principalAttributes: { level: 1 },
      groups: ['g0'],
      resource: 'd0',
      resourceAttributes: { level: 1 },
      folders: ['f0'],
      context: { flag: true, n: 1, unused: 'a' },
    };
    expect(question(snapshot, known)).toEqual({
      principal: user('u0'),
      action: ACTION,
      resource: doc('d0'),
      context: { flag: true },
      entities: [
        { uid: user('u0'), attrs: {}, parents: [] },
        { uid: doc('d0'), attrs: {}, parents: [] },
      ],
    });
  });

  test('lets what was verified for the request win over a static entity that policies also name', () => {
    const text =
      '@id("p") permit(principal, action, resource) when { User::"u0" has level && principal has level && principal.level == 1 };';
    const snapshot = snapshotOf(text, SCHEMA, [{ uid: user('u0'), attrs: { level: 2 }, parents: [] }]);
    const store = new EntityStore(snapshot);
    store.add(user('u0'), { level: 1 }, [group('g0')]);
    expect(store.list()).toEqual([{ uid: user('u0'), attrs: { level: 1 }, parents: [] }]);
  });

  test('keeps the first facts about a party that is added twice', () => {
    const store = new EntityStore(
      snapshotOf('@id("p") permit(principal, action, resource) when { principal has level };', SCHEMA),
    );
    store.add(user('u0'), { level: 1 }, []);
    store.add(user('u0'), { level: 2 }, []);
    expect(store.list()).toEqual([{ uid: user('u0'), attrs: { level: 1 }, parents: [] }]);
  });
});

describe('the cache key', () => {
  const text = fc.oneof(fc.string(), fc.constantFrom('a', 'b', '"', '\\', ',', '","', '::', '\ud800', '\0'));
  const uid = fc.record({ type: text, id: text });
  const value: fc.Arbitrary<CedarValue> = fc.letrec<{ value: CedarValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      text,
      fc.integer(),
      fc.boolean(),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(text, tie('value'), { maxKeys: 2 }),
    ),
  })).value;
  const question = fc.record({
    principal: uid,
    action: uid,
    resource: uid,
    context: fc.dictionary(text, value, { maxKeys: 2 }),
    entities: fc.array(
      fc.record({
        uid,
        attrs: fc.dictionary(text, value, { maxKeys: 2 }),
        parents: fc.array(uid, { maxLength: 2 }),
      }),
      { maxLength: 2 },
    ),
  });

  test('is equal for equal questions of one snapshot, and only for those', () => {
    fc.assert(
      fc.property(text, question, text, question, (digestA, a, digestB, b) => {
        const same = JSON.stringify([digestA, a]) === JSON.stringify([digestB, b]);
        expect(decisionKey(digestA, a) === decisionKey(digestB, b)).toBe(same);
        expect(decisionKey(digestA, structuredClone(a))).toBe(decisionKey(digestA, a));
      }),
      { numRuns: 1000 },
    );
  });

  test('changes with every single part of the question', () => {
    const one = user('a');
    const base: CedarRequest = { principal: one, action: one, resource: one, context: {}, entities: [] };
    const others: CedarRequest[] = [
      base,
      { ...base, principal: user('b') },
      { ...base, action: user('b') },
      { ...base, resource: user('b') },
      { ...base, resource: group('a') },
      { ...base, context: { a: '1' } },
      { ...base, context: { a: 1 } },
      { ...base, context: { a: true } },
      { ...base, context: { a: 'true' } },
      { ...base, context: { a: ['b', 'c'] } },
      { ...base, context: { a: ['b,c'] } },
      { ...base, context: { a: ['b","c'] } },
      { ...base, context: { a: [['b'], 'c'] } },
      { ...base, context: { a: [['b', 'c']] } },
      { ...base, entities: [{ uid: one, attrs: {}, parents: [] }] },
      { ...base, entities: [{ uid: one, attrs: {}, parents: [one] }] },
      { ...base, entities: [{ uid: one, attrs: { a: '' }, parents: [] }] },
    ];
    const keys = ['sha256:1', 'sha256:2'].flatMap((digest) =>
      others.map((other) => decisionKey(digest, other)),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });
});
