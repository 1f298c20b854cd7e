import { describe, expect, test } from 'vitest';
import { compileSnapshot } from '../../../src/pdp/compile-snapshot.ts';
import type { FieldShape } from '../../../src/pdp/policy-snapshot.ts';
import { SAMPLE_SCHEMA, policyTexts, problemsOf, snapshotOf } from '../../support/snapshot.ts';

const SCHEMA =
  'entity U in [U] = { level?: Long };\nentity R;\naction a appliesTo { principal: [U], resource: [R], context: { ok: Bool, n?: Long } };\n';
const refused = (policies: string, entities?: object[]) =>
  problemsOf(() => snapshotOf(policies, SCHEMA, entities));
const uid = (id: string) => ({ type: 'U', id });

describe('a policy set that is not valid is refused with its position', () => {
  test.each([
    [
      'a syntax error',
      '@id("a")\npermit(principal, action, resource)\nwhen { context. };\n',
      3,
      17,
      /unexpected token/,
    ],
    ['a missing end', '@id("a") permit(principal, action, resource)', 1, 45, /unexpected end of input/],
    [
      'an unterminated string',
      '@id("a") permit(principal, action, resource) when { "x };',
      1,
      53,
      /invalid token/,
    ],
    [
      'an unknown entity type',
      '@id("a")\npermit(principal == Nobody::"x", action, resource);',
      2,
      undefined,
      /Nobody/,
    ],
    [
      'an unknown action',
      '@id("a") permit(principal, action == Action::"b", resource);',
      1,
      undefined,
      /Action::"b"/,
    ],
    ['a type error', '@id("a") permit(principal, action, resource) when { context.ok > 1 };', 1, 53, /Long/],
    [
      'an optional attribute read unguarded',
      '@id("a") permit(principal, action, resource) when { context.n > 1 };',
      1,
      53,
      /optional|has/,
    ],
    ['a missing @id', '// first\n  permit(principal, action, resource);', 2, 3, /has no @id/],
    ['an empty @id', '@id("") permit(principal, action, resource);', 1, 1, /has no @id/],
    ['an @id that is no name', '@id("a b") permit(principal, action, resource);', 1, 1, /may only hold/],
    [
      'an unknown annotation',
      '@id("a") @reson("x") forbid(principal, action, resource);',
      1,
      1,
      /@reson is not known/,
    ],
    [
      'a template with a slot where none may be',
      '@id("a") permit(principal, action == ?action, resource);',
      1,
      undefined,
      /slot/i,
    ],
    [
      'text after the last policy',
      '@id("a") permit(principal, action, resource); garbage',
      1,
      undefined,
      /unexpected|invalid/,
    ],
  ])('%s', (_what, text, line, column, message) => {
    const [problem] = refused(text);
    expect(problem).toMatchObject({ where: 'test.cedar', line });
    if (column !== undefined) expect(problem?.column).toBe(column);
    expect(problem?.message).toMatch(message);
  });

  test('a misspelt attribute, with the one that may have been meant', () => {
    const [problem] = refused(
      '@id("a") permit(principal, action, resource) when { principal has level && principal.levle > 1 };',
    );
    expect(problem?.message).toMatch(/levle/);
    expect(problem?.message).toMatch(/did you mean `level`/);
  });

  test('counts lines and columns in characters where Cedar counts bytes', () => {
    const text =
      '// \u00fcber \u20ac \u{1f600}\n@id("a") @description("\u00e9\u00e9\u00e9")\npermit(principal, action, resource) when { "\u00e9\u20ac" == context.nope };';
    const [problem] = refused(text);
    expect(problem).toMatchObject({ line: 3, message: expect.stringMatching(/nope/) as string });
    expect(text.split('\n')[2]?.slice((problem?.column ?? 0) - 1)).toMatch(/^context\.nope/);
  });

  test('tells every problem at once, each in its file', () => {
    const texts = {
      ...policyTexts(
        '@id("a") permit(principal, action, resource) when { context.nope };\npermit(principal, action, resource);',
        SCHEMA,
      ),
    };
    const problems = problemsOf(() =>
      compileSnapshot(
        { ...texts, policies: [...texts.policies, { file: 'b.cedar', text: '\n@id("b") permit(' }] },
        0,
      ),
    );
    expect(problems.map(({ where, line }) => `${where}:${line}`)).toEqual(['test.cedar:2', 'b.cedar:2']);
  });

  test('tells every validation error at once', () => {
    const problems = refused(
      '@id("a") permit(principal, action, resource) when { context.x };\n@id("b") permit(principal, action, resource) when { context.y };',
    );
    expect(problems.map(({ line }) => line)).toEqual([1, 2]);
  });

  test('an @id that is taken, even in another file', () => {
    const policies = ['a.cedar', 'b.cedar'].map((file) => ({
      file,
      text: '@id("x") permit(principal, action, resource);',
    }));
    const problems = problemsOf(() => compileSnapshot({ ...policyTexts('', SCHEMA), policies }, 0));
    expect(problems).toMatchObject([
      { where: 'b.cedar', line: 1, message: expect.stringMatching(/taken already by a\.cedar/) as string },
    ]);
  });
});

