import { isRecord } from '../../pdp/external-json.ts';
import { RECORD_VERSION } from '../record/record.ts';
import type { Segment } from '../log/segments.ts';

/** Something that an auditor should know about a log. */
export interface LogProblem {
  /** `failed`: the log is not complete. `note`: worth knowing, and no loss. */
  readonly severity: 'failed' | 'note';
  readonly message: string;
  /** Segment or access log. */
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
}

/** What verification found. */
export interface VerifyReport {
  /** Whether every record is there, whole, once, and in order, and the log itself admits no loss. */
  readonly completeness: 'ok' | 'failed';
  /** Records are not signed yet: that nothing was changed cannot be said. */
  readonly integrity: 'not_checked';
  readonly records: number;
  readonly byKind: Readonly<Record<string, number>>;
  readonly segments: number;
  /** Indexes of the first and last record; absent in an empty log. */
  readonly firstIndex?: number;
  readonly lastIndex?: number;
  /** Records that the log says were lost. */
  readonly lost: number;
  /** Lines of the access log that were compared. */
  readonly reconciled: number;
  /** The first {@link MAX_PROBLEMS}. */
  readonly problems: readonly LogProblem[];
  readonly problemCount: number;
}

/** How many problems a report holds. */
export const MAX_PROBLEMS = 100;

type Json = Readonly<Record<string, unknown>>;

/** The state of a verification: what was seen so far, and what is wrong with it. */
export class LogCheck {
  #refusedByPep = 0;
  readonly #onProgress: ((records: number) => void) | undefined;
  readonly #decisions = new Map<string, unknown>();
  readonly #byKind = new Map<string, number>();
  readonly #problems: LogProblem[] = [];
  #problemCount = 0;
  #failed = false;
  #records = 0;
  #first: number | undefined;
  /** Index that the next record must have. */
  #next = 0;
  #log: unknown;
  #lost = 0;
  #reconciled = 0;

  constructor(onProgress: ((records: number) => void) | undefined) {
    this.#onProgress = onProgress;
  }

