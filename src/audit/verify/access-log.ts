import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import { readLines } from '../read/line-reader.ts';
import type { Findings, Place } from './findings.ts';

/** Compares a decision log with the log of the PEP. It holds every decision's id in memory. */
export class AccessLogCheck {
  readonly #findings: Findings;
  readonly #decisions = new Map<string, unknown>();
  #refusedByPep = 0;
  /** Lines of the PEP's log that were compared. */
  compared = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Looks at a record of the decision log. */
  record({ kind, decision_id: id, decision }: LogRecord, place: Place): void {
    if (kind !== 'decision' || typeof id !== 'string') return;
    if (this.#decisions.has(id)) this.#fail(`decision ${id} is there twice`, place);
    else this.#decisions.set(id, decision);
  }

  /** Reads the PEP's log: JSON lines with `decision_id` and `decision`. Throws the system's error. */
  async reconcile(path: string): Promise<void> {
    let number = 0;
    for await (const { lines } of readLines({ path })) {
      for (const line of lines) this.#line(line.toString(), { file: path, line: (number += 1) });
    }
    if (this.#refusedByPep > 0)
      this.#findings.add(
        'completeness',
        'note',
        `the PEP refused ${this.#refusedByPep} requests without a decision`,
      );
  }

  #line(text: string, place: Place): void {
    if (text.trim() === '') return;
    this.compared += 1;
    const entry = parseRecord(text);
    const id = entry?.['decision_id'];
    if (entry === undefined) this.#fail('the line is not a JSON object', place);
    else if (typeof id !== 'string' || id === '' || id === '-') this.#undecided(entry, place);
    else if (!this.#decisions.has(id)) this.#fail(`decision ${id} has no record`, place);
    else this.#compare(id, entry['decision'], place);
  }

  /** A PEP also refuses requests without asking (no valid HTTP, nobody to ask). Only one that went on went past us. */
  #undecided({ response_code_details: details }: LogRecord, place: Place): void {
    if (typeof details === 'string' && details !== '' && details !== '-' && details !== 'via_upstream')
      this.#refusedByPep += 1;
    else this.#fail('a request was let through without a decision', place);
  }

  #compare(id: string, seen: unknown, place: Place): void {
    const recorded = this.#decisions.get(id);
    if (typeof seen === 'string' && seen.toUpperCase() === recorded) return;
    this.#fail(`decision ${id} is ${String(recorded)} in the record and ${String(seen)} at the PEP`, place);
  }

  #fail(message: string, place: Place): void {
    this.#findings.add('completeness', 'failed', message, place);
  }
}
