import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import { leafHash } from '../tlog/hash.ts';
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

/** A record after the newest checkpoint that says why something is not there. */
export interface Claim {
  readonly record: LogRecord;
  readonly index: number;
  readonly leaf: Uint8Array;
  readonly place: Place;
}

/** Far more than are ever written between two checkpoints. */
const MAX_CLAIMS = 1000;

/** Hands each line of a log, in order, to the checks. */
export class LineChecks {
  readonly #checks: Checks;
  readonly #known: Known;
  /** Lines that were looked at. */
  lines = 0;
  /** Those after the newest checkpoint. */
  unsealed = 0;
  /** Unix ms that the youngest of those says; 0: none. */
  youngest = 0;
  /** What those say that would excuse something, as far as it was signed meanwhile. */
  readonly claims: Claim[] = [];

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
    if (record) this.#record(record, place);
    if (record && !sealed) this.#unsigned(record, line, place);
    if (record && (sealed || !this.#known.heads.newest)) this.excuse(record);
    this.lines += 1;
  }

  /** Takes what a record says that excuses something that is missing or erased. Only what was signed may: anybody can put a line at the end. */
  excuse(record: LogRecord): void {
    const { kind, to } = record;
    if (kind === 'pruned' && typeof to === 'number') this.#checks.missing.pruned(to + 1);
    if (kind === 'erased') this.#checks.blobs.erasure(record);
  }

  #unsigned(record: LogRecord, line: Buffer, place: Place): void {
    const { kind, index, timestamp } = record;
    const time = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
    if (time > this.youngest) this.youngest = time;
    const excuses = kind === 'pruned' || kind === 'erased';
    if (excuses && typeof index === 'number' && this.claims.length < MAX_CLAIMS)
      this.claims.push({ record, index, leaf: leafHash(line), place });
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

  #record(record: LogRecord, place: Place): void {
    const { runs, blobs, accessLog } = this.#checks;
    runs.record(record, place);
    blobs.record(record, place);
    accessLog?.record(record, place);
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
