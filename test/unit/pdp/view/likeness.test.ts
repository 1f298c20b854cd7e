// src/pdp/distinctions.ts and src/pdp/view/likeness.ts: where two questions have the same likeness, Cedar answers both alike.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { distinctionsOf, isLike, joinDistinctions } from '../../../../src/pdp/distinctions.ts';
import type { CedarEntity, CedarRequest, CedarValue, EntityUid } from '../../../../src/pdp/evaluation.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { CedarChecker } from '../../../../src/pdp/cedar.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import { snapshotOf } from '../../../support/snapshot.ts';

const SCHEMA = `
  type Part = { path?: String, name?: String, owner?: User, level?: Long };
  entity Group in [Group] = { level?: Long };
  entity Colour enum ["red", "green"];
  entity User in [Group] = { name?: String, level?: Long, boss?: User, team?: Group, roles?: Set<String>, peers?: Set<User>, part?: Part, colour?: Colour };
  entity Doc in [Folder] = { path?: String, owner?: User, readers?: Set<Group>, part?: Part };
  entity Folder in [Folder];
  action read;
  action view in [read] appliesTo {
    principal: [User],
    resource: [Doc],
    context: { flag?: Bool, path?: String, name?: String, friend?: User, part?: Part, roles?: Set<String>, at?: ipaddr },
  };`;

/** Boolean expressions that strict validation accepts. */
const ATOMS: readonly string[] = [
  'context has flag && context.flag',
  'resource has path && resource.path like "/a/*"',
  'resource has path && resource.path like "*b*/c"',
  'resource has path && "/a/b" == resource.path',
  'resource has path && resource.path != "/a"',
  'resource has path && ["/a", "/é/😀"].contains(resource.path)',
  'resource has path && context has path && resource.path == context.path',
  'resource has path && [context].contains(context) && resource.path like "*"',
  'context has path && context.path like ""',
  'context has name && principal has name && context.name == principal.name',
  'principal has name && principal.name == "ann"',
  'principal has name && [principal.name, "x"].contains("ann")',
  'principal has roles && principal.roles.contains("admin")',
  'principal has roles && principal.roles.containsAny(["a", "b"])',
  'principal has roles && principal.roles.containsAll(["a", "admin"])',
  'principal has roles && ["a", "admin"].containsAll(principal.roles)',
  'principal has roles && principal.roles.isEmpty()',
  'principal has roles && context has roles && principal.roles == context.roles',
  'context has roles && context.roles.contains("a")',
  'context has friend && context.friend == principal',
  'context has friend && context.friend in principal',
  'context has friend && context.friend has boss && context.friend.boss == principal',
  'context has friend && context.friend in Group::"g1"',
  'principal == User::"u0"',
  'principal != User::"u1"',
  'principal in Group::"g0"',
  'principal in [Group::"g1", Group::"g2"]',
  'principal is User in Group::"g2"',
  'principal has team && principal in principal.team',
  'principal has boss && principal.boss in Group::"g2"',
  'principal has boss && principal.boss has team && principal.boss.team == Group::"g0"',
  'principal has peers && principal.peers.contains(principal)',
  'principal has peers && principal.peers.contains(User::"u2")',
  'principal has peers && context has friend && principal.peers.contains(context.friend)',
  'principal has colour && principal.colour == Colour::"red"',
  'principal has level && principal.level * 9007199254740991 > 0',
  'principal has part.path && principal.part.path like "/a*"',
  'principal has part && resource has part && principal.part == resource.part',
  'principal has part.owner && resource has owner && principal.part.owner == resource.owner',
  'context has part.path',
  'context has part.path && context.part.path == "/a"',
  '(if context has flag then principal else User::"u0") has name',
  'resource has owner && resource.owner == principal',
  'resource has owner && resource.owner has name && resource.owner.name == "ann"',
  'resource has readers && principal in resource.readers',
  'resource in Folder::"f0"',
  'context == (if context has flag then context else context)',
  'context has at && context.at.isInRange(ip("10.0.0.0/8"))',
];

const SCOPES: readonly string[] = [
  'principal, action, resource',
  'principal in Group::"g0", action, resource',
  'principal == User::"u1", action, resource',
  'principal, action in Action::"read", resource in Folder::"f1"',
  'principal is User in Group::"g3", action == Action::"view", resource is Doc',
];

