// src/pdp/explain/{expression,expression-text}.ts: what is printed is what was read.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readExpression } from '../../../../src/pdp/explain/expression.ts';
import { expressionText, valueText } from '../../../../src/pdp/explain/expression-text.ts';
import { CHECKER } from './fixture.ts';

function parsed(text: string): unknown {
  const answer = CHECKER.policy(`permit (principal, action, resource) when { ${text} };`);
  if ('complaints' in answer) throw new Error(`${text}: ${answer.complaints[0]?.message}`);
  return (answer.json as unknown as { conditions: { body: unknown }[] }).conditions[0]?.body;
}

/** Without '\\': V8 misreads such keys in JSON, at either end of the test (nodejs/node#63785). */
const key = fc.string({ maxLength: 4, unit: 'binary' }).filter((text) => !/[\\"]/.test(text));
const name = fc.oneof(
  fc.constantFrom('a', 'b', 'in', 'like', 'a b', '', '"', '\\', 'then', '__cedar', 'é', '*'),
  fc.string({ maxLength: 4, unit: 'binary' }),
);
const identifier = fc.constantFrom('a', 'b_2', '_c');
const value = fc.oneof(
  fc.boolean(),
  fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
  name,
  fc.record({ type: fc.constantFrom('User', 'A::B'), id: name }).map((uid) => ({ __entity: uid })),
);
const pattern = fc
  .array(
    fc.oneof(
      fc.constant('Wildcard'),
      fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }).map((Literal) => ({ Literal })),
    ),
    {
      maxLength: 4,
    },
  )
  .filter((parts) => parts.every((part, index) => typeof part !== 'string' || parts[index + 1] !== part));

const { expression } = fc.letrec<{ expression: object }>((tie) => {
  const one = tie('expression');
  const pair = fc.record({ left: one, right: one });
  const binary = (...operators: string[]) =>
    fc.tuple(fc.constantFrom(...operators), pair).map(([op, both]) => ({ [op]: both }));
  return {
    expression: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      value.map((it) => ({ Value: it })),
      fc.constantFrom('principal', 'action', 'resource', 'context').map((Var) => ({ Var })),
      binary('&&', '||', '==', '!=', 'in', '<', '<=', '>', '>=', '+', '-', '*'),
      binary('contains', 'containsAll', 'containsAny', 'getTag', 'hasTag'),
      one.map((arg) => ({ '!': { arg } })),
      one.map((arg) => ({ neg: { arg } })),
      one.map((arg) => ({ isEmpty: { arg } })),
      fc.record({ left: one, attr: name }).map((access) => ({ '.': access })),
      fc.record({ left: one, attr: name }).map((access) => ({ has: access })),
      fc
        .record({ left: one, attr: fc.array(identifier, { minLength: 2, maxLength: 3 }) })
        .map((access) => ({ has: access })),
      fc.record({ left: one, pattern }).map((like) => ({ like })),
      fc
        .record(
          { left: one, entity_type: fc.constantFrom('User', 'A::B'), in: one },
          { requiredKeys: ['left', 'entity_type'] },
        )
        .map((is) => ({ is })),
      // oxlint-disable-next-line unicorn/no-thenable -- Cedar's name for it
      fc.record({ if: one, then: one, else: one }).map((it) => ({ 'if-then-else': it })),
      fc.array(one, { maxLength: 3 }).map((Set) => ({ Set })),
      fc.dictionary(key, one, { maxKeys: 2 }).map((Record) => ({ Record })),
      fc
        .tuple(fc.constantFrom('ip', 'decimal', 'datetime', 'duration'), one)
        .map(([fn, arg]) => ({ [fn]: [arg] })),
      fc
        .tuple(fc.constantFrom('isInRange', 'lessThan', 'offset'), one, one)
        .map(([fn, of, arg]) => ({ [fn]: [of, arg] })),
      fc.tuple(fc.constantFrom('isIpv4', 'toDate', 'toSeconds'), one).map(([fn, of]) => ({ [fn]: [of] })),
    ),
  };
});

describe('the text of an expression', () => {
  test('is read by Cedar as the very expression that was printed', () => {
    fc.assert(
      fc.property(expression, (json) => {
        expect(parsed(expressionText(readExpression(json)))).toEqual(json);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    'context.source == ZeroTrust::Workload::"spiffe://prod.example.com/ns/payments/sa/payment-api"',
    '(context.a || context.b) && !(context.c && context.d)',
    '1 + 2 * 3 - (4 - 5) < -6',
    'if context.a then context["b c"] else context has d.e',
    'context.ip.isInRange(ip("10.0.0.0/8"))',
    'principal is User in Group::"g" || resource.path like "/a\\*/*"',
    '{a: [1, "two"], "b c": true}.a.isEmpty()',
    '-(3) > -context.a',
  ])('has no more parentheses than its author wrote: %s', (text) => {
    expect(expressionText(readExpression(parsed(text)))).toBe(text);
  });

  test('shows what a terminal would hide', () => {
    expect(valueText('a\u202e\u0000\n\u2028"\\')).toBe('"a\\u{202e}\\u{0}\\u{a}\\u{2028}\\"\\\\"');
  });

  test('writes values as Cedar does', () => {
    expect(valueText(['a', 1, true])).toBe('["a", 1, true]');
    expect(valueText({ __entity: { type: 'User', id: 'x' } })).toBe('User::"x"');
    expect(valueText({ type: 'User', id: 'x' })).toBe('User::"x"');
    expect(valueText({ __extn: { fn: 'ip', arg: '10.0.0.1' } })).toBe('ip("10.0.0.1")');
    expect(valueText({ type: 'User', id: 'x', more: 1 })).toBe('{type: "User", id: "x", more: 1}');
  });

  test.each([
    undefined,
    null,
    3,
    {},
    { Value: 1, Var: 'context' },
    { Var: 'other' },
    { Slot: '?principal' },
    { '~': { left: { Value: 1 }, right: { Value: 1 } } },
  ])('is refused for what is no expression: %j', (json) => {
    expect(() => readExpression(json)).toThrow(TypeError);
  });
});
