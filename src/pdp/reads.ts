import type { Reads } from './policy-snapshot.ts';
import { type CedarEntity, uidText } from './evaluation.ts';

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
  /** Set where a policy asks `in` something that is not written out: any type may then be the ancestor. */
  anyAncestor: boolean;
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
    anyAncestor: false,
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

/**
 * The finished reads; the schema's context keys and entity types stand in where policies may read any of them. A type whose
 * static entities lie below a type that is named matters like that type: through them a party may be in what is named.
 */
export function finishReads(
  collector: ReadsCollector,
  schema: { readonly contextKeys: Iterable<string>; readonly entityTypes: Iterable<string> },
  entities: Iterable<CedarEntity>,
): Reads {
  const { attributes, wholeContext, anyAncestor } = collector;
  const contextKeys = wholeContext ? schema.contextKeys : [];
  return {
    attributes,
    contextKeys: new Set([...collector.contextKeys, ...contextKeys]),
    wholeAttributes: new Set([...collector.wholeAttributes, ...contextKeys]),
    entityTypes: anyAncestor
      ? new Set([...collector.entityTypes, ...schema.entityTypes])
      : withTypesBelow(collector.entityTypes, [...entities]),
  };
}

function withTypesBelow(named: ReadonlySet<string>, entities: readonly CedarEntity[]): Set<string> {
  const types = new Set(named);
  for (let before = -1; before !== types.size;) {
    before = types.size;
    for (const { uid, parents } of entities) {
      if (parents.some((parent) => types.has(parent.type))) types.add(uid.type);
    }
  }
  return types;
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
    // The keys of a record literal are an author's words, not Cedar's.
    else if (key === 'Record') walk(Object.values(child as Node), into, inCondition);
    else walk(child, into, inCondition);
    if (key === 'in' && inCondition && !isWrittenOut(child as Node)) into.anyAncestor = true;
  }
}

/** Whether the right side of an `in` (of `left in right`, or of `left is T in right`) is an entity literal or a set of them. */
function isWrittenOut(node: Node): boolean {
  const target = (node['right'] ?? node) as Node;
  const members = (target['Set'] ?? [target]) as readonly Node[];
  return members.every((member) => (member['Value'] as Node | undefined)?.['__entity'] !== undefined);
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
