import { type Decision, letsThrough } from './decision.ts';
import { uidText } from './evaluation.ts';
import type { DecisionTrace } from './trace.ts';

/** What a candidate snapshot would have answered, against what was answered. */
export const SHADOW_OUTCOMES = ['unchanged', 'reclassified', 'would_gain', 'would_lose', 'failed'] as const;

/** One of {@link SHADOW_OUTCOMES}; `reclassified`: the same verdict for another reason; `failed`: the candidate could not answer. */
export type ShadowOutcome = (typeof SHADOW_OUTCOMES)[number];

/** One row of the report: an outcome for one principal, action, resource type and set of policies. */
export interface ShadowRow {
  readonly outcome: ShadowOutcome;
  /** Absent parts are empty: not every answer gets as far as an action. */
  readonly principal: string;
  readonly action: string;
  readonly resource_type: string;
  /** Policies that determined one of the answers and not the other, sorted. */
  readonly policies: readonly string[];
  /** What was answered, e.g. `ALLOW permitted`. */
  readonly was: string;
  /** What the candidate would have answered. */
  readonly would_be: string;
  readonly count: number;
  /** Decision id of the newest check in the row. */
  readonly example: string;
}

/** What shadow evaluation has seen since the present pair of snapshots met. */
export interface ShadowReport {
  /** Digest; absent while there is no candidate. */
  readonly candidate?: string;
  /** Digest; absent while nothing is in force. */
  readonly active?: string;
  /** RFC 3339. */
  readonly since: string;
  readonly compared: number;
  /** Checks that were sampled but not compared, because too many waited. */
  readonly skipped: number;
  readonly outcomes: Readonly<Record<ShadowOutcome, number>>;
  /** Rows other than `unchanged`, most frequent first. */
  readonly rows: readonly ShadowRow[];
  /** Whether rows were left out: there are more kinds of change than a report holds. */
  readonly truncated: boolean;
}

const MAX_ROWS = 1000;

/** Compares what was answered with what the candidate says. */
export function outcomeOf(answered: Decision, candidate: Decision, failed: boolean): ShadowOutcome {
  if (failed) return 'failed';
  // What counts is who gets in: a deny on an observed route is let through.
  const [got, would] = [letsThrough(answered), letsThrough(candidate)];
  if (got !== would) return would ? 'would_gain' : 'would_lose';
  const same =
    answered.verdict === candidate.verdict &&
    answered.reason === candidate.reason &&
    answered.policies.join(' ') === candidate.policies.join(' ');
  return same ? 'unchanged' : 'reclassified';
}

/** The counts of one pair of snapshots. Bounded: rows beyond the thousandth are counted only in the outcomes. */
export class ShadowCounts {
  readonly active: string | undefined;
  readonly candidate: string | undefined;
  readonly #since: number;
  readonly #outcomes = { unchanged: 0, reclassified: 0, would_gain: 0, would_lose: 0, failed: 0 };
  readonly #rows = new Map<string, ShadowRow>();
  #truncated = false;
  #skipped = 0;

  /** `since` in Unix ms. */
  constructor(since: number, active: string | undefined, candidate: string | undefined) {
    this.#since = since;
    this.active = active;
    this.candidate = candidate;
  }

  skip(): void {
    this.#skipped += 1;
  }

  /** Counts one comparison: `answered` is the check as it was answered, `shadow` as the candidate would have. */
  add(outcome: ShadowOutcome, answered: DecisionTrace, shadow: DecisionTrace): void {
    this.#outcomes[outcome] += 1;
    if (outcome === 'unchanged') return;
    const row = rowOf(outcome, answered, shadow);
    const key = JSON.stringify(row);
    const known = this.#rows.get(key);
    if (!known && this.#rows.size >= MAX_ROWS) this.#truncated = true;
    else this.#rows.set(key, { ...row, count: (known?.count ?? 0) + 1, example: answered.id });
  }

  report(): ShadowReport {
    const { active, candidate } = this;
    return {
      ...(candidate !== undefined && { candidate }),
      ...(active !== undefined && { active }),
      since: new Date(this.#since).toISOString(),
      compared: Object.values(this.#outcomes).reduce((sum, count) => sum + count, 0),
      skipped: this.#skipped,
      outcomes: { ...this.#outcomes },
      rows: [...this.#rows.values()].sort((a, b) => b.count - a.count),
      truncated: this.#truncated,
    };
  }
}

function rowOf(
  outcome: ShadowOutcome,
  answered: DecisionTrace,
  shadow: DecisionTrace,
): Omit<ShadowRow, 'count' | 'example'> {
  const cedar = answered.cedar ?? shadow.cedar;
  const [was, wouldBe] = [answered.decision, shadow.decision];
  return {
    outcome,
    principal: cedar ? uidText(cedar.principal) : (answered.identities?.user?.id ?? ''),
    action: cedar ? uidText(cedar.action) : (answered.canonical?.method ?? ''),
    resource_type: cedar?.resource.type ?? '',
    policies: differing(was.policies, wouldBe.policies),
    was: decisionText(was),
    would_be: decisionText(wouldBe),
  };
}

function decisionText(decision: Decision): string {
  if (decision.verdict === 'permit') return `ALLOW ${decision.reason}`;
  return `DENY ${decision.reason}${decision.enforced === false ? ' (observed, let through)' : ''}`;
}

function differing(a: readonly string[], b: readonly string[]): string[] {
  return [...a.filter((id) => !b.includes(id)), ...b.filter((id) => !a.includes(id))].sort();
}