describe('what the engine cannot hold', () => {
  const nested = (depth: number) => `${'('.repeat(depth)}context.ok${')'.repeat(depth)}`;
  const chain = (length: number) => Array.from({ length }, () => 'context.ok').join(' && ');
  const policy = (id: string, condition: string) =>
    `@id("${id}") permit(principal, action, resource) when { ${condition} };`;

  test.each([150, 2000])(
    'nesting %i deep is refused, and only the policy that does it is blamed',
    (depth) => {
      const text = [policy('a', 'context.ok'), policy('deep', nested(depth)), policy('b', 'context.ok')].join(
        '\n',
      );
      expect(refused(text)).toMatchObject([
        { line: 2, message: expect.stringMatching(/nested deeper/) as string },
      ]);
    },
  );

  test.each([400, 1000, 3000])(
    'a chain of %i that parses but would trap at evaluation is refused',
    (length) => {
      const text = [policy('a', 'context.ok'), policy('long', chain(length))].join('\n');
      expect(refused(text)).toMatchObject([
        { line: 2, message: expect.stringMatching(/nested deeper or chained longer/) as string },
      ]);
    },
  );

  test('a chain of 150, and nesting of 100, are taken and evaluated', () => {
    const snapshot = snapshotOf([policy('long', chain(150)), policy('deep', nested(100))].join('\n'), SCHEMA);
    const question = {
      principal: uid('x'),
      action: { type: 'Action', id: 'a' },
      resource: { type: 'R', id: 'r' },
      entities: [],
    };
    expect(snapshot.evaluate({ ...question, context: { ok: true } })).toEqual({
      verdict: 'permit',
      policies: ['deep', 'long'],
      errors: [],
    });
    expect(snapshot.evaluate({ ...question, context: { ok: false } }).verdict).toBe('deny');
  });

  test.each([
    ['&&', 'context.ok'],
    ['||', '!context.ok'],
    ['+', '1'],
  ])('the longest chain of %s that is taken can be evaluated', (operator, operand) => {
    const longest = Array.from({ length: 200 }, () => operand).join(` ${operator} `);
    const snapshot = snapshotOf(
      policy('long', operator === '+' ? `${longest} == 200` : `${longest} || context.ok`),
      SCHEMA,
    );
    const question = {
      principal: uid('x'),
      action: { type: 'Action', id: 'a' },
      resource: { type: 'R', id: 'r' },
      entities: [],
    };
    expect(snapshot.evaluate({ ...question, context: { ok: true } }).policies).toEqual(['long']);
  });

  test('the schema nested too deep is refused', () => {
    const schema = `entity U; entity R; action a appliesTo { principal: [U], resource: [R], context: { x: ${'Set<'.repeat(3000)}Long${'>'.repeat(3000)} } };`;
    expect(
      problemsOf(() => snapshotOf('@id("a") permit(principal, action, resource);', schema)),
    ).toMatchObject([{ where: 'schema.cedarschema' }]);
  });

  test('the experimental `unknown` function is refused: it would turn a forbid off', () => {
    const [problem] = refused('@id("a") forbid(principal, action, resource) when { unknown("x") };');
    expect(problem).toMatchObject({ line: 1, message: expect.stringMatching(/unknown/) as string });
  });
});

