import { parseRecord } from '../read/decision-record.ts';
import { RECORD_VERSION } from '../record/record.ts';
import { leafHash } from '../tlog/hash.ts';
import type { LogLine } from './sink.ts';

/**
 * What stands for a line that is longer than the receiver takes: which one it is, how long it is, and its leaf hash, by which the log proves
 * what it says.
 */
export function stubLine(log: string, { index, bytes }: LogLine): LogLine {
  const record = parseRecord(bytes);
  const kind = typeof record?.['kind'] === 'string' ? record['kind'].slice(0, 64) : 'unknown';
  const leaf_hash = leafHash(bytes).toString('base64');
  const stub = { v: RECORD_VERSION, kind, log, index, oversized: true, bytes: bytes.length, leaf_hash };
  return { index, bytes: Buffer.from(JSON.stringify(stub)) };
}
