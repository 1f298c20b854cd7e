// src/pdp/explain/{words,state-words,sight,request-values,provenance}.ts: how single conditions are told.
import { describe, expect, test } from 'vitest';
import type { AttributeFact } from '../../../../src/pdp/attribute.ts';
import type { CedarRequest, CedarValue } from '../../../../src/pdp/evaluation.ts';
import { explain } from '../../../../src/pdp/explain/explain.ts';
import type { Identities } from '../../../../src/pdp/identity.ts';
import { ageText } from '../../../../src/pdp/explain/provenance.ts';
import { CHECKER, NOW, explainable } from './fixture.ts';

const SCHEMA = `
  entity Group in [Group];
  entity User in [Group] = { level?: Long, admin?: Bool, boss?: User, names?: Set<String> } tags Bool;
  entity Robot;
  entity Doc = { owner?: User, path?: String, groups?: Set<Group> };
  action view appliesTo {
    principal: [User, Robot],
    resource: [Doc],
    context: { n?: Long, flag?: Bool, ip?: ipaddr, score?: decimal, now?: datetime, text?: String, "odd name"?: Bool, list?: Set<String>, device?: ZeroTrust::Device,
      ip_facts?: { threats?: Set<String>, country?: String } },
  };
  namespace ZeroTrust { entity Device = { risk?: String, compliant?: Bool }; }`;

const REQUEST: CedarRequest = {
  principal: { type: 'User', id: 'ann' },
  action: { type: 'Action', id: 'view' },
  resource: { type: 'Doc', id: 'd' },
  context: {
    n: 3,
    flag: false,
    ip: '192.168.0.1',
    score: '0.5',
    now: '2026-06-01',
    text: 'evil\u202e\u001b[31m',
    'odd name': false,
    list: [],
    device: { __entity: { type: 'ZeroTrust::Device', id: 'laptop' } },
  },
  entities: [
    {
      uid: { type: 'User', id: 'ann' },
      attrs: { level: 2, boss: { type: 'User', id: 'bob' }, names: ['x', 'y'] },
      parents: [{ type: 'Group', id: 'staff' }],
      tags: { vip: false },
    },
    { uid: { type: 'User', id: 'bob' }, attrs: { level: 7, admin: false }, parents: [] },
    {
      uid: { type: 'Doc', id: 'd' },
      attrs: {
        owner: { __entity: { type: 'User', id: 'bob' } },
        path: '/a/b',
        groups: [{ __entity: { type: 'Group', id: 'z' } }],
      },
      parents: [],
    },
    {
      uid: { type: 'ZeroTrust::Device', id: 'laptop' },
      attrs: { risk: 'high', compliant: false },
      parents: [],
    },
  ],
};

const NOTHING = { verdict: 'deny', policies: [], errors: [] } as const;

function words(
  condition: string,
  check: { facts?: readonly AttributeFact[]; identities?: Identities; cedar?: CedarRequest } = {},
): string[] {
  const policies = explainable(`@id("p") permit (principal, action, resource) when { ${condition} };`);
  const { nearMisses, overridden } = explain(
    { cedar: REQUEST, facts: [], ...check },
    policies,
    SCHEMA,
    NOTHING,
    NOW,
    CHECKER,
  );
  const conditions = [...nearMisses, ...overridden].flatMap((policy) => policy.conditions);
  const telling = conditions.filter(({ outcome }) => outcome === 'fails' || outcome === 'error');
  return (telling.length > 0 ? telling : conditions).map((one) => one.words);
}