describe('statements are found where they are', () => {
  test.each([
    ['a ; in a string', '@id("a") permit(principal, action, resource) when { "a;b" == "a;b" };', ['a']],
    ['a ; in a comment', '@id("a") permit(principal, // one; two\n action, resource);', ['a']],
    [
      'a comment sign in a string',
      '@id("a") permit(principal, action, resource) when { "http://x;" == "y" };\n@id("b") permit(principal, action, resource);',
      ['a', 'b'],
    ],
    [
      'a quote in a comment',
      '// don"t;\n@id("a") permit(principal, action, resource); // "\n@id("b") permit(principal, action, resource);',
      ['a', 'b'],
    ],
    [
      'an escaped quote',
      '@id("a") @description("say \\";\\" ") permit(principal, action, resource);@id("b") permit(principal, action, resource);',
      ['a', 'b'],
    ],
    [
      'only comments after the last one',
      '@id("a") permit(principal, action, resource);\n// end; of file',
      ['a'],
    ],
    ['Windows line ends', '@id("a")\r\npermit(principal, action, resource);\r\n', ['a']],
    ['a byte order mark', '\ufeff@id("a") permit(principal, action, resource);', ['a']],
    ['no policy at all', '// nothing yet\n', []],
  ])('%s', (_what, text, ids) => {
    expect(snapshotOf(text, SCHEMA).policyIds).toEqual(ids);
  });
});

describe('annotations', () => {
  const notes = (annotations: string, effect = 'forbid') =>
    snapshotOf(`@id("a") ${annotations} ${effect}(principal, action, resource);`, SCHEMA).notes('a');

  test('become notes', () => {
    expect(notes('', 'permit')).toEqual({ effect: 'permit' });
    expect(notes('@description("for readers")')).toEqual({ effect: 'forbid' });
    expect(notes('@reason("public words") @advice("step_up") @acr_values("mfa phr")')).toEqual({
      effect: 'forbid',
      reason: 'public words',
      advice: { kind: 'step_up', acrValues: 'mfa phr' },
    });
    expect(notes('@advice("authenticate")')).toEqual({ effect: 'forbid', advice: { kind: 'authenticate' } });
  });

  test.each([
    ['@reason on a permit', '@reason("x")', 'permit', /belong on a forbid/],
    ['@advice on a permit', '@advice("step_up")', 'permit', /belong on a forbid/],
    ['an unknown advice', '@advice("reboot")', 'forbid', /"reboot"\) is not known/],
    ['@advice without a value', '@advice', 'forbid', /is not known/],
    ['@reason without a value', '@reason', 'forbid', /@reason/],
    ['an empty @reason', '@reason("")', 'forbid', /printable ASCII/],
    ['a line break in @reason', '@reason("a\\nb")', 'forbid', /printable ASCII/],
    ['@reason beyond ASCII', '@reason("\u00fcber")', 'forbid', /printable ASCII/],
    ['an overlong @reason', `@reason("${'x'.repeat(201)}")`, 'forbid', /longer than 200/],
    ['@acr_values alone', '@acr_values("mfa")', 'forbid', /goes with/],
    ['@acr_values with a quote', '@advice("step_up") @acr_values("a\\"b")', 'forbid', /space-separated/],
    ['@acr_values without a value', '@advice("step_up") @acr_values', 'forbid', /@acr_values/],
  ])('%s is refused', (_what, annotations, effect, message) => {
    const problems = refused(`@id("a") ${annotations} ${effect}(principal, action, resource);`);
    expect(problems.map((problem) => problem.message).join('\n')).toMatch(message);
  });
});

