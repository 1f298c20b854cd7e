import { describe, expect, test } from 'vitest';
import { engineName } from '../../../src/pdp/cedar-module.ts';
import { CedarChecker, CedarEngine } from '../../../src/pdp/cedar.ts';
import { PdpError } from '../../../src/pdp/errors.ts';
import type { CedarRequest, CedarValue } from '../../../src/pdp/evaluation.ts';

const SCHEMA =
  'entity U { level?: Long }; entity R; action a appliesTo { principal: [U], resource: [R], context: { ok: Bool, n?: Long, ip?: ipaddr } };';
const engineOf = (policies: Readonly<Record<string, string>>) =>
  CedarEngine.load({ schema: SCHEMA, policies });
const question = (context: { readonly [name: string]: CedarValue }, level?: CedarValue): CedarRequest => ({
  principal: { type: 'U', id: 'u' },
  action: { type: 'Action', id: 'a' },
  resource: { type: 'R', id: 'r' },
  context,
  entities: level === undefined ? [] : [{ uid: { type: 'U', id: 'u' }, attrs: { level }, parents: [] }],
});

function faultOf(run: () => unknown): PdpError {
  try {
    run();
  } catch (error) {
    if (error instanceof PdpError) return error;
    throw error;
  }
  throw new Error('no fault');
}

/** Parses and validates, but is deeper than the engine's stack: `compileSnapshot` refuses it, `load` does not look. */
const TRAPPING = `permit(principal, action, resource) when { context.ok && (${Array.from({ length: 1000 }, () => 'context.ok').join(' && ')}) };`;