describe('the words for a condition', () => {
  test.each([
    // Values.
    ['context.flag', 'context.flag is false'],
    ['!context.flag', 'context.flag is false'],
    ['context["odd name"]', 'context["odd name"] is false'],
    ['principal.boss.admin', 'principal.boss.admin is false'],
    ['principal.getTag("vip")', 'principal.getTag("vip") is false'],
    ['false', 'the policy says false'],
    // has.
    ['principal has admin', 'principal has no admin'],
    ['principal.boss has boss', 'principal.boss has no boss'],
    ['principal has boss.boss.level', 'principal.boss has no boss'],
    ['!(principal has boss.level)', 'principal has boss.level'],
    ['principal.hasTag("vip")', 'principal has the tag "vip"'],
    ['principal.hasTag("gone")', 'principal has no tag "gone"'],
    // Equality.
    ['resource.path == "/x"', 'resource.path is "/a/b", not "/x"'],
    ['"/x" == resource.path', 'resource.path is "/a/b", not "/x"'],
    ['principal == User::"eve"', 'principal is User::"ann", not User::"eve"'],
    ['principal != User::"ann"', 'principal is User::"ann"'],
    ['principal == resource.owner', 'principal is User::"ann", but resource.owner is User::"bob"'],
    ['principal.boss != resource.owner', 'principal.boss and resource.owner are both User::"bob"'],
    ['context.text == "good"', 'context.text is "evil\\u{202e}\\u{1b}[31m", not "good"'],
    ['principal.names == ["x"]', 'principal.names is ["x", "y"], not ["x"]'],
    // Order.
    ['context.n > 5', 'context.n is 3, which is not more than 5'],
    ['context.n < 5', 'context.n is 3, which is less than 5'],
    ['5 <= context.n', 'context.n is 3, which is not at least 5'],
    [
      'principal.level >= principal.boss.level',
      'principal.level is 2, which is not at least principal.boss.level (7)',
    ],
    [
      'context.now < datetime("2026-01-01")',
      'context.now is "2026-06-01", which is not less than datetime("2026-01-01")',
    ],
    [
      'context.score.greaterThan(decimal("0.9"))',
      'context.score is "0.5", which is not more than decimal("0.9")',
    ],
    // Membership.
    ['principal in Group::"Finance"', 'principal is not in Group::"Finance"'],
    ['principal in [Group::"a", Group::"b"]', 'principal is in none of Group::"a", Group::"b"'],
    ['!(principal in [Group::"a", Group::"staff"])', 'principal is in one of Group::"a", Group::"staff"'],
    ['principal.boss in Group::"a"', 'principal.boss is User::"bob", which is not in Group::"a"'],
    ['principal in resource.groups', 'principal is not in resource.groups, [Group::"z"]'],
    ['principal is Robot', 'principal is a User, not a Robot'],
    ['principal is User in Group::"a"', 'principal is not in Group::"a"'],
    // Sets, texts, addresses.
    ['principal.names.contains("z")', 'principal.names is ["x", "y"], which does not contain "z"'],
    ['["/x", "/y"].contains(resource.path)', 'resource.path is "/a/b", which is not one of ["/x", "/y"]'],
    [
      'principal.names.containsAll(["x", "z"])',
      'principal.names is ["x", "y"], which does not contain all of ["x", "z"]',
    ],
    ['principal.names.containsAny(["z"])', 'principal.names is ["x", "y"], which contains none of ["z"]'],
    ['!context.list.isEmpty()', 'context.list is [], which is empty'],
    ['resource.path like "/x/*"', 'resource.path is "/a/b", which does not match "/x/*"'],
    [
      'context.ip.isInRange(ip("10.0.0.0/8"))',
      'context.ip is "192.168.0.1", which is not in ip("10.0.0.0/8")',
    ],
    ['context.ip.isIpv6()', 'context.ip is "192.168.0.1", which is not an IPv6 address'],
    // Alternatives.
    [
      'context.flag || principal in Group::"a" || resource.path == "/x"',
      'any one of these would have to differ: context.flag is false; principal is not in Group::"a"; resource.path is "/a/b", not "/x"',
    ],
    [
      '!(context.n == 3 && principal.level == 2)',
      'any one of these would have to differ: context.n is 3; principal.level is 2',
    ],
    [
      'context.flag || (context.n == 4 && principal.level == 1)',
      'any one of these would have to differ: context.flag is false; context.n is 3, not 4 and principal.level is 2, not 1',
    ],
    [
      '!(!context.flag && context.n == 3) || principal has admin',
      'any one of these would have to differ: context.flag is false; context.n is 3; principal has no admin',
    ],
    ['if context.n == 3 then resource.path == "/x" else true', 'resource.path is "/a/b", not "/x"'],
    // Errors.
    ['principal.admin', 'principal has no admin, which principal.admin needs'],
    [
      'principal.boss.boss.level > 3',
      'principal.boss has no boss, which principal.boss.boss.level > 3 needs',
    ],
    ['principal.getTag("gone")', 'principal has no tag "gone", which principal.getTag("gone") needs'],
    [
      'context.flag || principal.admin',
      'any one of these would have to differ: context.flag is false; principal has no admin, which principal.admin needs',
    ],
    ['if principal.admin then true else true', 'principal has no admin, which principal.admin needs'],
    // What there are no words for.
    ['context.n + 1 == 5', 'context.n + 1 == 5 is false, where context.n is 3'],
    [
      '(if context.flag then 1 else 2) == 1',
      '(if context.flag then 1 else 2) == 1 is false, where context.flag is false',
    ],
    ['1 == 2', '1 == 2 is false'],
    ['context == {n: 1}', 'context == {n: 1} is false'],
    ['context.n.isIpv4()', 'context.n.isIpv4() cannot be evaluated: type error: expected ipaddr, got long'],
  ])('%s', (condition, expected) => {
    expect(words(condition)).toEqual([expected]);
  });

  test('leave out what an earlier condition already explains', () => {
    expect(words('principal has admin && principal.admin && resource.path == "/x"')).toEqual([
      'principal has no admin',
      'resource.path is "/a/b", not "/x"',
    ]);
  });

  test('do not repeat a long value in full', () => {
    const context = { ...REQUEST.context, text: 'x'.repeat(1000) };
    expect(words('context.text == "y"', { cedar: { ...REQUEST, context } })[0]?.length).toBeLessThan(300);
  });

  test('say nothing that the engine contradicts: equal texts that are not equal are told by the condition itself', () => {
    // With a schema, a string in the context may be an address.
    expect(words('context.ip == "192.168.0.1"')).toEqual([
      'context.ip == "192.168.0.1" is false, where context.ip is "192.168.0.1"',
    ]);
  });
});