describe('schemas', () => {
  const policies = '@id("a") permit(principal, action, resource);';

  test('a syntax error has its position', () => {
    const [problem] = problemsOf(() =>
      snapshotOf(policies, `// \u00e9\n${SCHEMA.replace('Bool', 'Bool Bool')}`),
    );
    expect(problem).toMatchObject({ where: 'schema.cedarschema', line: 4 });
  });

  test('an undeclared type is refused', () => {
    expect(problemsOf(() => snapshotOf(policies, 'entity U in [Nowhere];'))[0]?.message).toMatch(/Nowhere/);
  });

  test('two that declare the same type do not go together, and one of them is named', () => {
    const schemas = ['a', 'b'].map((name) => ({ file: `${name}.cedarschema`, text: SCHEMA }));
    const [problem] = problemsOf(() => compileSnapshot({ ...policyTexts(policies, SCHEMA), schemas }, 0));
    expect(problem?.where).toMatch(/^[ab]\.cedarschema$/);
  });

  test('two with namespaces of their own go together', () => {
    const schemas = [
      { file: 'a', text: `namespace A { ${SCHEMA} }` },
      { file: 'b', text: `namespace B { ${SCHEMA} }` },
    ];
    const { snapshot } = compileSnapshot({ ...policyTexts(policies, SCHEMA), schemas }, 0);
    expect(snapshot.entityShape('A::U')).toBeDefined();
    expect(snapshot.contextShape({ type: 'B::Action', id: 'a' })?.fields.get('n')).toEqual({
      required: false,
      type: { kind: 'long' },
    });
  });

  const fieldsOf = (field: FieldShape | undefined) =>
    field?.type.kind === 'record' ? field.type.shape.fields : undefined;

  test('shapes follow named record types, and name the actions that apply to something', () => {
    const snapshot = snapshotOf(policies, SAMPLE_SCHEMA);
    const shape = snapshot.contextShape({ type: 'ZeroTrust::Action', id: 'GET' });
    expect(shape?.fields.get('mtls')).toEqual({ required: true, type: { kind: 'bool' } });
    expect(fieldsOf(shape?.fields.get('token'))?.get('amr')).toEqual({
      required: false,
      type: { kind: 'set', element: { kind: 'string' } },
    });
    expect(shape?.fields.get('user')?.type).toEqual({ kind: 'entity', type: 'ZeroTrust::User' });
    expect(shape?.fields.get('ip')?.type).toEqual({ kind: 'extension', name: 'ipaddr' });
    expect(snapshot.contextShape({ type: 'ZeroTrust::Action', id: 'read' })).toBeUndefined();
    expect(snapshot.contextShape({ type: 'ZeroTrust::Action', id: 'TRACE' })).toBeUndefined();
    expect(fieldsOf(snapshot.entityShape('ZeroTrust::Device')?.fields.get('os'))?.has('patched')).toBe(true);
    expect(snapshot.entityShape('ZeroTrust::Workload')?.parentTypes).toEqual(
      new Set(['ZeroTrust::Namespace', 'ZeroTrust::TrustDomain', 'ZeroTrust::WorkloadGroup']),
    );
    expect(snapshot.entityShape('ZeroTrust::Nothing')).toBeUndefined();
  });
});

