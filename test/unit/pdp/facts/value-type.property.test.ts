// What the check of a source's answers lets through, the engine takes; so what the engine would refuse is refused before it.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue } from '../../../../src/pdp/attribute.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { EntityStore } from '../../../../src/pdp/entities.ts';
import { typeProblem, typeText } from '../../../../src/pdp/facts/value-type.ts';
import { snapshotOf } from '../../../support/snapshot.ts';

const TYPES = [
  'String',
  'Long',
  'Bool',
  'ipaddr',
  'decimal',
  'datetime',
  'duration',
  'U',
  'Color',
  'Set<String>',
  'Set<Set<Long>>',
  'Set<ipaddr>',
  'Set<U>',
  'Set<Color>',
  'Inner',
  'Set<Inner>',
  '{ deep?: Inner, must: Set<Inner> }',
] as const;
const SCHEMA = `type Inner = { s?: String, n: Long, when?: datetime };
  entity Color enum ["red", "blue"]; entity R;
  entity U = { ${TYPES.map((type, at) => `a${at}?: ${type}`).join(', ')} };
  action act appliesTo { principal: [U], resource: [R], context: {} };`;
const POLICIES = TYPES.map(
  (_, at) =>
    `@id("p${at}") permit(principal, action, resource) when { principal has a${at} && principal.a${at} == principal.a${at} };`,
).join('\n');
const snapshot = snapshotOf(POLICIES, SCHEMA);
const shape = snapshot.entityShape('U');
const user = { type: 'U', id: 'u' };

function isTaken(name: string, value: AttributeValue): boolean {
  const store = new EntityStore(snapshot);
  store.add(user, { [name]: value }, []);
  try {
    const { policies } = snapshot.evaluate({
      principal: user,
      action: { type: 'Action', id: 'act' },
      resource: { type: 'R', id: 'r' },
      context: {},
      entities: store.list(),
    });
    return policies.includes(name.replace('a', 'p'));
  } catch (error) {
    if (error instanceof PdpError && error.reason === 'attribute_refused') return false;
    throw error;
  }
}

function problemOf(at: number, value: AttributeValue): string | undefined {
  const field = shape?.fields.get(`a${at}`);
  if (!field) throw new Error(`no a${at}`);
  return typeProblem(`a${at}`, value, field.type, 'all', snapshot.reads);
}

const digits = (max: number) => fc.stringMatching(new RegExp(`^\\d{1,${max}}$`));
const ipText = fc
  .tuple(
    fc.oneof(
      fc.ipV4(),
      fc.ipV4Extended(),
      fc.ipV6(),
      fc.constantFrom('::', '::1', '1::', 'fe80::1%eth0', '::1.2.3.4'),
    ),
    fc.option(fc.oneof(fc.nat(140).map(String), digits(3), fc.constantFrom('+1', '', '0', '08')), {
      nil: undefined,
    }),
  )
  .map(([address, prefix]) => (prefix === undefined ? address : `${address}/${prefix}`));
const decimalText = fc.oneof(
  fc
    .tuple(fc.constantFrom('', '-', '+'), digits(18), fc.constantFrom('.', ''), digits(5))
    .map((parts) => parts.join('')),
  fc.constantFrom(
    '922337203685477.5807',
    '922337203685477.5808',
    '-922337203685477.5808',
    '-922337203685477.5809',
    '1.',
  ),
);
const two = fc.oneof(
  fc.nat(70).map((n) => String(n).padStart(2, '0')),
  digits(2),
);
const datetimeText = fc
  .tuple(
    fc.oneof(fc.constantFrom('0000', '1900', '2000', '2023', '2024', '9999'), digits(4)),
    fc.constantFrom('01', '02', '04', '12', '13', '00'),
    fc.constantFrom('01', '28', '29', '30', '31', '32', '00'),
    fc.constantFrom('', 'T', ' '),
    fc.tuple(two, two, two).map((parts) => parts.join(':')),
    fc.constantFrom('', 'Z', '.1Z', '.123Z', '.123', '+0100', '-2359', '+2400', '+01:00', '.999+0059'),
  )
  .map(([y, m, d, t, time, end]) => (t === '' ? `${y}-${m}-${d}` : `${y}-${m}-${d}${t}${time}${end}`));