const policySet = fc
  .array(
    fc.tuple(
      fc.constantFrom('permit', 'forbid'),
      fc.constantFrom(...SCOPES),
      fc.array(fc.constantFrom(...ATOMS), { minLength: 1, maxLength: 2 }),
      fc.constantFrom('&&', '||'),
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((policies) =>
    policies
      .map(
        ([effect, scope, atoms, operator], n) =>
          `@id("p${n}") ${effect}(${scope}) when { ${atoms.map((atom) => `(${atom})`).join(operator)} };`,
      )
      .join('\n'),
  );

const uid = (type: string, id: string): EntityUid => ({ type, id });
const ids = (type: string, letter: string, count: number) =>
  fc.constantFrom(...Array.from({ length: count }, (_, n) => uid(type, `${letter}${n}`)));
const users = ids('User', 'u', 4);
const groups = ids('Group', 'g', 6);
/** With a schema Cedar takes a reference with and without the `__entity` escape. */
const reference = (of: fc.Arbitrary<EntityUid>) =>
  fc.tuple(of, fc.boolean()).map(([value, escaped]) => (escaped ? { __entity: value } : { ...value }));
const path = fc.constantFrom('/a', '/a/b', '/a/x', '/b/c', '/bb/c', '', '/é/😀', 'c');
const name = fc.constantFrom('ann', 'bob', 'x', '');
const level = fc.constantFrom(0, 1, 3);
const roles = fc.subarray(['admin', 'a', 'b', 'c', 'd']);
const optional = (fields: { readonly [name: string]: fc.Arbitrary<unknown> }) =>
  fc.record(fields, { requiredKeys: [] });
const part = optional({ path, name, owner: reference(users), level });

const attributesOfUser = optional({
  name,
  level,
  boss: reference(users),
  team: reference(groups),
  roles,
  peers: fc.array(reference(users), { maxLength: 2 }),
  part,
  colour: reference(fc.constantFrom(uid('Colour', 'red'), uid('Colour', 'green'))),
});
const attributesOfDoc = optional({
  path,
  owner: reference(users),
  readers: fc.array(reference(groups), { maxLength: 2 }),
  part,
});
const context = optional({
  flag: fc.boolean(),
  path,
  name,
  friend: reference(users),
  part,
  roles,
  at: fc.constantFrom('10.0.0.1', '10.0.0.2', '11.0.0.1'),
});

/** Groups and folders are in those with higher numbers only, so that there are no cycles. */
const GROUPS: readonly CedarEntity[] = [
  { uid: uid('Group', 'g0'), attrs: { level: 1 }, parents: [uid('Group', 'g1')] },
  { uid: uid('Group', 'g4'), attrs: {}, parents: [uid('Group', 'g2')] },
  { uid: uid('Folder', 'f0'), attrs: {}, parents: [uid('Folder', 'f1')] },
];

const question: fc.Arbitrary<CedarRequest> = fc
  .record({
    principal: users,
    resource: ids('Doc', 'd', 3),
    context,
    others: fc.uniqueArray(fc.tuple(users, attributesOfUser, fc.uniqueArray(groups, { maxLength: 3 })), {
      maxLength: 3,
      selector: ([user]) => user.id,
    }),
    doc: attributesOfDoc,
    folders: fc.uniqueArray(ids('Folder', 'f', 3), { maxLength: 1 }),
  })
  .map(({ principal, resource, others, doc, folders, ...rest }) => ({
    principal,
    action: uid('Action', 'view'),
    resource,
    context: rest.context as CedarRequest['context'],
    entities: [
      ...others.map(([user, attrs, parents]) => ({
        uid: user,
        attrs: attrs as CedarEntity['attrs'],
        parents,
      })),
      { uid: resource, attrs: doc as CedarEntity['attrs'], parents: folders },
      ...GROUPS,
    ],
  }));

/** The same question with two entities, or two texts, in each other's place. */
function swapped<T>(value: T, [a, b]: readonly [string, string]): T {
  if (Array.isArray(value)) return value.map((item) => swapped(item, [a, b])) as T;
  if (value === a || value === b) return (value === a ? b : a) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, swapped(inner, [a, b])])) as T;
}

