import { type CedarEntity, type EntityUid, uidText } from './evaluation.ts';
import type { Problem } from './errors.ts';
import { holdsUnknown } from './policy-limits.ts';
import type { SourceText } from './policy-source.ts';
import type { SchemaShapes } from './schema-shape.ts';

const MAX_ENTITIES = 100_000;
const MAX_ANCESTORS = 64;

/**
 * Reads the static entities of policy sets (Cedar's entities JSON format). Adds problems for text that is not JSON, repeated or
 * unknown entities, and parent chains so long that every decision over them would be slow.
 */
export function readStaticEntities(
  sources: readonly SourceText[],
  shapes: SchemaShapes,
  problems: Problem[],
): Map<string, CedarEntity> {
  const entities = new Map<string, CedarEntity>();
  for (const source of sources) {
    for (const entity of parse(source, problems)) {
      const uid = uidText(entity.uid);
      if (!shapes.entities.has(entity.uid.type))
        problems.push({
          where: source.file,
          message: `${uid} is of a type that the schema does not declare`,
        });
      if (holdsUnknown(entity))
        problems.push({
          where: source.file,
          message: `${uid} holds a call of 'unknown', which is not taken here`,
        });
      if (entities.has(uid))
        problems.push({ where: source.file, message: `${uid} is defined more than once` });
      entities.set(uid, entity);
    }
  }
  if (entities.size > MAX_ENTITIES)
    problems.push({ where: 'entities.json', message: `more than ${MAX_ENTITIES} static entities` });
  for (const [uid] of entities) {
    if (ancestorCount(uid, entities) > MAX_ANCESTORS) {
      problems.push({ where: 'entities.json', message: `${uid} has more than ${MAX_ANCESTORS} ancestors` });
    }
  }
  return entities;
}

function ancestorCount(uid: string, entities: ReadonlyMap<string, CedarEntity>): number {
  const seen = new Set<string>();
  const open = [uid];
  for (let at = open.pop(); at !== undefined && seen.size <= MAX_ANCESTORS + 1; at = open.pop()) {
    for (const parent of entities.get(at)?.parents ?? []) {
      const text = uidText(parent);
      if (!seen.has(text)) open.push(text);
      seen.add(text);
    }
  }
  return seen.size;
}

function parse(source: SourceText, problems: Problem[]): CedarEntity[] {
  let json: unknown;
  try {
    json = JSON.parse(source.text);
  } catch (error) {
    problems.push({ where: source.file, message: `is not JSON: ${(error as Error).message}` });
    return [];
  }
  if (!Array.isArray(json)) {
    problems.push({ where: source.file, message: 'must be a JSON array of entities {uid, attrs, parents}' });
    return [];
  }
  return json.flatMap((item: unknown, index) => {
    const entity = entityOf(item);
    if (!entity)
      problems.push({
        where: `${source.file}[${index}]`,
        message: 'must be {uid: {type, id}, attrs: {…}, parents: [{type, id}, …]}',
      });
    return entity ? [entity] : [];
  });
}

function entityOf(item: unknown): CedarEntity | undefined {
  if (typeof item !== 'object' || item === null) return undefined;
  const { uid, attrs = {}, parents = [], tags } = item as { [key: string]: unknown };
  const own = uidOf(uid);
  if (!own || typeof attrs !== 'object' || attrs === null || !Array.isArray(parents)) return undefined;
  const parentUids = parents.map(uidOf);
  if (!parentUids.every((parent) => parent !== undefined)) return undefined;
  return {
    uid: own,
    attrs: attrs as CedarEntity['attrs'],
    parents: parentUids,
    ...(typeof tags === 'object' && tags !== null && { tags: tags as CedarEntity['attrs'] }),
  };
}

function uidOf(value: unknown): EntityUid | undefined {
  const plain = (value as { __entity?: unknown } | null)?.__entity ?? value;
  const { type, id } = (plain ?? {}) as { type?: unknown; id?: unknown };
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}
