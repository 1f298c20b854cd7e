import type { LogRecord } from '../read/decision-record.ts';
import type { ControlKind } from '../record/control-record.ts';
import { RECORD_VERSION } from '../record/record.ts';
import { type Findings, type Place, rangeText } from './findings.ts';
import type { MissingRanges } from './missing-ranges.ts';

/** Every kind of record that is known. */
const KINDS: Readonly<Record<ControlKind | 'decision', true>> = {
  decision: true,
  boot: true,
  shutdown: true,
  recovered: true,
  gap: true,
  heartbeat: true,
  config_changed: true,
  key_rotated: true,
  pruned: true,
  erased: true,
  log_read: true,
  replay_run: true,
  policy_activated: true,
  search: true,
  revocation_changed: true,
  revocation_change_unconfirmed: true,
  security_event: true,
  security_event_unconfirmed: true,
  grant_changed: true,
  grant_change_unconfirmed: true,
};

/** Whether the records follow one another without a gap, are of one log, and of a form that is known. */
export class RecordCheck {
  readonly #findings: Findings;
  readonly #missing: MissingRanges;
  readonly #byKind = new Map<string, number>();
  #records = 0;
  #first: number | undefined;
  /** Index that the next record must have. */
  #next = 0;
  #log: unknown;

  constructor(findings: Findings, missing: MissingRanges) {
    this.#findings = findings;
    this.#missing = missing;
  }

  /** Lines that are records. */
  get records(): number {
    return this.#records;
  }

  /** Name of the log, as its first record says. */
  get log(): string | undefined {
    return typeof this.#log === 'string' ? this.#log : undefined;
  }

  get byKind(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#byKind);
  }

  /** Indexes of the first and the last record; empty in an empty log. */
  get range(): { readonly firstIndex?: number; readonly lastIndex?: number } {
    return this.#first === undefined ? {} : { firstIndex: this.#first, lastIndex: this.#next - 1 };
  }

  /** Index that the next record must have. */
  get next(): number {
    return this.#next;
  }

  segmentBegins(firstIndex: number, place: Place): void {
    if (firstIndex === this.#next) return;
    const message = (what: string) => `the segment begins at ${firstIndex}: ${what}`;
    if (firstIndex > this.#next) this.#gap(firstIndex, message, place);
    else this.#findings.add('completeness', 'failed', message('repeated or out of order'), place);
    this.#next = firstIndex;
  }

  /** One whole line. */
  record(record: LogRecord | undefined, place: Place): void {
    if (record === undefined) {
      this.#findings.add('completeness', 'failed', 'the line is not a JSON object', place);
      this.#next += 1;
      return;
    }
    this.#records += 1;
    this.#form(record, place);
    this.#index(record, place);
  }

  /** No line follows: the records below `sealed` must all have come. */
  end(sealed: number, place: Place): void {
    if (this.#next < sealed) this.#gap(sealed, (what) => `the log ends too early: ${what}`, place);
  }

  #form({ v, log, kind, decision_id: id }: LogRecord, place: Place): void {
    const fail = (message: string) => this.#findings.add('completeness', 'failed', message, place);
    if (v !== RECORD_VERSION) fail(`unknown record version ${shown(v)}`);
    this.#log ??= log;
    if (log !== this.#log) fail(`a record of another log: ${shown(log)}`);
    const known = typeof kind === 'string' && Object.hasOwn(KINDS, kind);
    if (kind === 'decision' && typeof id !== 'string') fail('the decision has no id');
    if (!known) fail(`unknown kind of record ${shown(kind)}`);
    const counted = known ? kind : 'unknown';
    this.#byKind.set(counted, (this.#byKind.get(counted) ?? 0) + 1);
  }

  #index({ index }: LogRecord, place: Place): void {
    if (typeof index !== 'number' || !Number.isSafeInteger(index)) {
      this.#findings.add('completeness', 'failed', 'the record has no index', place);
      this.#next += 1;
      return;
    }
    const message = (what: string) => `index ${index} where ${this.#next} was due: ${what}`;
    if (index > this.#next) this.#gap(index, message, place);
    else if (index < this.#next)
      this.#findings.add('completeness', 'failed', message('repeated or out of order'), place);
    this.#first ??= index;
    this.#next = index + 1;
  }

  #gap(end: number, message: (what: string) => string, place: Place): void {
    const what = `${rangeText(this.#next, end)} ${end === this.#next + 1 ? 'is' : 'are'} missing`;
    this.#missing.add('completeness', end, message(what), place);
  }
}

/** A value of a line, short. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none';
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