const amount = fc.oneof(
  fc.constant(''),
  digits(2),
  digits(19),
  fc.constantFrom('9223372036854775807', '9223372036854775808'),
);
const durationText = fc
  .tuple(
    fc.constantFrom('', '-', '+'),
    fc.array(fc.tuple(amount, fc.constantFrom('d', 'h', 'm', 's', 'ms')), { maxLength: 5 }),
  )
  .map(([sign, parts]) => sign + parts.map(([n, unit]) => (n === '' ? '' : n + unit)).join(''));
const text = fc.oneof(fc.string({ unit: 'grapheme' }), ipText, decimalText, datetimeText, durationText);
const reference = fc.record(
  {
    type: fc.constantFrom('U', 'Color', 'R', 'not a type'),
    id: fc.constantFrom<AttributeValue>('red', 'u', '', 7),
    x: fc.nat(3),
  },
  { requiredKeys: [] },
);
const inner = fc.record(
  {
    s: fc.oneof(fc.string({ unit: 'grapheme' }), fc.nat()),
    n: fc.oneof(fc.maxSafeInteger(), text),
    when: datetimeText,
    more: fc.nat(),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<AttributeValue>;
const { value } = fc.letrec<{ value: AttributeValue; list: AttributeValue; record: AttributeValue }>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.maxSafeInteger(),
      fc.boolean(),
      text,
      reference,
      inner,
      tie('list'),
      tie('record'),
    ),
    list: fc.oneof(
      fc.array(inner, { maxLength: 3 }),
      fc.array(fc.maxSafeInteger(), { maxLength: 3 }),
      fc.array(text, { maxLength: 3 }),
      fc.array(reference, { maxLength: 3 }),
      fc.array(tie('value'), { maxLength: 3 }),
    ),
    record: fc.record({ deep: tie('value'), must: tie('list') }, { requiredKeys: [] }),
  }),
);

describe('an answer that passes the check of its types', () => {
  test.each(TYPES.map((type, at) => [type, at] as const))('is taken by the engine: %s', (_type, at) => {
    fc.assert(
      fc.property(value, (given) => {
        if (problemOf(at, given) === undefined) expect(isTaken(`a${at}`, given)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['ipaddr', ipText],
    ['decimal', decimalText],
    ['datetime', datetimeText],
    ['duration', durationText],
  ] as const)('is what the engine takes, no less, of the texts of a %s', (type, texts) => {
    const at = TYPES.indexOf(type);
    fc.assert(
      fc.property(texts, (given) => {
        expect([given, problemOf(at, given) === undefined]).toEqual([given, isTaken(`a${at}`, given)]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a problem with a type says what is there and what the schema says', () => {
  test.each<[string, AttributeValue, string]>([
    ['String', 1, "'a0' is a long, the schema says String"],
    ['Long', 'x', "'a1' is a string, the schema says Long"],
    ['Bool', ['x'], "'a2' is a set, the schema says Bool"],
    ['ipaddr', 'secret', "'a3' is a string that is no ipaddr"],
    ['decimal', true, "'a4' is a bool, the schema says decimal"],
    ['U', 'u', "'a7' is a string, the schema says U"],
    ['Color', { type: 'Color', id: 'green' }, "'a8' is a record, the schema says Color"],
    ['Set<String>', 'x', "'a9' is a string, the schema says Set<String>"],
    ['Set<String>', ['x', 2], "'a9[]' is a long, the schema says String"],
    ['Inner', {}, "'a14.n' is missing, the schema requires it"],
    ['Inner', 7, "'a14' is a long, the schema says Record"],
    ['Set<Inner>', [{ n: 1 }, { n: 'x' }], "'a15[].n' is a string, the schema says Long"],
  ])('%s', (type, given, problem) => {
    expect(problemOf(TYPES.indexOf(type as (typeof TYPES)[number]), given)).toBe(problem);
  });

  test('a type in words is as an author writes it', () => {
    const words = TYPES.map((_, at) => typeText(shape?.fields.get(`a${at}`)?.type ?? { kind: 'string' }));
    expect(words.slice(0, 14)).toEqual(TYPES.slice(0, 14));
  });
});
