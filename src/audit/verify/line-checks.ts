import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import type { AccessLogCheck } from './access-log.ts';
import type { BlobCheck } from './blob-check.ts';
import type { Findings, Place } from './findings.ts';
import type { Heads } from './head-check.ts';
import type { LeafCheck } from './leaf-check.ts';
import type { MissingRanges } from './missing-ranges.ts';
import type { RecordCheck } from './record-check.ts';
import type { RunCheck } from './run-check.ts';

/** What is known of a log before its lines are read. */
export interface Known {
  readonly heads: Heads;
  /** Whether a process is writing it. */
  readonly alive: boolean;
  readonly findings: Findings;
}

/** The checks that every line goes to. */
export interface Checks {
  readonly leaves: LeafCheck;
  readonly records: RecordCheck;
  readonly runs: RunCheck;
  readonly blobs: BlobCheck;
  readonly missing: MissingRanges;
  readonly accessLog: AccessLogCheck | undefined;
}

/** Hands each line of a log, in order, to the checks. */
export class LineChecks {
  readonly #checks: Checks;
  readonly #known: Known;
  /** Lines that were looked at. */
  lines = 0;
  /** Those after the newest checkpoint. */
  unsealed = 0;

  constructor(checks: Checks, known: Known) {
    this.#checks = checks;
    this.#known = known;
  }

  /** One whole line. */
  line(line: Buffer, place: Place): void {
    const record = parseRecord(line);
    const index = record?.['index'];
    const { leaves, records } = this.#checks;
    const due = records.next;
    const sealed = leaves.line(line, typeof index === 'number' ? index : undefined, place);
    if (!sealed) this.#beyond(index, due, place);
    records.record(record, place);
    if (record) this.#record(record, sealed, place);
    this.lines += 1;
  }

  /** Nobody has signed the lines after the checkpoint; those that are there twice or in the wrong place are wrong all the same. */
  #beyond(index: unknown, due: number, place: Place): void {
    this.unsealed += 1;
    if (this.#known.heads.newest && index !== due)
      this.#known.findings.add(
        'integrity',
        'failed',
        `a line that is not the record ${due}: it was put in, or is out of place`,
        place,
      );
  }

  #record(record: LogRecord, sealed: boolean, place: Place): void {
    const { runs, blobs, accessLog } = this.#checks;
    runs.record(record, place);
    blobs.record(record, place);
    accessLog?.record(record, place);
    if (record['kind'] === 'pruned') this.#pruned(record, sealed);
  }

  /** Only what was signed excuses what is missing, as retention waits for that; in a log that is being written, also what was signed since. */
  #pruned(record: LogRecord, sealed: boolean): void {
    const { to } = record;
    const { alive, heads } = this.#known;
    const excused = sealed || alive || heads.newest === undefined;
    if (excused && typeof to === 'number') this.#checks.missing.pruned(to + 1);
  }

  /** A line without its end, in the last segment or not. It is no record: it is only what is left of a write that did not succeed, at the end of the log. */
  torn(last: boolean, place: Place): void {
    const { findings, alive } = this.#known;
    if (last && (alive || !this.#checks.runs.closed))
      findings.add('completeness', 'note', 'the last line is not finished', place);
    else {
      findings.add(
        'completeness',
        'failed',
        last ? 'the last line is not finished' : 'the segment ends in half a line',
        place,
      );
      findings.add('integrity', 'failed', 'half a line, which no writer leaves here', place);
    }
  }
}
