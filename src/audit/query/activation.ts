import type { LogRecord } from '../read/decision-record.ts';
import { logSegments } from '../read/log-folder.ts';
import { recordsIn } from './scan.ts';

const NEEDLE = Buffer.from('"kind":"policy_activated"');

/** The record of how a policy set came into force that was in force at an index: the last one before it. `undefined`: the log has none. */
export async function activationOf(
  dir: string,
  digest: string,
  index: number,
): Promise<LogRecord | undefined> {
  const segments = logSegments(dir).filter(({ firstIndex }) => firstIndex < index);
  // A segment that cannot be read is none of this decision's: others may still say it.
  for (const segment of segments.toReversed()) {
    let last: LogRecord | undefined;
    for await (const { record } of recordsIn(segment, { onProblem: () => undefined }, NEEDLE)) {
      const before = typeof record['index'] === 'number' && record['index'] < index;
      if (before && record['kind'] === 'policy_activated' && record['digest'] === digest) last = record;
    }
    if (last) return last;
  }
  return undefined;
}
