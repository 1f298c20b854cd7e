import type { Binding } from './binding.ts';
import { type Condition, implies } from './conditions.ts';

/**
 * Whether `one` is more specific than `other`, a binding with the same path pattern: it has more further conditions (method,
 * host, service, each header and each extension count one; a gRPC method counts as a method), or at the same number its
 * conditions imply the other's, as `method: GET` implies `method: [GET, POST]`, an exact host the wildcard that covers it and a
 * header's value its presence.
 *
 * Between different path patterns, the first segment that differs decides: a literal beats a capture beats `/**`. This is a strict
 * partial order: where two bindings can match the same request and neither is more specific, they are refused.
 */
export function isMoreSpecific(one: Binding, other: Binding): boolean {
  const more = one.conditions.length - other.conditions.length;
  if (more !== 0) return more > 0;
  return implies(one.conditions, other.conditions) && !implies(other.conditions, one.conditions);
}

/** Bindings with the same path pattern, so that each stands before all that it is more specific than. */
export function bySpecificity(bindings: readonly Binding[]): Binding[] {
  const keyed = bindings.map((binding) => ({
    binding,
    facts: binding.conditions.map(({ fact, name }) => `${fact} ${name}`).join('\n'),
    breadths: binding.conditions.map(breadthOf),
  }));
  keyed.sort((one, other) => {
    const more = other.binding.conditions.length - one.binding.conditions.length;
    if (more !== 0) return more;
    // Only conditions on the same facts can imply one another; the order of others is of no consequence.
    if (one.facts !== other.facts) return one.facts < other.facts ? -1 : 1;
    for (const [index, breadth] of one.breadths.entries()) {
      const wider = compareBreadths(breadth, other.breadths[index] ?? []);
      if (wider !== 0) return wider;
    }
    return 0;
  });
  return keyed.map(({ binding }) => binding);
}

/** A number for each thing that a condition accepts, widest first: 0 for anything, a wildcard's length, infinity for one value. */
function breadthOf({ present, suffixes, values }: Condition): readonly number[] {
  if (present) return [0];
  const lengths = suffixes.map((suffix) => suffix.length).sort((one, other) => one - other);
  return [...lengths, ...Array.from(values, () => Number.POSITIVE_INFINITY)];
}

/**
 * Positive where `one` is wider. If a condition implies another one, which covers nothing twice, then up to the first difference both
 * have the same wildcards, and there the other has a shorter or a further one: so what is implied is always wider.
 */
function compareBreadths(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((breadth, index) => breadth !== other[index]);
  if (at === -1) return one.length === other.length ? 0 : -1;
  return (one[at] ?? 0) < (other[at] ?? Number.POSITIVE_INFINITY) || at >= other.length ? 1 : -1;
}
