import { type DenyReason, type Refusal, refuse } from './decision.ts';

/** A fault that is somebody's to look into; `decide` turns it into a deny with `reason`. The message never reaches a client. */
export class PdpError extends Error {
  override readonly name = 'PdpError';
  readonly reason: DenyReason;

  constructor(reason: DenyReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What a caught value says; anything may be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One problem with something that an operator or author wrote. */
export interface Problem {
  /** File, configuration path or argument at fault. */
  readonly where: string;
  /** 1-based. */
  readonly line?: number;
  /** 1-based. */
  readonly column?: number;
  readonly message: string;
}

/** Input that people wrote and must mend: configuration, policies, arguments. Holds every problem found. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly title: string;
  readonly problems: readonly Problem[];

  constructor(title: string, problems: readonly Problem[]) {
    super([title, ...problems.map((problem) => `  ${problemText(problem)}`)].join('\n'));
    this.title = title;
    this.problems = problems;
  }
}

/** `where:line:column: message`. */
export function problemText(problem: Problem): string {
  const position = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`;
  return `${problem.where}${position}: ${problem.message}`;
}

/** The refusal that a thrown fault comes to: a `PdpError`'s own reason, `internal` for anything else. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof PdpError) return refuse(error.reason, error.message);
  return refuse('internal', error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}