const pairOf = (...texts: string[]) => fc.shuffledSubarray(texts, { minLength: 2, maxLength: 2 });
const swap = fc
  .oneof(
    pairOf('u0', 'u1', 'u2', 'u3', 'new'),
    pairOf('g0', 'g1', 'g2', 'g3', 'g5', 'new'),
    pairOf('d0', 'd1', 'new'),
    pairOf('f0', 'f1', 'f2'),
    pairOf('/a', '/a/b', '/a/x', '/b/c', '', '/new'),
    pairOf('ann', 'bob', 'new'),
    pairOf('admin', 'a', 'b', 'c', 'd'),
  )
  .map(([a = '', b = '']) => [a, b] as const);
/** The same question with another text in one place of those that have the first one. */
function changed(request: CedarRequest, [a, b]: readonly [string, string], place: number): CedarRequest {
  const places = JSON.stringify(request).split(JSON.stringify(a));
  const at = 1 + (place % Math.max(1, places.length - 1));
  const text = [places.slice(0, at).join(JSON.stringify(a)), places.slice(at).join(JSON.stringify(a))];
  return places.length < 2 ? request : (JSON.parse(text.join(JSON.stringify(b))) as CedarRequest);
}

const likely = fc
  .tuple(question, fc.array(fc.tuple(swap, fc.nat({ max: 20 })), { minLength: 6, maxLength: 6 }))
  .map(([one, changes]) => [
    one,
    ...changes.map(([pair, place], n) => (n % 2 === 0 ? swapped(one, pair) : changed(one, pair, place))),
    changes.reduce((other, [pair]) => swapped(other, pair), one),
  ]);

describe('the likeness of questions', () => {
  test('is the same only where the answer is', () => {
    let alike = 0;
    fc.assert(
      fc.property(policySet, fc.array(likely, { minLength: 3, maxLength: 3 }), (text, many) => {
        alike += expectOneAnswerEach(snapshotOf(text, SCHEMA), many.flat());
      }),
      { numRuns: 100 },
    );
    // It is worth something only where different questions have the same.
    expect(alike).toBeGreaterThan(200);
  });

  test.each(ATOMS)('is the same only where the answer is, for a policy that says %s', (condition) => {
    const snapshot = snapshotOf(
      `@id("p") permit(principal, action, resource) when { ${condition} };`,
      SCHEMA,
    );
    fc.assert(
      fc.property(likely, (many) => void expectOneAnswerEach(snapshot, many)),
      { numRuns: 40 },
    );
  });
});

/** As text; all refusals are one. */
function answerOf(snapshot: PolicySnapshot, request: CedarRequest): string {
  try {
    return JSON.stringify(snapshot.evaluate(request));
  } catch (error) {
    if (error instanceof PdpError && error.reason === 'attribute_refused') return 'refused';
    throw error;
  }
}

/** Returns how many of the questions are answered by that of another one. */
function expectOneAnswerEach(snapshot: PolicySnapshot, questions: readonly CedarRequest[]): number {
  const different = new Map(questions.map((request) => [JSON.stringify(request), request]));
  const answers = new Map<string, string>();
  for (const request of different.values()) {
    const key = JSON.stringify(snapshot.likeness(request) ?? request);
    const answer = answerOf(snapshot, request);
    expect(answers.get(key) ?? answer).toBe(answer);
    answers.set(key, answer);
  }
  return different.size - answers.size;
}

