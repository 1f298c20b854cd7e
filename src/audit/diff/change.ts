import { type Decision, letsThrough } from '../../pdp/decision.ts';
import { type NotReplayableWhy, WHY_WORDS } from '../replay/verdict.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { textIn } from './recorded.ts';

/** What becomes of recorded decisions under other policies. */
export const BUCKETS = ['gained', 'revoked', 'reclassified', 'unchanged', 'not_replayable', 'error'] as const;

/** One of {@link BUCKETS}. */
export type Bucket = (typeof BUCKETS)[number];

/** Each in words, for people. */
export const BUCKET_WORDS = {
  gained: 'denied then, allowed by the new policies',
  revoked: 'allowed then, denied by the new policies',
  reclassified: 'the same answer for another reason',
  unchanged: 'the same answer for the same reason',
  not_replayable: 'the log does not hold what it takes to tell',
  error: 'the engine takes no such question under the new schema',
} as const satisfies Record<Bucket, string>;

/** Why it cannot be told what a decision would have come to, beside what replay lacks. */
export const OPEN_WORDS = {
  needs_facts: 'the new policies read what was not read, and so not recorded, then',
  other_binding: 'the new bindings make another question of the request, which the log does not hold whole',
  facts_unavailable: 'an information point could not be asked',
  facts_refused: 'what had to be known was not to be had then; the new policies may not need it',
} as const;

/** {@link OPEN_WORDS} and what replay lacks, in words. */
export const WHY = { ...WHY_WORDS, ...OPEN_WORDS } as const;

/** A reason for which a decision is in the bucket `not_replayable`. */
export type DiffWhy = NotReplayableWhy | keyof typeof OPEN_WORDS;

/** What a decision came to, as far as two of them are compared. */
export interface Came {
  readonly decision: 'ALLOW' | 'DENY';
  readonly reason: string;
  readonly policies: readonly string[];
  /** Public words of a deny. */
  readonly message?: string;
  /** Whether a deny is acted on; absent: as it was. */
  readonly enforced?: boolean;
  /** JSON of what else whoever asked is told: advice, headers. Absent: not recorded. */
  readonly told?: string;
}

/** What a decision comes to. */
export function cameOf(decision: Decision): Came {
  const { verdict, reason, policies, upstreamHeaders, removedHeaders } = decision;
  const [message, advice] = verdict === 'deny' ? [decision.message, decision.advice] : [];
  return {
    decision: verdict === 'permit' ? 'ALLOW' : 'DENY',
    reason,
    policies,
    ...(message !== undefined && { message }),
    enforced: verdict === 'permit' || !letsThrough(decision),
    told: JSON.stringify([advice, upstreamHeaders, removedHeaders]),
  };
}

/** What a record says that it came to. */
export function recordedCame(record: DecisionRecord): Came {
  const { decision, reason, policies, enforced } = record;
  const message = textIn(record, 'message');
  return {
    decision,
    reason,
    policies,
    ...(message !== undefined && { message }),
    ...(typeof enforced === 'boolean' && { enforced }),
  };
}

/** What two answers differ in, in the order of what it means to people. */
export function differencesOf(was: Came, is: Came): readonly string[] {
  const differing: string[] = [];
  if (was.decision !== is.decision) differing.push('decision');
  if (was.reason !== is.reason) differing.push('reason');
  if (was.policies.join('\n') !== is.policies.join('\n')) differing.push('policies');
  if (was.message !== is.message) differing.push('message');
  if (was.enforced !== undefined && is.enforced !== undefined && was.enforced !== is.enforced)
    differing.push('enforced');
  if (was.told !== undefined && is.told !== undefined && was.told !== is.told)
    differing.push('advice or headers');
  return differing;
}

/** The bucket of a decision that can be told. */
export function bucketOf(was: Came, is: Came): Exclude<Bucket, 'not_replayable' | 'error'> {
  if (was.decision !== is.decision) return is.decision === 'ALLOW' ? 'gained' : 'revoked';
  return differencesOf(was, is).length === 0 ? 'unchanged' : 'reclassified';
}
