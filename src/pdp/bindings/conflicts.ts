import { isRefusal } from '../decision.ts';
import { type Problem, problemText } from '../errors.ts';
import type { Binding, BindingFacts } from './binding.ts';
import { type Condition, overlap } from './conditions.ts';
import type { PathPattern } from './path-pattern.ts';
import { buildLeaf, rivals } from './leaf.ts';
import { isMoreSpecific } from './specificity.ts';
import { type Trie, buildTrie, findBinding } from './trie.ts';

/**
 * Leaves out, with a problem told for each, bindings that can match the same request as an earlier one without either being more
 * specific, and bindings that can never match because more specific ones take all their requests.
 */
export function withoutConflicts(bindings: readonly Binding[], problems: Problem[]): Binding[] {
  const distinct = withoutAmbiguous(bindings, problems);
  const trie = buildTrie(distinct);
  const deepest = Math.max(0, ...distinct.map(({ pattern }) => pattern.parts.length));
  return distinct.filter((binding) => {
    const takers = takersOf(binding, trie, deepest);
    if (!takers) return true;
    const names = takers.map(nameAndPlace).sort().join(', ');
    const message = `binding '${binding.id}' can never match: ${names} take${takers.length === 1 ? 's' : ''} all its requests`;
    problems.push({ ...binding.position, message });
    return false;
  });
}

function withoutAmbiguous(bindings: readonly Binding[], problems: Problem[]): Binding[] {
  const groups = Map.groupBy(bindings, (binding) => binding.pattern.key);
  const leaves = new Map([...groups].map(([key, group]) => [key, buildLeaf(group)]));
  const accepted = new Set<Binding>();
  for (const binding of bindings) {
    const leaf = leaves.get(binding.pattern.key);
    const rival =
      leaf && rivals(leaf, binding).find((other) => accepted.has(other) && isTied(binding, other));
    if (!rival) accepted.add(binding);
    else {
      const message = `binding '${binding.id}' and ${nameAndPlace(rival)} can match the same request and neither is more specific; give one of them another condition`;
      problems.push({ ...binding.position, message });
    }
  }
  return [...accepted];
}

function isTied(one: Binding, other: Binding): boolean {
  return (
    overlap(one.conditions, other.conditions) && !isMoreSpecific(one, other) && !isMoreSpecific(other, one)
  );
}

function nameAndPlace({ id, position }: Binding): string {
  return `'${id}' (${problemText({ ...position, message: '' }).slice(0, -2)})`;
}

// Stands for any value that no binding names. It occurs in no canonical path, host or method.
const FRESH = '\0';
const MAX_WITNESSES = 10_000;

/**
 * The bindings that take every request of `binding`; `undefined` where it has some left.
 *
 * It suffices to look at witnesses: where others take a request made of values that nobody names, they do so by captures, wildcards
 * and absent conditions, which take all values alike.
 */
function takersOf(binding: Binding, trie: Trie, deepest: number): readonly Binding[] | undefined {
  const takers = new Set<Binding>();
  let left = MAX_WITNESSES;
  for (const segments of witnessPaths(binding.pattern, deepest)) {
    for (const values of combinations(binding.conditions)) {
      const found = findBinding(trie, segments, witnessFacts(values));
      // Running out of patience is no proof: a binding too many does no harm.
      if (found === binding || (left -= 1) === 0) return undefined;
      if (found && !isRefusal(found)) takers.add(found);
    }
  }
  return [...takers];
}

function* witnessPaths({ parts }: PathPattern, deepest: number): Generator<readonly string[]> {
  const start = parts.flatMap((part) =>
    part.kind === 'rest' ? [] : [part.kind === 'literal' ? part.text : FRESH],
  );
  if (start.length === parts.length) yield start;
  else {
    // Beyond the deepest pattern only other rests match, and those match every length from there on.
    for (let more = 0; start.length + more <= deepest; more += 1) {
      const longer = [...start, ...Array.from({ length: more }, () => FRESH)];
      yield [...longer, FRESH];
      yield [...longer, ''];
    }
  }
}

function* combinations(conditions: readonly Condition[]): Generator<ReadonlyMap<string, string>> {
  const [first, ...others] = conditions;
  if (!first) return yield new Map();
  const values = [...first.values, ...first.suffixes.map((suffix) => FRESH + suffix)];
  for (const value of first.present ? [FRESH] : values) {
    for (const rest of combinations(others)) yield new Map(rest).set(`${first.fact} ${first.name}`, value);
  }
}

function witnessFacts(values: ReadonlyMap<string, string>): BindingFacts {
  const headerOf = (name: string) => values.get(`header ${name}`);
  return {
    method: values.get('method ') ?? FRESH,
    path: '',
    host: values.get('host ') ?? FRESH,
    service: values.get('service '),
    header: (name) => [headerOf(name)].filter((value) => value !== undefined),
    extension: (name) => values.get(`extension ${name}`),
  };
}
