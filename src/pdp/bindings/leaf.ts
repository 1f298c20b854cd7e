import type { Binding, BindingFacts } from './binding.ts';
import type { Condition } from './conditions.ts';
import { bySpecificity } from './specificity.ts';

/** Bindings with the same path pattern, most specific first, parted by the fact that parts them best. */
export interface Leaf {
  readonly by: Pick<Condition, 'fact' | 'name'>;
  readonly byValue: ReadonlyMap<string, readonly Binding[]>;
  /** Those that a value without a list of its own can meet. */
  readonly otherwise: readonly Binding[];
  readonly all: readonly Binding[];
}

/** Orders and parts bindings with the same path pattern. */
export function buildLeaf(group: readonly Binding[]): Leaf {
  const bindings = bySpecificity(group);
  const conditions = bindings.flatMap((binding) => binding.conditions);
  const facts = new Map(conditions.map((condition) => [`${condition.fact} ${condition.name}`, condition]));
  const whole: Leaf = {
    by: { fact: 'method', name: '' },
    byValue: new Map(),
    otherwise: bindings,
    all: bindings,
  };
  if (bindings.length < 3) return whole;
  const leaves = [...facts.values()].map((condition) => partBy(condition, bindings));
  return leaves.reduce((best, leaf) => (longest(leaf) < longest(best) ? leaf : best), whole);
}

/** The bindings of a leaf that a request can meet, and maybe some that it cannot; most specific first. */
export function candidates({ by, byValue, otherwise, all }: Leaf, facts: BindingFacts): readonly Binding[] {
  if (by.fact === 'header') {
    const values = facts.header(by.name);
    // Several values are for `meets` to refuse.
    if (values.length > 1) return all;
    return byValue.get(values[0] ?? '') ?? otherwise;
  }
  const value = by.fact === 'extension' ? facts.extension(by.name) : facts[by.fact];
  return byValue.get(value ?? '') ?? otherwise;
}

/** The bindings of a leaf that can match a request together with `binding`, and maybe some that cannot. */
export function* rivals(leaf: Leaf, binding: Binding): Generator<Binding> {
  const values = exactValues(conditionOn(leaf.by, binding));
  if (!values) yield* leaf.all;
  else for (const value of values) yield* leaf.byValue.get(value) ?? leaf.otherwise;
}

function conditionOn({ fact, name }: Leaf['by'], binding: Binding): Condition | undefined {
  return binding.conditions.find((condition) => condition.fact === fact && condition.name === name);
}

/** The exact values that a condition is limited to; `undefined` where it accepts others too. */
function exactValues(condition: Condition | undefined): ReadonlySet<string> | undefined {
  return condition === undefined || condition.present || condition.suffixes.length > 0
    ? undefined
    : condition.values;
}

function partBy({ fact, name }: Condition, bindings: readonly Binding[]): Leaf {
  const by = { fact, name };
  const pairs = bindings.map((binding) => ({ binding, condition: conditionOn(by, binding) }));
  const otherwise: Binding[] = [];
  const byValue = new Map<string, Binding[]>();
  for (const { condition } of pairs) for (const value of condition?.values ?? []) byValue.set(value, []);
  for (const { binding, condition } of pairs) {
    // An open binding goes into every list: `meets` has the last word.
    const values = exactValues(condition);
    if (!values) otherwise.push(binding);
    for (const value of values ?? byValue.keys()) byValue.get(value)?.push(binding);
  }
  return { by, byValue, otherwise, all: bindings };
}

function longest({ byValue, otherwise }: Leaf): number {
  return [...byValue.values()].reduce((most, { length }) => Math.max(most, length), otherwise.length);
}
