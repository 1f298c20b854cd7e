import type { BindingFacts } from './binding.ts';

/** The facts that a binding can set conditions on, in the order in which they are looked at. */
export const CONDITION_FACTS = ['service', 'host', 'method', 'extension', 'header'] as const;

/** One further condition of a binding: the values that it accepts of one fact. */
export interface Condition {
  readonly fact: (typeof CONDITION_FACTS)[number];
  /** Name of the header or extension; empty for the others. */
  readonly name: string;
  /** Exact values accepted. */
  readonly values: ReadonlySet<string>;
  /** Accepted endings of hosts, each with its leading dot. Something must stand before it. */
  readonly suffixes: readonly string[];
  /** Any value is accepted, as long as there is one. */
  readonly present: boolean;
}

/** Whether a condition accepts a value; an absent one never. */
export function accepts(condition: Condition, value: string | undefined): boolean {
  if (value === undefined) return false;
  if (condition.present || condition.values.has(value)) return true;
  return condition.suffixes.some((suffix) => value.length > suffix.length && value.endsWith(suffix));
}

/**
 * Whether a request meets the conditions. `ambiguous`: all but a header with several values are met; which one the application
 * will read nobody knows (CVE-2021-32777), so the request must be refused rather than matched to something looser.
 */
export function meets(
  conditions: readonly Condition[],
  facts: BindingFacts,
): 'met' | 'unmet' | { readonly ambiguous: string } {
  let ambiguous: string | undefined;
  for (const condition of conditions) {
    const { fact, name } = condition;
    if (fact === 'header') {
      const values = facts.header(name);
      if (values.length > 1) ambiguous ??= name;
      else if (!accepts(condition, values[0])) return 'unmet';
    } else if (!accepts(condition, fact === 'extension' ? facts.extension(name) : facts[fact])) {
      return 'unmet';
    }
  }
  return ambiguous === undefined ? 'met' : { ambiguous };
}

/** Whether everything that meets `narrow` meets `wide` too. */
export function implies(narrow: readonly Condition[], wide: readonly Condition[]): boolean {
  return wide.every((outer) => {
    const inner = sameFact(narrow, outer);
    return inner !== undefined && isWithin(inner, outer);
  });
}

/** Whether some request can meet both. */
export function overlap(one: readonly Condition[], other: readonly Condition[]): boolean {
  return one.every((left) => {
    const right = sameFact(other, left);
    return right === undefined || haveCommonValue(left, right);
  });
}

function sameFact(conditions: readonly Condition[], { fact, name }: Condition): Condition | undefined {
  return conditions.find((condition) => condition.fact === fact && condition.name === name);
}

function isWithin(inner: Condition, outer: Condition): boolean {
  if (outer.present || inner.present) return outer.present;
  return (
    [...inner.values].every((value) => accepts(outer, value)) &&
    inner.suffixes.every((suffix) => outer.suffixes.some((wider) => suffix.endsWith(wider)))
  );
}

function haveCommonValue(left: Condition, right: Condition): boolean {
  if (left.present || right.present) return true;
  return (
    [...left.values].some((value) => accepts(right, value)) ||
    [...right.values].some((value) => accepts(left, value)) ||
    left.suffixes.some((one) => right.suffixes.some((two) => one.endsWith(two) || two.endsWith(one)))
  );
}
