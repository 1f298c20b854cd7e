/** Which of the two questions about a log a finding is about: whether something was changed, or whether all of it is there. */
export type Question = 'integrity' | 'completeness';

/** Where in a log something is. */
export interface Place {
  /** Segment, pack, tile, key, or access log. */
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
  /** Index of the record. */
  readonly index?: number;
}

/** Something that an auditor should know about a log. */
export interface LogProblem extends Place {
  readonly question: Question;
  /** `failed`: the answer is no. `unchecked`: it could not be found out. `note`: worth knowing, and no loss. */
  readonly severity: 'failed' | 'unchecked' | 'note';
  readonly message: string;
}

/** How many problems of each severity a report holds for each question; all are counted. */
export const MAX_PROBLEMS = 100;

/** What a verification found, in the order in which it did. */
export class Findings {
  readonly problems: LogProblem[] = [];
  readonly #kept = new Map<string, number>();
  readonly #worst = new Map<Question, LogProblem['severity']>();
  /** How many there were, also those that are not kept. */
  count = 0;

  /** Takes a finding. */
  add(question: Question, severity: LogProblem['severity'], message: string, place: Place = {}): void {
    this.count += 1;
    const worst = this.#worst.get(question);
    if (worst === undefined || RANK[severity] > RANK[worst]) this.#worst.set(question, severity);
    const kept = this.#kept.get(`${question} ${severity}`) ?? 0;
    if (kept >= MAX_PROBLEMS) return;
    this.#kept.set(`${question} ${severity}`, kept + 1);
    this.problems.push({ question, severity, message, ...place });
  }

  /** Whether the answer to a question is no. */
  failed(question: Question): boolean {
    return this.#worst.get(question) === 'failed';
  }

  /** Whether a question could not be answered in full. */
  unchecked(question: Question): boolean {
    return this.#worst.get(question) === 'unchecked';
  }
}

const RANK = { note: 0, unchecked: 1, failed: 2 };

/** `record 5`, or `records 5 to 9`; `end` is the first one after. */
export function rangeText(from: number, end: number): string {
  return end === from + 1 ? `record ${from}` : `records ${from} to ${end - 1}`;
}
