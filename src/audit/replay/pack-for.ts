import { isRecord } from '../../pdp/external-json.ts';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import type { LineSource } from '../read/line-reader.ts';
import { type Pack, loadPack } from '../read/pack.ts';

/** Of a pack only what some records refer to, so that a few records do not cost the memory of all. */
export async function packFor(source: LineSource | undefined, records: readonly LogRecord[]): Promise<Pack> {
  const wanted = new Set(records.flatMap(digestsIn));
  if (wanted.size === 0) return new Map();
  const pack = await loadPack(source, wanted);
  // A question that is not in the line may say itself which entities it had.
  const apart = records.flatMap(({ question }) => entitiesApart(question, pack));
  return apart.length === 0 ? pack : await loadPack(source, new Set([...wanted, ...apart]));
}

function digestsIn({ snapshot, question, context, entities }: LogRecord): string[] {
  return [snapshot, question, context, ...(Array.isArray(entities) ? entities : [])].filter(
    (digest) => typeof digest === 'string',
  );
}

function entitiesApart(question: unknown, pack: Pack): string[] {
  const payload = typeof question === 'string' ? pack.get(question) : undefined;
  const value = payload && parseRecord(payload)?.['value'];
  const entities = isRecord(value) ? value['entities'] : undefined;
  return Array.isArray(entities) ? entities.filter((digest) => typeof digest === 'string') : [];
}
