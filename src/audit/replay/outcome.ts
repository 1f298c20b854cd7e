import type { Decision } from '../../pdp/decision.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { cappedOrAbsent } from '../record/json-value.ts';
import { FULL, SHORTER } from '../record/limits.ts';
import type { Difference } from './verdict.ts';

/** What replay compares: the outcome of a decision. All else in a record is evidence. */
export interface Outcome {
  readonly decision: string;
  readonly reason: string;
  /** Ids of the determining policies, sorted. */
  readonly policies: readonly string[];
  /** Ids of the policies that could not be evaluated, sorted. */
  readonly policyErrors: readonly string[];
  readonly httpStatus: number;
  /** Whether somebody acts on it. */
  readonly enforced: boolean;
  /** What the client was told by the policies that forbade. */
  readonly message: string | undefined;
}

/** The outcome of a decision that was made again for a record. Nobody acts on what was made in shadow, or to be explained. */
export function outcomeOf(
  decision: Decision,
  record: DecisionRecord,
  made: { readonly errors: readonly string[]; readonly httpStatus: number },
): Outcome {
  const aside = record['shadow_of'] !== undefined || record['explained'] === true;
  return {
    decision: decision.verdict === 'permit' ? 'ALLOW' : 'DENY',
    reason: decision.reason,
    policies: decision.policies,
    policyErrors: made.errors,
    httpStatus: made.httpStatus,
    enforced: !aside && !(decision.verdict === 'deny' && decision.enforced === false),
    message: decision.verdict === 'deny' ? decision.message : undefined,
  };
}

/** The first field in which a record differs from an outcome. */
export function differenceOf(record: DecisionRecord, replayed: Outcome): Difference | undefined {
  const errors = record['policy_errors'];
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['decision', record.decision, replayed.decision],
    ['reason', record.reason, replayed.reason],
    ['policies', record.policies, replayed.policies],
    ['policy_errors', errors === undefined ? [] : errors, replayed.policyErrors],
    ['http_status', record['http_status'], replayed.httpStatus],
    ['enforced', record['enforced'], replayed.enforced],
  ];
  for (const [field, was, is] of pairs)
    if (!isSame(was, is)) return { field, recorded: said(was), replayed: said(is) };
  return isMessage(record['message'], replayed.message)
    ? undefined
    : { field: 'message', recorded: said(record['message']), replayed: said(replayed.message) };
}

/** Lines hold long words cut. */
function isMessage(was: unknown, is: string | undefined): boolean {
  return [FULL, SHORTER].some(({ text }) => was === cappedOrAbsent(is, text));
}

function isSame(was: unknown, is: unknown): boolean {
  if (!Array.isArray(was) || !Array.isArray(is)) return was === is;
  return was.length === is.length && was.every((item, at) => item === is[at]);
}

const MAX_SAID = 500;

/** A value of a field in words, capped. */
export function said(value: unknown): string {
  const text = Array.isArray(value) ? value.join(', ') : plain(value);
  if (text === '') return 'none';
  return text.length > MAX_SAID ? `${text.slice(0, MAX_SAID)}…` : text;
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}