describe('what makes questions alike', () => {
  const USER = uid('User', 'alice');
  const ask = (more: Partial<CedarRequest> = {}): CedarRequest => ({
    principal: USER,
    action: uid('Action', 'view'),
    resource: uid('Doc', 'd'),
    context: {},
    entities: [{ uid: USER, attrs: {}, parents: [uid('Group', 'staff'), uid('Group', 'x')] }],
    ...more,
  });
  const likenessBy = (condition: string, scope = 'principal in Group::"staff", action, resource') => {
    const snapshot = snapshotOf(`@id("p") permit(${scope}) when { ${condition} };`, SCHEMA);
    return (request: CedarRequest) => JSON.stringify(snapshot.likeness(request));
  };
  const other = (id: string, ...parents: string[]): Partial<CedarRequest> => ({
    principal: uid('User', id),
    entities: [{ uid: uid('User', id), attrs: {}, parents: parents.map((group) => uid('Group', group)) }],
  });
  const doc = (path: CedarValue): Partial<CedarRequest> => ({
    entities: [...ask().entities, { uid: uid('Doc', 'd'), attrs: { path }, parents: [] }],
  });

  test('who asks does not matter where no policy names anybody, nor which other groups they are in', () => {
    const likeness = likenessBy('true');
    expect(likeness(ask(other('bob', 'y', 'staff', 'z')))).toBe(likeness(ask()));
    expect(likeness(ask(other('bob', 'staff')))).toBe(likeness(ask()));
  });

  test('in which order groups are told does not matter', () => {
    const likeness = likenessBy('principal in Group::"x" || principal in Group::"y"');
    const some = likeness(ask(other('bob', 'staff', 'x', 'y')));
    expect(likeness(ask(other('eve', 'y', 'z', 'x', 'staff')))).toBe(some);
    expect(likeness(ask(other('eve', 'y', 'z', 'staff')))).not.toBe(some);
  });

  test('who asks matters where a policy names them', () => {
    const likeness = likenessBy('principal != User::"bob"');
    expect(likeness(ask(other('eve', 'staff')))).toBe(likeness(ask()));
    expect(likeness(ask(other('bob', 'staff')))).not.toBe(likeness(ask()));
  });

  test('texts that are only compared are what the comparisons come to', () => {
    const likeness = likenessBy(
      'resource has path && resource.path like "/api/*" && resource.path != "/api/x"',
    );
    expect(likeness(ask(doc('/api/1')))).toBe(likeness(ask(doc('/api/2'))));
    expect(likeness(ask(doc('/api/1')))).not.toBe(likeness(ask(doc('/api/x'))));
    expect(likeness(ask(doc('/api/1')))).not.toBe(likeness(ask(doc('/other'))));
    expect(likeness(ask(doc('/api/1')))).not.toBe(likeness(ask()));
  });

  test('texts that are compared with what is not written out are as they are', () => {
    const likeness = likenessBy('resource has path && context has path && resource.path == context.path');
    expect(likeness(ask(doc('/1')))).not.toBe(likeness(ask(doc('/2'))));
  });

  test('nothing is less than the question where a policy takes the context whole', () => {
    const likeness = likenessBy('context == (if context has flag then context else context)');
    expect(likeness(ask())).toBeUndefined();
  });

  test('what Cedar would refuse has no likeness', () => {
    const likeness = likenessBy('resource has path && resource.path like "/api/*"');
    for (const path of [1, true, '\ud800', ['/api/1'], { __entity: USER }])
      expect(likeness(ask(doc(path)))).toBeUndefined();
    expect(likeness(ask({ context: { unknown: 1 } }))).toBeUndefined();
    expect(likeness(ask(other('\ud800', 'staff')))).toBeUndefined();
    const wrongParent = [{ uid: USER, attrs: {}, parents: [uid('Group', 'staff'), uid('Folder', 'f')] }];
    expect(likeness(ask({ entities: wrongParent }))).toBeUndefined();
  });

  test('what JavaScript takes for something else has no likeness, however deep it is', () => {
    const schema = `type Part = { "__proto__"?: { a?: String } };
      entity User, Doc; action view appliesTo { principal: [User], resource: [Doc], context: { x?: Set<Part>, y?: Set<Part> } };`;
    const condition = 'context has x && context has y && context.x == context.y';
    const snapshot = snapshotOf(
      `@id("p") permit(principal, action, resource) when { ${condition} };`,
      schema,
    );
    const parts = (a: string) => JSON.parse(`[{"__proto__":{"a":"${a}"}}]`) as CedarValue;
    const one = ask({ entities: [], context: { x: parts('1'), y: parts('1') } });
    const other = ask({ entities: [], context: { x: parts('2'), y: parts('1') } });
    expect(snapshot.evaluate(one)).not.toEqual(snapshot.evaluate(other));
    expect(snapshot.likeness(one)).toBeUndefined();
  });

  test('too many patterns are none', () => {
    const many = Array.from({ length: 65 }, (_, n) => `resource.path == "/${n}"`).join(' || ');
    const likeness = likenessBy(`resource has path && (${many})`);
    expect(likeness(ask(doc('/a')))).not.toBe(likeness(ask(doc('/b'))));
  });
});

