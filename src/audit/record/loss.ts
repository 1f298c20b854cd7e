import { timestampText } from './json-value.ts';

/** Records that did not get into the log since the last one that did. */
export interface Loss {
  readonly count: number;
  /** Short names of what went wrong. */
  readonly reasons: ReadonlySet<string>;
  /** Unix ms of the first failure. */
  readonly since: number;
}

/** An outage that has lost nothing so far. */
export function noLoss(now: number): Loss {
  return { count: 0, reasons: new Set(), since: now };
}

/** The loss after `count` more records. */
export function addLoss(loss: Loss, count: number, error: Error): Loss {
  return { ...loss, count: loss.count + count, reasons: new Set([...loss.reasons, reasonOf(error)]) };
}

/** What a `gap` record says of a loss. */
export function lossFields({ count, reasons, since }: Loss): string {
  return `"count":${count},"reason":${JSON.stringify([...reasons].sort().join(','))},"since":"${timestampText(since)}"`;
}

/** The system's error code where there is one, else the short name that the writer gave as the cause. */
function reasonOf(error: Error): string {
  if (typeof error.cause === 'string') return error.cause;
  return 'code' in error && typeof error.code === 'string' ? error.code : 'error';
}
