// src/pdp/view: what the engine is not told must not matter, and must still be refused where the schema refuses it.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { analysePolicies } from '../../../../src/pdp/analyse-policies.ts';
import { CedarEngine } from '../../../../src/pdp/cedar.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import type { CedarEntity, CedarRequest, CedarValue } from '../../../../src/pdp/evaluation.ts';
import { viewsOf } from '../../../../src/pdp/view/action-views.ts';
import { policyTexts, snapshotOf } from '../../../support/snapshot.ts';

const SCHEMA = `
  type Part = { read?: Long, quiet: Long };
  entity Group in [Group] = { size: Long };
  entity Colour enum ["red", "green"];
  entity User in [Group] = { name: String, level?: Long, part?: Part, colour?: Colour, home: ipaddr, boss?: User, groups: Set<Group> };
  entity Doc in [Folder] = { title: String, level?: Long };
  entity Folder;
  entity Elsewhere = { a: Long };
  action all;
  action read in [all];
  action view in [read] appliesTo {
    principal: [User],
    resource: [Doc],
    context: { flag: Bool, text: String, part?: Part, friend?: User, colour: Colour, far?: Elsewhere, at: ipaddr, many: Set<String>, n: Long },
  };
  action edit appliesTo { principal: [User], resource: [Doc], context: { flag: Bool } };`;

const POLICIES = `
  @id("a") permit(principal in Group::"g", action == Action::"view", resource) when { context.flag };
  @id("b") forbid(principal, action in Action::"all", resource) when { principal has level && principal.level > 2 };
  @id("c") permit(principal, action, resource in Folder::"f") when { principal has part && principal.part has read && principal.part.read == 1 };
  @id("d") forbid(principal, action, resource) when { context has part && context.part has read && context.part.read == 2 };
  @id("e") permit(principal, action, resource) when { context has friend && context.friend == principal };
  @id("f") permit(principal, action == Action::"edit", resource) when { Action::"view" in Action::"all" };
  @id("g") forbid(principal, action, resource) when { resource has level && resource.level * 9007199254740991 > 3 };`;

const TYPED: CedarRequest = {
  principal: { type: 'User', id: 'u' },
  action: { type: 'Action', id: 'view' },
  resource: { type: 'Doc', id: 'd' },
  context: {
    flag: true,
    text: 'quiet',
    part: { read: 1, quiet: 1 },
    friend: { __entity: { type: 'User', id: 'v' } },
    colour: { __entity: { type: 'Colour', id: 'red' } },
    far: { type: 'Elsewhere', id: 'x' },
    at: '10.0.0.1',
    many: ['a', 'b'],
    n: 1,
  },
  entities: [
    {
      uid: { type: 'User', id: 'u' },
      attrs: {
        name: 'U',
        level: 1,
        part: { read: 1, quiet: 1 },
        colour: { __entity: { type: 'Colour', id: 'green' } },
        home: '10.0.0.0/8',
        boss: { __entity: { type: 'User', id: 'v' } },
        groups: [{ __entity: { type: 'Group', id: 'g' } }],
      },
      parents: [{ type: 'Group', id: 'g' }],
    },
    { uid: { type: 'User', id: 'v' }, attrs: { name: 'V', home: '::1', groups: [] }, parents: [] },
    { uid: { type: 'Group', id: 'g' }, attrs: { size: 3 }, parents: [] },
    {
      uid: { type: 'Doc', id: 'd' },
      attrs: { title: 'D', level: 1 },
      parents: [{ type: 'Folder', id: 'f' }],
    },
  ],
};

/** What an evaluation comes to, without the words that Cedar chooses at random or that tell places in its input. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof PdpError)
      return [error.reason, error.message.replace(/ column \d+$/, '').replace(/`[^`]*`/g, '``')];
    throw error;
  }
}

const VIEWS = viewsOf(analysePolicies(policyTexts(POLICIES, SCHEMA)));

function viewOf(policies: string, action: string, schema = SCHEMA, entities?: readonly object[]) {
  if (policies === POLICIES) return VIEWS.of(action);
  return viewsOf(analysePolicies(policyTexts(policies, schema, entities))).of(action);
}

/** What somebody might put where something else belongs. */
const ODD: readonly unknown[] = [
  null,
  undefined,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  -(2 ** 63),
  Number.NaN,
  '',
  'text',
  '\ud800',
  '10.0.0.1',
  '10.0.0.1/99',
  [],
  ['a'],
  [1],
  ['\udc00'],
  {},
  { read: 1 },
  { quiet: 1 },
  { quiet: 'x' },
  { quiet: 1, more: 1 },
  { type: 'User', id: 'u' },
  { type: 'Elsewhere', id: '\ud800' },
  { type: 'User', id: 'u', more: 1 },
  { __entity: { type: 'User', id: 'u' } },
  { __entity: { type: 'User', id: 'u' }, more: 1 },
  { __entity: { __entity: { type: 'User', id: 'u' } } },
  { __entity: { type: 'Colour', id: 'blue' } },
  { __entity: { type: 'Colour', id: 'red' } },
  { __entity: { type: 'Elsewhere', id: 'x' } },
  { __entity: { type: 'Nowhere', id: 'x' } },
  { __extn: { fn: 'ip', arg: '10.0.0.1' } },
  { __extn: { fn: 'unknown', arg: 'x' } },
  { __expr: 'principal' },
];