  problem(severity: LogProblem['severity'], message: string, file?: string, line?: number): void {
    this.#problemCount += 1;
    this.#failed ||= severity === 'failed';
    if (this.#problems.length >= MAX_PROBLEMS) return;
    this.#problems.push({
      severity,
      message,
      ...(file !== undefined && { file }),
      ...(line !== undefined && { line }),
    });
  }

  segmentBegins({ firstIndex, name }: Segment): void {
    if (firstIndex === this.#next) return;
    this.problem('failed', `the segment begins at ${firstIndex}: ${rangeText(this.#next, firstIndex)}`, name);
    this.#next = firstIndex;
  }

  /** Checks one whole line of a segment. */
  line(text: string, file: string, line: number): void {
    const record = parseObject(text);
    if (record === undefined) {
      this.problem('failed', 'the line is not a JSON object', file, line);
      this.#next += 1;
      return;
    }
    this.#records += 1;
    if (this.#records % 65_536 === 0) this.#onProgress?.(this.#records);
    this.#version(record, file, line);
    this.#index(record, file, line);
    this.#kind(record, file, line);
  }

  #version({ v, log }: Json, file: string, line: number): void {
    if (v !== RECORD_VERSION)
      this.problem('failed', `unknown record version ${JSON.stringify(v)}`, file, line);
    this.#log ??= log;
    if (log !== this.#log)
      this.problem('failed', `a record of another log: ${JSON.stringify(log)}`, file, line);
  }

  #index({ index }: Json, file: string, line: number): void {
    if (typeof index !== 'number' || !Number.isSafeInteger(index)) {
      this.problem('failed', 'the record has no index', file, line);
      this.#next += 1;
      return;
    }
    if (index !== this.#next) {
      const what = index > this.#next ? rangeText(this.#next, index) : 'repeated or out of order';
      this.problem('failed', `index ${index} where ${this.#next} was due: ${what}`, file, line);
    }
    this.#first ??= index;
    this.#next = index + 1;
  }

  #kind(record: Json, file: string, line: number): void {
    const kind = typeof record['kind'] === 'string' ? record['kind'] : 'unknown';
    this.#byKind.set(kind, (this.#byKind.get(kind) ?? 0) + 1);
    if (kind === 'decision') this.#decision(record, file, line);
    if (kind === 'gap') {
      this.#lost += Number.isSafeInteger(record['count']) ? Number(record['count']) : 0;
      this.problem(
        'failed',
        `${String(record['count'])} records were lost: ${String(record['reason'])}`,
        file,
        line,
      );
    }
    if (kind === 'policy_activated') this.#activation(record, file, line);
    if (kind === 'recovered') {
      const bytes = String(record['bytes_dropped']);
      this.problem('note', `${bytes} bytes of an unfinished record were cut off after a crash`, file, line);
    }
    if (kind === 'boot' && record['previous_run'] === 'unclean') {
      this.problem('note', 'the run before this one ended without a shutdown record', file, line);
    }
  }

  /** What was in force when is what a replay goes by. */
  #activation({ digest, slot, by }: Json, file: string, line: number): void {
    const named = [digest, slot, by].every((value) => typeof value === 'string' && value !== '');
    if (!named)
      this.problem('failed', 'the activation does not say of what, in which slot and how', file, line);
  }

  #decision(record: Json, file: string, line: number): void {
    const { decision_id: id, decision } = record;
    if (typeof id !== 'string') this.problem('failed', 'the decision has no id', file, line);
    else if (this.#decisions.has(id)) this.problem('failed', `decision ${id} is there twice`, file, line);
    else this.#decisions.set(id, decision);
  }

  /** Compares one line of the PEP's own log. */
  accessLine(text: string, file: string, line: number): void {
    if (text.trim() === '') return;
    this.#reconciled += 1;
    const entry = parseObject(text);
    const id = entry?.['decision_id'];
    if (entry === undefined) this.problem('failed', 'the line is not a JSON object', file, line);
    else if (typeof id !== 'string' || id === '' || id === '-') {
      this.#undecided(entry, file, line);
    } else if (!this.#decisions.has(id)) this.problem('failed', `decision ${id} has no record`, file, line);
    else this.#compare(id, entry['decision'], file, line);
  }

  /** A PEP also refuses requests without asking (no valid HTTP, nobody to ask). Only one that went on went past us. */
  #undecided(entry: Json, file: string, line: number): void {
    const details = entry['response_code_details'];
    if (typeof details === 'string' && details !== '' && details !== '-' && details !== 'via_upstream')
      this.#refusedByPep += 1;
    else this.problem('failed', 'a request was let through without a decision', file, line);
  }

  #compare(id: string, seen: unknown, file: string, line: number): void {
    const recorded = this.#decisions.get(id);
    if (typeof seen === 'string' && seen.toUpperCase() === recorded) return;
    this.problem(
      'failed',
      `decision ${id} is ${String(recorded)} in the record and ${String(seen)} at the PEP`,
      file,
      line,
    );
  }

  report(segments: number): VerifyReport {
    if (this.#refusedByPep > 0)
      this.problem('note', `the PEP refused ${this.#refusedByPep} requests without a decision`);
    return {
      completeness: this.#failed ? 'failed' : 'ok',
      integrity: 'not_checked',
      records: this.#records,
      byKind: Object.fromEntries(this.#byKind),
      segments,
      ...(this.#first !== undefined && { firstIndex: this.#first, lastIndex: this.#next - 1 }),
      lost: this.#lost,
      reconciled: this.#reconciled,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }
}

function rangeText(from: number, to: number): string {
  if (to <= from) return 'repeated or out of order';
  return to === from + 1 ? `record ${from} is missing` : `records ${from} to ${to - 1} are missing`;
}

function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
