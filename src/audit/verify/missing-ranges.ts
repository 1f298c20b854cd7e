import { type Findings, type Place, type Question, rangeText } from './findings.ts';

interface Missing {
  readonly question: Question;
  /** First index that is there again. */
  readonly end: number;
  readonly message: string;
  readonly place: Place;
}

/** More than these are judged at once, as if nothing had been pruned. */
const MAX_DEFERRED = 10_000;

/**
 * Records that are not there. Whether that is as it should be is known at the end: what retention has removed, a later record of the log
 * itself says.
 */
export class MissingRanges {
  readonly #findings: Findings;
  readonly #missing: Missing[] = [];
  /** Retention has removed all before. */
  #prunedTo = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Records up to the one before `end` are not there. */
  add(question: Question, end: number, message: string, place: Place): void {
    if (this.#missing.length < MAX_DEFERRED) this.#missing.push({ question, end, message, place });
    else this.#findings.add(question, 'failed', message, place);
  }

  /** The log says that retention has removed the records before this one. It takes the oldest first, its own earlier records among them. */
  pruned(end: number): void {
    this.#prunedTo = Math.max(this.#prunedTo, end);
  }

  /** Judges what is missing. */
  settle(): void {
    let removed = 0;
    for (const { question, end, message, place } of this.#missing) {
      if (end <= this.#prunedTo) removed = Math.max(removed, end);
      else this.#findings.add(question, 'failed', message, place);
    }
    if (removed === 0) return;
    const message = `${rangeText(0, removed)} ${removed === 1 ? 'was' : 'were'} removed by retention, as the log says`;
    this.#findings.add('completeness', 'note', message);
  }
}
