import type { SubjectKind, SubjectRef } from '../../pdp/subject-key.ts';

/** Something that is revoked, as it is looked up: whatever was issued to the subjects before `at` is void, or they are shut off. */
export interface Rule {
  /** No two rules of one index share it. */
  readonly key: string;
  readonly effect: 'void' | 'off';
  /** All of them together. */
  readonly subjects: readonly SubjectRef[];
  /** Unix ms. */
  readonly at: number;
  /** Unix ms from which on the subjects are not shut off any more; absent: they stay so. */
  readonly until?: number;
  /** Unix ms from which on the rule means nothing any more. */
  readonly endsAt: number;
  /** Who says so: `admin`, the name of an event stream, or `file`. */
  readonly source: string;
  readonly reason?: string;
}

/** Kinds by which a token names a person or what a person holds: it belongs to one at most of each, and need not say which. */
const PERSONAL: ReadonlySet<SubjectKind> = new Set(['session', 'token', 'user', 'email']);

/** Whether a rule is about persons, sessions or tokens, alone or among others. */
export function isPersonal({ subjects }: Pick<Rule, 'subjects'>): boolean {
  return subjects.some(({ kind }) => PERSONAL.has(kind));
}

/** Whether what a rule revokes is what tokens prove, in whole or in part; else it is devices and workloads. */
export function isAboutTokens(rule: Pick<Rule, 'subjects'>): boolean {
  return isPersonal(rule) || rule.subjects.every(({ kind }) => kind === 'tenant');
}

const LEAST_SPECIFIC_LAST: readonly SubjectKind[] = ['device', 'workload', 'tenant'];

/**
 * The members of a rule under which it is found: each that is personal, since a token may leave out any of them; where none is, the most
 * specific one.
 */
export function indexMembers({ subjects }: Pick<Rule, 'subjects'>): readonly SubjectRef[] {
  const personal = subjects.filter(({ kind }) => PERSONAL.has(kind));
  if (personal.length > 0) return personal;
  const kind = LEAST_SPECIFIC_LAST.find((candidate) =>
    subjects.some((subject) => subject.kind === candidate),
  );
  return subjects.filter((subject) => subject.kind === kind).slice(0, 1);
}

/** What a rule says, in an operator's words. */
export function ruleWords({ effect, subjects, at, until, source, reason }: Rule): string {
  const who = subjects.map(({ kind, id }) => `${kind} ${id}`).join(' with ');
  const since = timeText(at);
  const what =
    effect === 'void'
      ? `${who}: revoked, all that was issued before ${since} is void`
      : `${who}: shut off since ${since}${until === undefined ? '' : ` until ${timeText(until)}`}`;
  return `${what}, by ${source}${reason === undefined ? '' : ` (${reason})`}`;
}

/** The last instant that a `Date` knows. Unix ms. */
const END_OF_TIME = 8.64e15;

/** A time (Unix ms) as RFC 3339. One that is later than a `Date` can be is the last one. */
export function timeText(ms: number): string {
  return new Date(Math.max(-END_OF_TIME, Math.min(ms, END_OF_TIME))).toISOString();
}
