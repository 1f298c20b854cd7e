import { type Refusal, refuse } from '../decision.ts';
import type { Binding, BindingFacts } from './binding.ts';
import { meets } from './conditions.ts';
import { type Leaf, buildLeaf, candidates } from './leaf.ts';

/** Bindings by path segments. */
export interface Trie {
  readonly literals: Map<string, Trie>;
  capture?: Trie;
  /** Bindings whose path ends here. */
  end?: Leaf;
  /** Bindings whose path goes on with `**` from here. */
  rest?: Leaf;
}

/** Builds the trie of bindings that do not conflict. */
export function buildTrie(bindings: Iterable<Binding>): Trie {
  const root: Trie = { literals: new Map() };
  for (const group of Map.groupBy(bindings, (binding) => binding.pattern.key).values()) {
    const [first] = group;
    if (!first) continue;
    let node = root;
    for (const part of first.pattern.parts) {
      if (part.kind !== 'rest') node = childOf(node, part.kind === 'literal' ? part.text : undefined);
    }
    const leaf = buildLeaf(group);
    if (first.pattern.parts.at(-1)?.kind === 'rest') node.rest = leaf;
    else node.end = leaf;
  }
  return root;
}

/**
 * The most specific binding that a request meets; a refusal where a header that decides has several values.
 *
 * Where the conditions of a more specific path are not met, the next less specific one is tried. Each node is visited at most
 * once, so a request costs at most the size of the trie, whatever it holds.
 */
export function findBinding(
  node: Trie,
  segments: readonly string[],
  facts: BindingFacts,
  depth = 0,
): Binding | Refusal | undefined {
  const segment = segments[depth];
  if (segment === undefined) return node.end && pick(node.end, facts);
  const literal = node.literals.get(segment);
  const exact = literal && findBinding(literal, segments, facts, depth + 1);
  if (exact) return exact;
  const captured =
    node.capture && segment !== '' ? findBinding(node.capture, segments, facts, depth + 1) : undefined;
  return captured ?? (node.rest && pick(node.rest, facts));
}

function childOf(node: Trie, literal: string | undefined): Trie {
  const child = literal === undefined ? node.capture : node.literals.get(literal);
  if (child) return child;
  const created: Trie = { literals: new Map() };
  if (literal === undefined) node.capture = created;
  else node.literals.set(literal, created);
  return created;
}

function pick(leaf: Leaf, facts: BindingFacts): Binding | Refusal | undefined {
  for (const binding of candidates(leaf, facts)) {
    const result = meets(binding.conditions, facts);
    if (result === 'met') return binding;
    if (result !== 'unmet')
      return refuse('header_ambiguous', `'${result.ambiguous}' decides the binding and has several values`);
  }
  return undefined;
}
