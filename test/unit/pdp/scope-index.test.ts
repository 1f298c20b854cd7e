import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CedarEngine } from '../../../src/pdp/cedar.ts';
import { compileSnapshot } from '../../../src/pdp/compile-snapshot.ts';
import type { CedarEntity, CedarRequest, EntityUid } from '../../../src/pdp/evaluation.ts';
import { policyTexts, snapshotOf } from '../../support/snapshot.ts';

const SCHEMA = `
  entity Team in [Team];
  entity Bot;
  entity Person in [Team] = { level: Long };
  entity Folder in [Folder];
  entity File in [Folder] = { size: Long };
  action read, write;
  action open, list in [read] appliesTo { principal: [Person, Bot], resource: [File, Folder], context: { n: Long } };
  action save in [write, read] appliesTo { principal: [Person, Bot], resource: [File, Folder], context: { n: Long } };
`;

const id = fc.constantFrom('a', 'b', 'c');
const uid = (type: string) => id.map((text) => `${type}::"${text}"`);
const principalScope = fc.oneof(
  fc.constant('principal'),
  uid('Person').map((entity) => `principal == ${entity}`),
  uid('Team').map((entity) => `principal in ${entity}`),
  fc.constant('principal is Person'),
  fc.constant('principal is Bot'),
  uid('Team').map((entity) => `principal is Person in ${entity}`),
);
const action = fc.constantFrom('read', 'write', 'open', 'list', 'save').map((name) => `Action::"${name}"`);
const actionScope = fc.oneof(
  fc.constant('action'),
  action.map((entity) => `action == ${entity}`),
  action.map((entity) => `action in ${entity}`),
  fc.array(action, { minLength: 1, maxLength: 3 }).map((entities) => `action in [${entities.join(', ')}]`),
);
const resourceScope = fc.oneof(
  fc.constant('resource'),
  uid('File').map((entity) => `resource == ${entity}`),
  uid('Folder').map((entity) => `resource in ${entity}`),
  fc.constant('resource is Folder'),
  uid('Folder').map((entity) => `resource is File in ${entity}`),
);
// The last one overflows for large n: an error that slices must keep.
const condition = fc.constantFrom('true', 'context.n > 0', 'context.n * 9007199254740991 > 0');
const policy = fc
  .tuple(fc.constantFrom('permit', 'forbid'), principalScope, actionScope, resourceScope, condition)
  .map(
    ([effect, principal, act, resource, when]) =>
      `${effect}(${principal}, ${act}, ${resource}) when { ${when} };`,
  );

const someUid = (...types: string[]) => fc.record({ type: fc.constantFrom(...types), id });
const request: fc.Arbitrary<CedarRequest> = fc
  .record({
    principal: someUid('Person', 'Bot'),
    action: fc.record({ type: fc.constant('Action'), id: fc.constantFrom('open', 'list', 'save') }),
    resource: someUid('File', 'Folder'),
    context: fc.record({ n: fc.constantFrom(-1, 1, 9_007_199_254_740_991) }),
    // Chains only lead from a to c, so that they cannot close.
    teams: fc.subarray(['a>b', 'b>c', 'a>c']),
    folders: fc.subarray(['a>b', 'b>c', 'a>c']),
    inTeam: fc.option(id, { nil: undefined }),
    inFolder: fc.option(id, { nil: undefined }),
  })
  .map(({ teams, folders, inTeam, inFolder, ...question }) => ({
    ...question,
    entities: [
      ...chain('Team', teams),
      ...chain('Folder', folders).filter(
        ({ uid: own }) => own.id !== question.resource.id || question.resource.type !== 'Folder',
      ),
      party(question.principal, inTeam === undefined ? [] : [{ type: 'Team', id: inTeam }]),
      ...(question.resource.type === 'File'
        ? [party(question.resource, inFolder === undefined ? [] : [{ type: 'Folder', id: inFolder }])]
        : chain('Folder', folders).filter(({ uid: own }) => own.id === question.resource.id)),
    ],
  }));

function chain(type: string, links: readonly string[]): CedarEntity[] {
  return ['a', 'b', 'c'].map((from) => ({
    uid: { type, id: from },
    attrs: {},
    parents: links.filter((link) => link.startsWith(from)).map((link) => ({ type, id: link.slice(2) })),
  }));
}

function party(own: EntityUid, parents: readonly EntityUid[]): CedarEntity {
  const attrs = own.type === 'Person' ? { level: 1 } : own.type === 'File' ? { size: 1 } : {};
  return { uid: own, attrs, parents: own.type === 'Bot' ? [] : parents };
}

function numbered(policies: readonly string[]): Record<string, string> {
  return Object.fromEntries(policies.map((text, index) => [`p${index}`, `@id("p${index}") ${text}`]));
}