/** Every place of a value in a question. */
function places(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([name, part]) =>
    places(part, [...path, Array.isArray(value) ? Number(name) : name]),
  );
  return path.length === 0 ? inner : [path, ...inner];
}

type Tree = { [name: string | number]: Tree };

function changed(path: readonly (string | number)[], change: (holder: Tree, name: string | number) => void) {
  const copy = structuredClone(TYPED) as object as Tree;
  let holder = copy;
  for (const step of path.slice(0, -1)) holder = holder[step] ?? {};
  change(holder, path.at(-1) ?? '');
  return copy as object as CedarRequest;
}

describe('what the engine is told of a question', () => {
  const snapshot = snapshotOf(POLICIES, SCHEMA);
  const policies = Object.fromEntries(snapshot.policyIds.map((id) => [id, snapshot.policy(id).text]));
  const engine = CedarEngine.load({ schema: SCHEMA, policies });
  /** Also a question that is not about the action of the view. */
  const same = (request: CedarRequest, action = 'Action::"view"') => {
    const told = outcome(() => engine.evaluate(request, undefined, viewOf(POLICIES, action)));
    expect(told).toEqual(outcome(() => engine.evaluate(request)));
  };

  test('is only what policies read, and the question as it is answered', () => {
    const told = viewOf(POLICIES, 'Action::"view"', SCHEMA)?.narrowed(TYPED);
    expect(told).toEqual({
      principal: TYPED.principal,
      action: TYPED.action,
      resource: TYPED.resource,
      context: { flag: true, part: { read: 1 }, friend: { type: 'User', id: 'v' } },
      entities: [
        {
          uid: { type: 'User', id: 'u' },
          attrs: { level: 1, part: { read: 1 } },
          parents: [{ type: 'Group', id: 'g' }],
        },
        { uid: { type: 'Doc', id: 'd' }, attrs: { level: 1 }, parents: [{ type: 'Folder', id: 'f' }] },
      ],
    });
    same(TYPED);
    expect(snapshot.evaluate(TYPED)).toEqual(engine.evaluate(TYPED));
  });

  test('is without entities of types that nothing read leads to', () => {
    const far: CedarEntity = { uid: { type: 'Elsewhere', id: 'x' }, attrs: { a: 1 }, parents: [] };
    const view = viewOf(POLICIES, 'Action::"view"');
    const told = view?.narrowed({ ...TYPED, entities: [far, ...TYPED.entities] });
    expect(told).toEqual(view?.narrowed(TYPED));
    const wrong = { ...far, attrs: { a: 'b' } };
    expect(view?.narrowed({ ...TYPED, entities: [wrong, ...TYPED.entities] })).toBeUndefined();
  });

  test('is refused with the same words wherever any value is replaced by another, or left out', () => {
    for (const path of places(TYPED)) {
      for (const odd of ODD)
        same(changed(path, (holder, name) => (holder[name] = structuredClone(odd) as Tree)));
      same(
        changed(
          path,
          (holder, name) =>
            void (Array.isArray(holder) ? holder.splice(Number(name), 1) : delete holder[name]),
        ),
      );
    }
  });

  test('is refused with the same words wherever something is added', () => {
    const records = places(TYPED).flatMap((path) => path.map((_step, length) => path.slice(0, length)));
    for (const path of records) {
      for (const name of [
        'more',
        'tags',
        '__proto__',
        'toString',
        '__entity',
        '__extn',
        'read',
        'level',
        'name',
      ]) {
        same(
          changed([...path, name], (holder) =>
            Object.defineProperty(holder, name, { value: { a: 1 }, enumerable: true, configurable: true }),
          ),
        );
      }
    }
  });

  const more: readonly (readonly [string, readonly CedarEntity[]])[] = [
    ['twice in the same words', [TYPED.entities[2] as CedarEntity]],
    ['twice in other words', [{ uid: { type: 'Group', id: 'g' }, attrs: { size: 4 }, parents: [] }]],
    [
      'of a type that nothing read leads to',
      [{ uid: { type: 'Elsewhere', id: 'x' }, attrs: { a: 1 }, parents: [] }],
    ],
    ['of such a type, and wrong', [{ uid: { type: 'Elsewhere', id: 'x' }, attrs: { a: 'b' }, parents: [] }]],
    ['of a type that is not declared', [{ uid: { type: 'Nowhere', id: 'x' }, attrs: {}, parents: [] }]],
    [
      'that is no member of its enumeration',
      [{ uid: { type: 'Colour', id: 'blue' }, attrs: {}, parents: [] }],
    ],
    ['that is an action', [{ uid: { type: 'Action', id: 'view' }, attrs: {}, parents: [] }]],
    [
      'with a parent of a wrong type',
      [{ uid: { type: 'Group', id: 'h' }, attrs: { size: 1 }, parents: [{ type: 'User', id: 'u' }] }],
    ],
    [
      'that is its own ancestor',
      [
        { uid: { type: 'Group', id: 'h' }, attrs: { size: 1 }, parents: [{ type: 'Group', id: 'i' }] },
        { uid: { type: 'Group', id: 'i' }, attrs: { size: 1 }, parents: [{ type: 'Group', id: 'h' }] },
      ],
    ],
    [
      'whose id is half a character',
      [{ uid: { type: 'Group', id: '\ud800' }, attrs: { size: 1 }, parents: [] }],
    ],
  ];
  test.each(more)('comes to the same with an entity %s', (_title, entities) => {
    same({ ...TYPED, entities: [...TYPED.entities, ...entities] });
    same({ ...TYPED, entities: [...entities, ...TYPED.entities] });
  });

  test('comes to the same for another action, another principal and another resource', () => {
    const edit = { ...TYPED, action: { type: 'Action', id: 'edit' }, context: { flag: true } };
    same(edit);
    same(edit, 'Action::"edit"');
    // Which asks about a group that another action is in.
    const { level: _level, ...doc } = TYPED.entities[3]?.attrs ?? {};
    const permitted = { ...edit, entities: [{ uid: TYPED.resource, attrs: doc, parents: [] }] };
    expect(snapshot.evaluate(permitted)).toEqual({ verdict: 'permit', policies: ['f'], errors: [] });
    same({ ...TYPED, action: { type: 'Action', id: 'read' } });
    same({ ...TYPED, action: { type: 'Action', id: 'no' } });
    same({ ...TYPED, principal: { type: 'Group', id: 'g' } });
    same({ ...TYPED, resource: { type: 'Folder', id: 'f' } });
  });

  test('comes to the same for any values of the declared types', () => {
    const long = fc.constantFrom(0, 1, 2, 3, 4, Number.MAX_SAFE_INTEGER);
    const part = fc.record({ read: long, quiet: long }, { requiredKeys: ['quiet'] });
    const user = fc.record(
      { level: long, part, name: fc.string(), home: fc.constant('10.0.0.1'), groups: fc.constant([]) },
      { requiredKeys: ['name', 'home', 'groups'] },
    );
    const question = fc.record({
      flag: fc.boolean(),
      part: fc.option(part),
      user,
      level: fc.option(long),
      in: fc.boolean(),
    });
    fc.assert(
      fc.property(question, ({ flag, part: known, user: attrs, level, in: isIn }) => {
        const { part: _part, ...rest } = TYPED.context;
        const context: { [name: string]: CedarValue } = { ...rest, flag, ...(known && { part: known }) };
        const parents = isIn ? [{ type: 'Group', id: 'g' }] : [];
        const [, other, group] = TYPED.entities as [CedarEntity, CedarEntity, CedarEntity];
        const title = { title: 'D', ...(level !== null && { level }) };
        const doc = { uid: TYPED.resource, attrs: title, parents: isIn ? [{ type: 'Folder', id: 'f' }] : [] };
        same({ ...TYPED, context, entities: [{ uid: TYPED.principal, attrs, parents }, other, group, doc] });
      }),
      { numRuns: 500 },
    );
  });
});

