import { type LogRecord, parseRecord } from '../read/decision-record.ts';

/** Kinds of records that the sealer asks for, and looks for among those that it reads. */
const ASKED = /^\{"v":1,"kind":"(?:pruned|key_rotated|log_read|replay_run|erased)"/;

/** A record that the sealer may have asked for; `undefined` for any other line. */
export function askedRecord(line: Buffer): LogRecord | undefined {
  return ASKED.test(line.toString('latin1', 0, 40)) ? parseRecord(line) : undefined;
}
