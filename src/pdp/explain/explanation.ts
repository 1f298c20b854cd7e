import type { Evaluation } from '../evaluation.ts';
import type { Bound } from '../trace.ts';

/** What an explanation needs of a check. */
export type ExplainableCheck = Pick<Bound, 'cedar' | 'facts'> &
  Partial<Pick<Bound, 'identities' | 'omissions' | 'postureLeftOut'>>;

/** A policy of the evaluated set, with what an explanation needs of it. */
export interface ExplainablePolicy {
  readonly id: string;
  readonly effect: 'permit' | 'forbid';
  /** The statement as it was written. */
  readonly text: string;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
  /** Cedar's JSON policy format; of a template link the linked form. */
  readonly json: object;
}

/** A value that a condition read. */
export interface SeenValue {
  /** Where in the request, as Cedar writes it: `context.device.compliant`. */
  readonly path: string;
  /** The value as Cedar writes it, cut where it is long. */
  readonly value: string;
  /** The information point that gave it, where one did. */
  readonly source?: string;
  /** How old the observation is, in ms. */
  readonly ageMs?: number;
}

/**
 * How a condition came out.
 *
 * `not_reached`: Cedar stopped at an earlier condition, and by itself this one cannot be evaluated; most often the earlier one is
 * the `has` that guards it. A later condition that can be evaluated by itself is reported as `holds` or `fails`: it too would have
 * to be put right.
 */
export type ConditionOutcome = 'holds' | 'fails' | 'error' | 'not_reached';

/** One thing that a policy asks. */
export interface Condition {
  readonly clause: 'scope' | 'when' | 'unless';
  /** Cedar's text of the expression, cut where it is long; the whole statement where a policy could not be taken apart. */
  readonly text: string;
  /** What the expression must be for the policy to apply; false under `unless` and `!`. */
  readonly wanted: boolean;
  readonly outcome: ConditionOutcome;
  /** The state of affairs in words: `context.device.compliant is false (source: jamf, 4 s old)`. */
  readonly words: string;
  readonly values: readonly SeenValue[];
  /** Alternatives, none of which was met; one would have been enough. */
  readonly anyOf?: readonly Condition[];
  /** Inside of an alternative: what of it was not met. */
  readonly allOf?: readonly Condition[];
}

/** A policy with how its conditions came out. */
export interface PolicyExplanation extends Omit<ExplainablePolicy, 'json'> {
  /** In the order in which Cedar evaluates them, scope first. */
  readonly conditions: readonly Condition[];
  /** How many of the conditions fail or cannot be evaluated; those that were not reached do not count. */
  readonly failed: number;
}

/** Why a decision came out as it did. For operators and policy authors, never for the client that was denied. */
export interface Explanation {
  /** Under strict handling: an erring forbid denies. */
  readonly verdict: Evaluation['verdict'];
  /** The policies that decided; where an erring forbid denied, those. None where nothing permits. */
  readonly determining: readonly PolicyExplanation[];
  /** Permits that held but were overridden. */
  readonly overridden: readonly PolicyExplanation[];
  /** Policies that could not be evaluated and are listed nowhere else. */
  readonly erring: readonly PolicyExplanation[];
  /** On a deny: permits whose scope matched, with what failed; nearest first. */
  readonly nearMisses: readonly PolicyExplanation[];
  /** On a deny: permits for this action and resource but another principal; nearest first. */
  readonly scopeMisses: readonly PolicyExplanation[];
  /** Whether policies or conditions were left out, or policy texts cut, to keep the explanation small. Cut texts end in `…`. */
  readonly truncated: boolean;
}