describe('what a policy can tell apart', () => {
  const of = (condition: string, scope = 'principal, action, resource') => {
    const answer = new CedarChecker().policy(`permit(${scope}) when { ${condition} };`);
    if ('complaints' in answer) throw new Error(JSON.stringify(answer.complaints));
    return distinctionsOf(answer.json);
  };

  test.each([
    ['resource.path like "/a*b*"', [['path', [['/a', 'b', '']]]]],
    ['resource.path like "a\\*b"', [['path', [['a*b']]]]],
    ['resource.path like ""', [['path', [['']]]]],
    ['resource.path == "a" || "b" != resource.path', [['path', [['a'], ['b']]]]],
    ['["a", "b"].contains(resource.path)', [['path', [['a'], ['b']]]]],
    ['principal.roles.contains("a")', [['roles', [['a']]]]],
    ['principal.roles.containsAny(["a", "b"])', [['roles', [['a'], ['b']]]]],
    ['["a"].containsAll(principal.roles)', [['roles', 'any']]],
    [
      '["a", context.x].contains(resource.path)',
      [
        ['x', 'any'],
        ['path', 'any'],
      ],
    ],
    ['resource.path == context.path', [['path', 'any']]],
    [
      'resource.path like "/a" && resource.path == context.x',
      [
        ['path', 'any'],
        ['x', 'any'],
      ],
    ],
    [
      'context.a.b.path like "/a"',
      [
        ['path', [['/a']]],
        ['b', 'any'],
        ['a', 'any'],
      ],
    ],
    [
      'context has a.b.c',
      [
        ['a', 'any'],
        ['b', 'any'],
      ],
    ],
    ['context has path', []],
    [
      '{"path": 1, "has": context.x}["has"]',
      [
        ['has', 'any'],
        ['x', 'any'],
      ],
    ],
  ])('%s', (condition, uses) => {
    expect(of(condition)).toMatchObject({ uses, wholeContext: false });
  });

  test.each([
    ['context == {}', true],
    ['[context].contains(context)', true],
    ['(if true then context else context).x', true],
    ['context.x', false],
    ['context has x', false],
  ])('whether %s takes the context whole', (condition, whole) => {
    expect(of(condition).wholeContext).toBe(whole);
  });

  test('names entities wherever they stand', () => {
    const { named } = of(
      'User::"c" in [Group::"d"] && principal is User in Group::"e"',
      'principal in Group::"a", action in [Action::"x", Action::"y"], resource == Doc::"b"',
    );
    expect(new Set(named)).toEqual(
      new Set([
        'Group::"a"',
        'Action::"x"',
        'Action::"y"',
        'Doc::"b"',
        'User::"c"',
        'Group::"d"',
        'Group::"e"',
      ]),
    );
    expect(distinctionsOf({}, [uid('User', 'linked')]).named).toEqual(['User::"linked"']);
  });

  test('policies together tell apart what any of them does', () => {
    const joined = joinDistinctions([
      of('resource.path like "/a*" && context.x == "1"', 'principal == User::"a", action, resource'),
      of('resource.path == "b" && context.x == context.y', 'principal == User::"b", action, resource'),
    ]);
    expect(joined).toEqual({
      named: new Set(['User::"a"', 'User::"b"']),
      uses: new Map<string, unknown>([
        ['path', [['/a', ''], ['b']]],
        ['x', 'any'],
        ['y', 'any'],
      ]),
    });
    expect(joinDistinctions([of('true'), of('context == {}')])).toBeUndefined();
  });
});

describe('a text pattern', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀'), maxLength: 6 });
  const pattern = fc.array(letters, { minLength: 1, maxLength: 4 });
  const likePath = (each: readonly string[]) =>
    `resource has path && resource.path like ${JSON.stringify(each.join('*'))}`;
  test('matches what Cedar says it does', () => {
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 20, maxLength: 20 }), letters, letters, (patterns, a, b) => {
        const snapshot = snapshotOf(
          patterns
            .map((each) => `permit(principal, action, resource) when { ${likePath(each)} };`)
            .map((policy, index) => `@id("${index}") ${policy}`)
            .join('\n'),
          SCHEMA,
        );
        // Many of the texts are made from the patterns, so that many match.
        const made = patterns.flatMap((each) => [each.join(a), each.join(''), `${each.join(b)}${a}`]);
        for (const path of [a, `${a}${b}`, ...made]) {
          const { policies } = snapshot.evaluate({
            principal: uid('User', 'u'),
            action: uid('Action', 'view'),
            resource: uid('Doc', 'd'),
            context: {},
            entities: [{ uid: uid('Doc', 'd'), attrs: { path }, parents: [] }],
          });
          const alike = patterns.flatMap((each, index) => (isLike(path, each) ? [String(index)] : []));
          expect(policies.toSorted()).toEqual(alike.toSorted());
        }
      }),
      { numRuns: 15 },
    );
  });
});