describe('the engine', () => {
  test('denies the one request that traps it, and answers the next one right', () => {
    const engine = engineOf({
      trap: TRAPPING,
      simple: 'permit(principal, action == Action::"a", resource) when { !context.ok };',
    });
    expect(engine.evaluate(question({ ok: false })).policies).toEqual(['simple']);
    const fault = faultOf(() => engine.evaluate(question({ ok: true })));
    expect(fault.reason).toBe('engine_fault');
    expect(fault.message).toMatch(/trapped/);
    expect(engine.rebuilds).toBe(0);
    expect(engine.evaluate(question({ ok: false })).policies).toEqual(['simple']);
    expect(engine.rebuilds).toBe(1);
    expect(faultOf(() => engine.evaluate(question({ ok: true }))).reason).toBe('engine_fault');
    expect(faultOf(() => engine.evaluate(question({ ok: true }))).reason).toBe('engine_fault');
    expect(engine.evaluate(question({ ok: false })).verdict).toBe('permit');
  });

  test('keeps two loaded sets apart, also when one of them traps', () => {
    const good = engineOf({ p: 'permit(principal, action, resource);' });
    const bad = engineOf({ p: TRAPPING });
    faultOf(() => bad.evaluate(question({ ok: true })));
    expect(good.evaluate(question({ ok: true }))).toEqual({ verdict: 'permit', policies: ['p'], errors: [] });
    expect(good.rebuilds).toBe(0);
  });

  test('answers determining policies and errors sorted, whatever order the engine gives them in', () => {
    const ids = Array.from({ length: 12 }, (_, index) => `p${String(index).padStart(2, '0')}`);
    const policies = Object.fromEntries([
      ...ids.map((id) => [id, 'permit(principal, action, resource);']),
      ...ids.map((id) => [
        `e${id}`,
        'permit(principal, action, resource) when { context has n && context.n * 9007199254740991 > 0 };',
      ]),
    ]) as Record<string, string>;
    const engine = engineOf(policies);
    for (let times = 0; times < 20; times += 1) {
      const answer = engine.evaluate(question({ ok: true, n: Number.MAX_SAFE_INTEGER }));
      expect(answer).toEqual({ verdict: 'permit', policies: ids, errors: ids.map((id) => `e${id}`) });
    }
  });

  test('denies where nothing permits, and where a forbid says so', () => {
    const engine = engineOf({
      p: 'permit(principal, action, resource) when { context.ok };',
      f: 'forbid(principal, action, resource) when { context has n && context.n > 1 };',
    });
    expect(engine.evaluate(question({ ok: false }))).toEqual({ verdict: 'deny', policies: [], errors: [] });
    expect(engine.evaluate(question({ ok: true, n: 2 }))).toEqual({
      verdict: 'deny',
      policies: ['f'],
      errors: [],
    });
  });

  test.each<[string, CedarRequest]>([
    ['an undeclared context key', question({ ok: true, other: 1 })],
    ['a missing context key', question({})],
    ['a value of the wrong type', question({ ok: 'yes' })],
    ['null', question({ ok: null as unknown as boolean })],
    ['a fraction', question({ ok: true, n: 1.5 })],
    ['an integer beyond what Cedar holds', question({ ok: true, n: 1e21 })],
    ['an injected unknown', question({ ok: { __extn: { fn: 'unknown', arg: 'k' } } })],
    [
      'an injected unknown in the place of an address',
      question({ ok: true, ip: { __extn: { fn: 'unknown', arg: 'k' } } }),
    ],
    ['an injected entity', question({ ok: true, n: { __entity: { type: 'U', id: 'u' } } })],
    ['no address', question({ ok: true, ip: '10.0.0.1:80' })],
    ['an undeclared action', { ...question({ ok: true }), action: { type: 'Action', id: 'b' } }],
    [
      'a principal that the action does not apply to',
      { ...question({ ok: true }), principal: { type: 'R', id: 'r' } },
    ],
    ['an undeclared type', { ...question({ ok: true }), resource: { type: 'X', id: 'r' } }],
    ['an attribute of the wrong type', question({ ok: true }, 'high')],
  ])('refuses %s as data, not as an answer', (_what, request) => {
    const engine = engineOf({ p: 'permit(principal, action, resource);' });
    expect(faultOf(() => engine.evaluate(request)).reason).toBe('attribute_refused');
    expect(engine.evaluate(question({ ok: true })).verdict).toBe('permit');
  });

  test('an unknown in an attribute, which the engine takes, shows as an error of the forbid that reads it', () => {
    const engine = engineOf({
      p: 'permit(principal, action, resource);',
      f: 'forbid(principal, action, resource) when { principal has level && principal.level > 1 };',
    });
    expect(engine.evaluate(question({ ok: true }, { __extn: { fn: 'unknown', arg: 'k' } })).errors).toEqual([
      'f',
    ]);
  });

  test('refuses a call that it cannot read, and lives on', () => {
    const engine = engineOf({ p: 'permit(principal, action, resource);' });
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) as CedarValue;
    expect(faultOf(() => engine.evaluate(question({ ok: deep }))).reason).toBe('engine_fault');
    expect(faultOf(() => engine.evaluate(question({ ok: '\ud800' }))).reason).toMatch(
      /engine_fault|attribute_refused/,
    );
    expect(engine.evaluate(question({ ok: true })).verdict).toBe('permit');
  });

  test('takes no harm of thousands of calls that it cannot read', () => {
    const engine = engineOf({ p: 'permit(principal, action, resource);' });
    const unreadable = question({ ok: '\ud800' });
    for (let n = 0; n < 4000; n++) {
      expect(faultOf(() => engine.evaluate(unreadable)).message).toMatch(/refused the call/);
      if (n % 100 === 0) expect(engine.evaluate(question({ ok: true })).verdict).toBe('permit');
    }
  });

  test('does not evaluate what does not parse', () => {
    const broken = engineOf({ p: 'permit(' });
    expect(faultOf(() => broken.evaluate(question({ ok: true }))).reason).toBe('engine_fault');
    expect(faultOf(() => broken.evaluate(question({ ok: true }))).reason).toBe('engine_fault');
    expect(faultOf(() => CedarEngine.load({ schema: 'entity', policies: {} })).reason).toBe('engine_fault');
  });
});

describe('the checker', () => {
  test('goes on after a text that trapped it', () => {
    const checker = new CedarChecker();
    const deep = `permit(principal, action, resource) when { ${'('.repeat(3000)}true${')'.repeat(3000)} };`;
    expect(checker.policy(deep)).toHaveProperty('complaints');
    expect(checker.policy('permit(principal, action, resource);')).toMatchObject({
      json: { effect: 'permit' },
    });
    expect(checker.schema(SCHEMA)).toHaveProperty('json');
    expect(checker.validate({ schema: SCHEMA, policies: { p: TRAPPING } })).toHaveProperty('errors');
    expect(checker.entities([{ uid: { type: 'U', id: 'u' }, attrs: {}, parents: [] }], SCHEMA)).toEqual([]);
  });
});

test('the versions of engine and language are known', () => {
  expect(engineName()).toMatch(/^cedar\/\d+\.\d+\S* language\/\d+\.\d+\S*$/);
});
