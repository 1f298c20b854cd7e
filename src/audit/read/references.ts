import { isRecord } from '../../pdp/external-json.ts';
import { type LogRecord, parseRecord } from './decision-record.ts';

/**
 * Digests of the blobs that a record itself refers to: what evaluating it again needs, and what it keeps apart. An answer that was reused
 * refers only to what it keeps apart: the decision that it reuses has the rest.
 */
export function blobReferences(record: LogRecord): readonly string[] {
  if (record['kind'] !== 'decision') return [];
  const { context, entities, question, withheld, snapshot } = record;
  const slice: readonly unknown[] = Array.isArray(entities) ? entities : [];
  const policies = Array.isArray(entities) || typeof question === 'string' ? [snapshot] : [];
  const digests = [context, question, withheld, ...policies, ...slice];
  return digests.filter((digest): digest is string => typeof digest === 'string');
}

/** Digests of the entities that a question keeps in its own blob, where the line had no room for them. */
export function questionReferences(payload: Buffer): readonly string[] {
  if (!payload.subarray(0, QUESTION.length).equals(QUESTION)) return [];
  const value = parseRecord(payload)?.['value'];
  const entities: unknown = isRecord(value) ? value['entities'] : undefined;
  return Array.isArray(entities) ? entities.filter((digest) => typeof digest === 'string') : [];
}

const QUESTION = Buffer.from('{"kind":"question"');
