import { readdirSync } from 'node:fs';
import { readLines } from '../log/line-reader.ts';
import { LogCheck, type VerifyReport } from './log-check.ts';
import { type Segment, segmentsOf } from '../log/segments.ts';

/** What to check beside the log itself. */
export interface VerifyOptions {
  /** Envoy access log in JSON lines with `decision_id` and `decision`. */
  readonly accessLog?: string;
  /** Told of progress now and then. */
  readonly onProgress?: (records: number) => void;
}

/** Checks a log directory, offline: streams every segment once. Rejects where the directory cannot be read. */
export async function verifyLog(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const check = new LogCheck(options.onProgress);
  const segments = segmentsOf(dir, readdirSync(dir));
  if (segments.length === 0) check.problem('failed', 'the directory holds no segment');
  for (const [position, segment] of segments.entries()) {
    await checkSegment(check, segment, position === segments.length - 1);
  }
  if (options.accessLog !== undefined) await reconcile(check, options.accessLog);
  return check.report(segments.length);
}

async function checkSegment(check: LogCheck, segment: Segment, last: boolean): Promise<void> {
  check.segmentBegins(segment);
  let number = 0;
  for await (const { lines, torn } of readLines(segment.path)) {
    for (const line of lines) {
      number += 1;
      if (!torn) check.line(line, segment.name, number);
      else
        check.problem(
          'failed',
          last ? 'the last line is not finished' : 'the segment ends in half a line',
          segment.name,
          number,
        );
    }
  }
}

async function reconcile(check: LogCheck, path: string): Promise<void> {
  let number = 0;
  for await (const { lines } of readLines(path)) {
    for (const line of lines) check.accessLine(line, path, (number += 1));
  }
}