describe('the scope index', () => {
  it('answers exactly as the whole set does: decision, determining policies and errors', () => {
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 25 }),
        fc.array(request, { minLength: 1, maxLength: 8 }),
        (policies, requests) => {
          const set = numbered(policies);
          const whole = CedarEngine.load({ schema: SCHEMA, policies: set });
          let sliced;
          try {
            sliced = compileSnapshot(policyTexts(Object.values(set).join('\n'), SCHEMA), 0).snapshot;
          } catch {
            // A forbid that can never apply is refused: not what this is about.
            return;
          }
          for (const question of requests)
            expect(sliced.evaluate(question)).toEqual(whole.evaluate(question));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('finds a handful of ten thousand policies, and answers as the whole set would', () => {
    const people = Array.from(
      { length: 10_000 },
      (_, n) =>
        `permit(principal == Person::"u${n}", action == Action::"open", resource in Folder::"f${n % 100}");`,
    );
    const rules = [
      'forbid(principal is Bot, action in Action::"write", resource);',
      'permit(principal, action in Action::"read", resource in Folder::"public");',
    ];
    const snapshot = compileSnapshot(
      policyTexts(Object.values(numbered([...people, ...rules])).join('\n'), SCHEMA),
      0,
    ).snapshot;
    const ask = (principal: EntityUid, act: string, folder: string): CedarRequest => ({
      principal,
      action: { type: 'Action', id: act },
      resource: { type: 'File', id: 'x' },
      context: { n: 1 },
      entities: [
        party(principal, []),
        { uid: { type: 'File', id: 'x' }, attrs: { size: 1 }, parents: [{ type: 'Folder', id: folder }] },
        { uid: { type: 'Folder', id: folder }, attrs: {}, parents: [] },
      ],
    });
    const mine = ask({ type: 'Person', id: 'u4242' }, 'open', 'f42');
    expect(snapshot.candidates(mine)).toEqual(['p4242']);
    expect(snapshot.evaluate(mine)).toEqual({ verdict: 'permit', policies: ['p4242'], errors: [] });
    expect(snapshot.evaluate(ask({ type: 'Person', id: 'u4242' }, 'open', 'f43')).verdict).toBe('deny');
    expect(snapshot.evaluate(ask({ type: 'Bot', id: 'b' }, 'save', 'public')).policies).toEqual(['p10000']);
    expect(snapshot.evaluate(ask({ type: 'Bot', id: 'b' }, 'list', 'public')).policies).toEqual(['p10001']);
  });

  it('keeps answering right when more slices are in use than the engine holds', () => {
    const people = Array.from(
      { length: 700 },
      (_, n) => `permit(principal == Person::"u${n}", action, resource);`,
    );
    const snapshot = snapshotOf(Object.values(numbered(people)).join('\n'), SCHEMA);
    for (const n of [...people.keys(), 0, 1, 699, 5]) {
      const principal = { type: 'Person', id: `u${n}` };
      const question = {
        principal,
        action: { type: 'Action', id: 'open' },
        resource: { type: 'File', id: 'x' },
        context: { n: 1 },
        entities: [party(principal, [])],
      };
      expect(snapshot.evaluate(question).policies).toEqual([`p${n}`]);
    }
  });
});

describe('templates', () => {
  const template =
    '@id("reader") @description("May open what is in the folder") permit(principal == ?principal, action == Action::"open", resource in ?resource);';
  const forbid = '@id("never") @reason("not for bots") forbid(principal is Bot, action, resource);';
  const links = [
    {
      template: 'reader',
      id: 'reader.ann',
      principal: { type: 'Person', id: 'ann' },
      resource: { type: 'Folder', id: 'f' },
    },
  ];
  const texts = (linkList: readonly object[], policies = template) => ({
    ...policyTexts(`${policies}\n${forbid}`, SCHEMA),
    links: [{ file: 'links.json', text: JSON.stringify(linkList) }],
  });
  const ask = (who: string): CedarRequest => ({
    principal: { type: 'Person', id: who },
    action: { type: 'Action', id: 'open' },
    resource: { type: 'File', id: 'x' },
    context: { n: 1 },
    entities: [
      party({ type: 'Person', id: who }, []),
      { uid: { type: 'File', id: 'x' }, attrs: { size: 1 }, parents: [{ type: 'Folder', id: 'f' }] },
    ],
  });

  it('become policies by their links, under the ids of the links', () => {
    const { snapshot } = compileSnapshot(texts(links), 0);
    expect(snapshot.policyIds).toEqual(['never', 'reader.ann']);
    expect(snapshot.evaluate(ask('ann'))).toMatchObject({ verdict: 'permit', policies: ['reader.ann'] });
    expect(snapshot.evaluate(ask('bob'))).toMatchObject({ verdict: 'deny', policies: [] });
    expect(snapshot.candidates(ask('bob'))).toEqual([]);
    expect(snapshot.policy('reader.ann')).toMatchObject({ file: 'test.cedar', line: 1, text: template });
  });

  it('are part of the digest, and so are their links', () => {
    const digest = (list: readonly object[]) => compileSnapshot(texts(list), 0).snapshot.digest;
    const other = [{ ...links[0], principal: { type: 'Person', id: 'eve' } }];
    expect(digest(links)).not.toBe(digest(other));
    expect(digest(links)).toBe(digest(links));
  });

  it.each([
    ['a template that is not there', [{ ...links[0], template: 'writer' }], /no template 'writer'/],
    ['an id that is taken', [{ ...links[0], id: 'never' }], /'never' is taken already/],
    ['two links of one id', [links[0], links[0]], /'reader.ann' is taken already/],
    [
      'a slot without a value',
      [{ template: 'reader', id: 'x', principal: { type: 'Person', id: 'a' } }],
      /\?resource/,
    ],
    ['an unknown key', [{ ...links[0], subject: 1 }], /subject/],
  ])('are refused with %s', (_what, list, message) => {
    expect(() => compileSnapshot(texts(list as object[]), 0)).toThrow(message);
  });
});