describe('the provenance of a value', () => {
  const fact = (
    source: string,
    ageMs: number,
    attributes: AttributeFact['attributes'],
    change: Partial<AttributeFact> = {},
  ): AttributeFact => ({
    source,
    subject: 'device',
    subjectId: 'laptop',
    gives: Object.keys(attributes),
    status: 'found',
    attributes,
    groups: [],
    observedAt: NOW - ageMs,
    freshUntil: NOW,
    ...change,
  });
  const identities = (posture: { readonly [name: string]: CedarValue }): Identities => ({
    tokenState: 'absent',
    device: {
      id: 'laptop',
      evidence: 'assertion',
      posture: posture as AttributeFact['attributes'],
      observedAt: NOW - 500,
    },
  });

  test('is the source that observed it last', () => {
    const facts = [
      fact('os', 1, { patched: true }),
      fact('jamf', 4999, { compliant: false }),
      fact('late', 1, { compliant: false }),
    ];
    expect(words('context.device.compliant', { facts })).toEqual([
      'context.device.compliant is false (source: late, 1 ms old)',
    ]);
  });

  test('says that it is past its freshness', () => {
    const facts = [fact('jamf', 4000, { compliant: false }, { stale: true })];
    expect(words('context.device.compliant', { facts })).toEqual([
      'context.device.compliant is false (source: jamf, 4 s old, stale)',
    ]);
  });

  test.each([
    ['too_old', 'what jamf knows is too old'],
    ['unavailable', 'jamf could not answer'],
    ['wrong_type', 'jamf gave one of another type'],
  ] as const)('tells of a value that is missing why it was left out: %s', (why, text) => {
    const left = { subject: 'person', subjectId: 'ann', leftOut: { admin: why } } as const;
    expect(words('principal has admin', { facts: [fact('jamf', 4000, { admin: true }, left)] })).toEqual([
      `principal has no admin (${text})`,
    ]);
  });

  test('is that of what is known of the address', () => {
    const cedar = { ...REQUEST, context: { ...REQUEST.context, ip_facts: { threats: ['tor'] } } };
    const about = { subject: 'ip', subjectId: '192.168.0.1' };
    const lists = fact('lists', 4000, { threats: ['tor'] }, about);
    expect(words('context.ip_facts.threats.contains("vpn")', { facts: [lists], cedar })).toEqual([
      'context.ip_facts.threats is ["tor"], which does not contain "vpn" (source: lists, 4 s old)',
    ]);
    const geo = fact('geo', 4000, { country: 'CH' }, { ...about, leftOut: { country: 'too_old' } });
    expect(words('context.ip_facts has country', { facts: [lists, geo], cedar })).toEqual([
      'context.ip_facts has no country (what geo knows is too old)',
    ]);
  });

  test('is none where the source said something else, or about something else', () => {
    const facts = [
      fact('contradicted', 1, { compliant: true }),
      fact('other device', 1, { compliant: false }, { subjectId: 'phone' }),
      fact('user', 1, { compliant: false }, { subject: 'user' }),
    ];
    expect(words('context.device.compliant', { facts })).toEqual(['context.device.compliant is false']);
  });

  test('is the signed assertion where that gave it, whatever a source says too', () => {
    const facts = [fact('jamf', 4000, { compliant: false, risk: 'high' })];
    const check = { facts, identities: identities({ compliant: false }) };
    expect(words('context.device.compliant', check)).toEqual([
      'context.device.compliant is false (source: signed device assertion, 500 ms old)',
    ]);
    expect(words('context.device.risk == "low"', check)).toEqual([
      'context.device.risk is "high", not "low" (source: jamf, 4 s old)',
    ]);
  });

  test('names every source that a condition read', () => {
    const facts = [fact('jamf', 4000, { compliant: false }), fact('intel', 9000, { risk: 'high' })];
    expect(
      words('{a: context.device.risk, b: context.device.compliant} == {a: "low", b: true}', { facts }),
    ).toEqual([
      '{a: context.device.risk, b: context.device.compliant} == {a: "low", b: true} is false, where context.device.risk is "high" and context.device.compliant is false (source: intel, 9 s old; source: jamf, 4 s old)',
    ]);
  });

  test.each([
    [-5, '0 ms old'],
    [999, '999 ms old'],
    [4999, '4 s old'],
    [119_999, '119 s old'],
    [120_000, '2 min old'],
    [7_200_000, '2 h old'],
    [172_800_000, '2 days old'],
  ])('of %i ms is %s', (ageMs, text) => {
    expect(ageText(ageMs)).toBe(text);
  });
});
