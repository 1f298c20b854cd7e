import type { Reads } from './policy-snapshot.ts';
import { uidText } from './evaluation.ts';

/** {@link Reads} while they are being collected, with the entities that conditions name. */
export interface ReadsCollector {
  readonly contextKeys: Set<string>;
  readonly attributes: Set<string>;
  readonly wholeAttributes: Set<string>;
  readonly entityTypes: Set<string>;
  /** `Type::"id"` of entities named in conditions: policies may read their attributes. */
  readonly literals: Set<string>;
  /** Set where a policy uses `context` as a whole. */
  wholeContext: boolean;
}

/** An empty collector. */
export function createReadsCollector(): ReadsCollector {
  return {
    contextKeys: new Set(),
    attributes: new Set(),
    wholeAttributes: new Set(),
    entityTypes: new Set(),
    literals: new Set(),
    wholeContext: false,
  };
}

/**
 * Adds what one policy (Cedar's JSON policy format) can read. Over-approximates, never under: names are collected wherever they
 * occur, whatever they hang on.
 */
export function collectReads(policy: object, into: ReadsCollector): void {
  const {
    conditions,
    annotations: _annotations,
    ...scope
  } = policy as { conditions?: unknown; annotations?: unknown };
  walk(scope, into, false);
  walk(conditions, into, true);
}

/** The finished reads; `allContextKeys` stands in where a policy uses the context as a whole. */
export function finishReads(collector: ReadsCollector, allContextKeys: Iterable<string>): Reads {
  const contextKeys = collector.wholeContext
    ? new Set([...collector.contextKeys, ...allContextKeys])
    : collector.contextKeys;
  const { attributes, wholeAttributes, entityTypes } = collector;
  return { contextKeys, attributes, wholeAttributes, entityTypes };
}

type Node = { readonly [key: string]: unknown };

function walk(value: unknown, into: ReadsCollector, inCondition: boolean): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, into, inCondition);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const node = value as Node;
  if (collectEntity(node, into, inCondition)) return;
  if (node['Var'] === 'context') into.wholeContext = true;
  if (typeof node['entity_type'] === 'string') into.entityTypes.add(node['entity_type']);
  for (const [key, child] of Object.entries(node)) {
    if (key === '.' || key === 'has') collectAccess(child as Node, into, key === '.');
    else walk(child, into, inCondition);
  }
}

function collectEntity(node: Node, into: ReadsCollector, inCondition: boolean): boolean {
  const uid = (node['__entity'] ?? node) as { type?: unknown; id?: unknown };
  if (typeof uid.type !== 'string' || typeof uid.id !== 'string') return false;
  into.entityTypes.add(uid.type);
  if (inCondition) into.literals.add(uidText({ type: uid.type, id: uid.id }));
  return true;
}

/** `left.attr`, `left has attr` or `left has a.b.c`. `whole`: nothing is read of the value but the value itself. */
function collectAccess(access: Node, into: ReadsCollector, whole: boolean): void {
  const names = (Array.isArray(access['attr']) ? access['attr'] : [access['attr']]) as string[];
  for (const name of names) into.attributes.add(name);
  if (whole) into.wholeAttributes.add(names.at(-1) ?? '');
  const left = access['left'] as Node;
  if (left['Var'] === 'context') into.contextKeys.add(names[0] ?? '');
  else if ('.' in left) collectAccess(left['.'] as Node, into, false);
  else walk(left, into, true);
}
