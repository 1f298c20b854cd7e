import { type Decision, type Deny, letsThrough } from '../decision.ts';
import type { Evaluation } from '../evaluation.ts';
import { isComplete } from '../facts/complete.ts';
import type { PolicySnapshot } from '../policy-snapshot.ts';
import type { Evaluated } from '../trace.ts';

/** What `conclude` needs. */
export interface Concluding {
  /** Whether users can authenticate here at all: then a question without any identity is answered by a challenge. */
  readonly acceptsTokens: boolean;
}

/** What a decision is made of once Cedar has answered: of a live question as of a recorded one. */
export interface Conclusion {
  readonly evaluation: Evaluation;
  readonly snapshot: PolicySnapshot;
  /** Nobody was identified, and nobody named as the subject. */
  readonly anonymous: boolean;
  readonly acceptsTokens: boolean;
  /** The route is in observe mode. */
  readonly observed: boolean;
  /** Unix ms; absent: not cacheable. */
  readonly cacheableUntil?: number;
}

/**
 * Turns Cedar's answer into the decision. Cedar skips a policy that cannot be evaluated; for a `forbid` that would open a door,
 * so an erroring forbid denies (ADR 0002).
 */
export function createConclude({ acceptsTokens }: Concluding) {
  return (evaluated: Evaluated): Decision => {
    const { evaluation, snapshot, identities, asked, route } = evaluated;
    return concludeEvaluation({
      evaluation,
      snapshot,
      anonymous: !identities.user && !identities.source && !asked?.subject,
      acceptsTokens,
      observed: route?.observe === true,
      ...cacheableUntil(evaluated),
    });
  };
}

/** The decision that an evaluation comes to. */
export function concludeEvaluation(conclusion: Conclusion): Decision {
  const decision = concluded(conclusion);
  const observed = decision.verdict === 'deny' && conclusion.observed;
  const whole: Decision = observed ? { ...decision, enforced: false } : decision;
  return letsThrough(whole) ? { ...whole, ...headersOf(whole, conclusion.snapshot) } : whole;
}

function concluded(conclusion: Conclusion): Decision {
  const { evaluation, snapshot, anonymous, acceptsTokens } = conclusion;
  const broken = evaluation.errors.filter((id) => snapshot.notes(id).effect === 'forbid');
  if (evaluation.verdict === 'deny' && evaluation.policies.length > 0) return forbidden(conclusion);
  const common = commonOf(conclusion);
  if (broken.length > 0) {
    const detail = 'a forbid could not be evaluated, which denies';
    return { verdict: 'deny', reason: 'policy_error', policies: broken, snapshot: snapshot.digest, detail };
  }
  if (evaluation.verdict === 'permit') {
    return { verdict: 'permit', reason: 'permitted', policies: evaluation.policies, ...common };
  }
  return {
    verdict: 'deny',
    reason: anonymous && acceptsTokens ? 'authentication_required' : 'no_permit',
    policies: [],
    ...common,
  };
}

function commonOf({
  snapshot,
  cacheableUntil: until,
}: Conclusion): Pick<Decision, 'snapshot' | 'cacheableUntil'> {
  return { snapshot: snapshot.digest, ...(until !== undefined && { cacheableUntil: until }) };
}

/** Two policies that set one header: the one with the smaller id has its way, so that the answer does not depend on any order. */
function headersOf(
  decision: Decision,
  snapshot: PolicySnapshot,
): Pick<Decision, 'upstreamHeaders' | 'removedHeaders'> {
  if (snapshot.upstreamHeaders.length === 0) return {};
  const headers = new Map<string, string>();
  for (const id of decision.verdict === 'permit' ? decision.policies : []) {
    for (const [name, value] of snapshot.notes(id).upstreamHeaders ?? [])
      if (!headers.has(name)) headers.set(name, value);
  }
  return {
    upstreamHeaders: [...headers],
    removedHeaders: snapshot.upstreamHeaders.filter((name) => !headers.has(name)),
  };
}

const ADVISED_REASONS = { authenticate: 'authentication_required', step_up: 'step_up_required' } as const;

function forbidden(conclusion: Conclusion): Deny {
  const { evaluation, snapshot } = conclusion;
  const notes = evaluation.policies.map((id) => snapshot.notes(id));
  // Authenticating helps only where nothing else forbids; without a token there is nothing to step up from.
  const advised = notes.every((note) => note.advice) ? notes.map((note) => note.advice) : [];
  const advice = advised.find((one) => one?.kind === 'authenticate') ?? advised[0];
  const message = uniqueReasons(evaluation.policies, snapshot);
  return {
    verdict: 'deny',
    reason: advice ? ADVISED_REASONS[advice.kind] : 'policy_forbids',
    policies: evaluation.policies,
    ...commonOf(conclusion),
    ...(message !== '' && { message }),
    ...(advice && { advice }),
  };
}

function uniqueReasons(policies: readonly string[], snapshot: PolicySnapshot): string {
  const reasons = policies.map((id) => snapshot.notes(id).reason).filter((reason) => reason !== undefined);
  return [...new Set(reasons)].join('; ');
}

function cacheableUntil(evaluated: Evaluated): { cacheableUntil?: number } {
  const { inputsValidUntil, evaluation, snapshot, identities } = evaluated;
  const whole =
    evaluation.errors.length === 0 && isComplete(evaluated) && !snapshot.reads.contextKeys.has('now');
  // A proof is good for one request: whoever remembers the answer would not see the next one.
  if (identities.user?.token.confirmation?.key !== undefined) return {};
  return whole && Number.isFinite(inputsValidUntil) ? { cacheableUntil: inputsValidUntil } : {};
}