describe('the views of a set', () => {
  test('are there for actions that apply to something, and for no others', () => {
    expect(viewOf(POLICIES, 'Action::"view"')).toBeDefined();
    expect(viewOf(POLICIES, 'Action::"read"')).toBeUndefined();
    expect(viewOf(POLICIES, 'Action::"no"')).toBeUndefined();
  });

  test.each(['__entity', '__extn', '__expr', '__proto__'])(
    'are not made where an attribute is called %s, which has a meaning of its own',
    (name) => {
      const schema = SCHEMA.replace('title: String', `title: String, "${name}"?: String`);
      expect(
        viewOf('@id("p") permit(principal, action, resource);', 'Action::"view"', schema),
      ).toBeUndefined();
      expect(
        viewOf('@id("p") permit(principal, action, resource);', 'Action::"edit"', schema),
      ).toBeUndefined();
    },
  );

  test('leave a question whole that holds a static entity with tags', () => {
    const schema = SCHEMA.replace('{ size: Long }', '{ size: Long } tags String');
    const entities = [{ uid: { type: 'Group', id: 'g' }, attrs: { size: 1 }, parents: [], tags: { k: 'v' } }];
    const policies =
      '@id("p") permit(principal, action, resource) when { Group::"g".hasTag("k") && Group::"g".getTag("k") == "v" };';
    const snapshot = snapshotOf(policies, schema, entities);
    const request = {
      ...TYPED,
      entities: [...TYPED.entities.filter(({ uid }) => uid.type !== 'Group'), ...entities],
    };
    expect(viewOf(policies, 'Action::"view"', schema, entities)?.narrowed(request)).toBeUndefined();
    expect(snapshot.evaluate(request)).toEqual({ verdict: 'permit', policies: ['p'], errors: [] });
  });
});