describe('static entities', () => {
  const policies = '@id("a") permit(principal, action, resource);';
  const problems = (entities: unknown) =>
    problemsOf(() =>
      compileSnapshot(
        {
          ...policyTexts(policies, SCHEMA),
          entities: [
            {
              file: 'entities.json',
              text: typeof entities === 'string' ? entities : JSON.stringify(entities),
            },
          ],
        },
        0,
      ),
    );

  test.each([
    ['no JSON', '[', /is not JSON/],
    ['no array', {}, /must be a JSON array/],
    ['no entity', [{ id: 'x' }], /must be/],
    ['null', [null], /must be/],
    ['a parent that is none', [{ uid: uid('x'), parents: ['y'] }], /must be/],
    ['an undeclared type', [{ uid: { type: 'X', id: '1' } }], /does not declare/],
    ['an undeclared attribute', [{ uid: uid('x'), attrs: { nope: 1 } }], /nope/],
    ['an attribute of the wrong type', [{ uid: uid('x'), attrs: { level: 'high' } }], /level/],
    [
      'an injected unknown',
      [{ uid: uid('x'), attrs: { level: { __extn: { fn: 'unknown', arg: 'k' } } } }],
      /level|unknown/,
    ],
    ['a repeated entity', [{ uid: uid('x') }, { uid: uid('x') }], /more than once/],
    [
      'a cycle of parents',
      [
        { uid: uid('x'), parents: [uid('y')] },
        { uid: uid('y'), parents: [uid('x')] },
      ],
      /cycle/,
    ],
    [
      'a chain of parents that would slow every decision',
      Array.from({ length: 80 }, (_, index) => ({ uid: uid(`${index}`), parents: [uid(`${index + 1}`)] })),
      /more than 64 ancestors/,
    ],
  ])('%s: refused, naming the file', (_what, entities, message) => {
    const found = problems(entities);
    expect(found[0]?.where).toMatch(/^entities\.json/);
    expect(found.map((problem) => problem.message).join('\n')).toMatch(message);
  });

  test('are found by uid, whether or not their references are escaped', () => {
    const snapshot = snapshotOf(policies, SCHEMA, [
      { uid: { __entity: uid('x') }, parents: [{ __entity: uid('y') }] },
    ]);
    expect(snapshot.staticEntity('U::"x"')).toEqual({ uid: uid('x'), attrs: {}, parents: [uid('y')] });
    expect(snapshot.staticEntity('U::"y"')).toBeUndefined();
  });
});

describe('a snapshot', () => {
  const a = '@id("a") permit(principal, action, resource);';
  const b = '@id("b") forbid(principal, action, resource) when { context has n && context.n > 1 };';

  test('has the digest of its content: the order of statements, comments and the time of loading do not matter', () => {
    const digest = snapshotOf(`${a}\n${b}`, SCHEMA).digest;
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(snapshotOf(`// hello\n${b}\n\n${a}`, SCHEMA).digest).toBe(digest);
    expect(compileSnapshot(policyTexts(`${a}${b}`, SCHEMA), 99).snapshot.digest).toBe(digest);
  });

  test.each([
    ['a policy', snapshotOf(`${a}${b.replace('> 1', '> 2')}`, SCHEMA)],
    ['an id', snapshotOf(`${a}${b.replace('"b"', '"c"')}`, SCHEMA)],
    ['the schema', snapshotOf(`${a}${b}`, SCHEMA.replace('level?', 'rank?'))],
    ['an entity', snapshotOf(`${a}${b}`, SCHEMA, [{ uid: uid('x') }])],
  ])('has another digest when %s changes', (_what, other) => {
    expect(other.digest).not.toBe(snapshotOf(`${a}${b}`, SCHEMA).digest);
  });

  test('names its policies in order, and knows no others', () => {
    const snapshot = snapshotOf(`${b}${a}`, SCHEMA);
    expect(snapshot.policyIds).toEqual(['a', 'b']);
    expect(() => snapshot.notes('c')).toThrow(TypeError);
  });

  test('comes with the warnings of the validator, with positions', () => {
    const { warnings } = compileSnapshot(
      policyTexts(`${a}\n@id("never") permit(principal, action, resource) when { false };`, SCHEMA),
      0,
    );
    expect(warnings).toMatchObject([
      { where: 'test.cedar', line: 2, message: expect.stringMatching(/impossible/) as string },
    ]);
  });
});
