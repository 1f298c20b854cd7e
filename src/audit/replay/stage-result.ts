import { DENY_REASONS, type DenyReason, denyFor, refuse } from '../../pdp/decision.ts';
import { STAGES } from '../../pdp/trace.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import type { HttpStatusOf } from './replayer.ts';
import { refusalProblem } from './stage-reasons.ts';
import type { Difference } from './verdict.ts';

/** How the outcome of a record is found again. */
export type Kind = 'cedar' | 'reuse' | 'stage_result';

/** What Cedar's answer comes to, and nothing else does. */
const ONLY_CEDAR: ReadonlySet<string> = new Set([
  'permitted',
  'policy_forbids',
  'step_up_required',
  'policy_error',
]);

/** What it may come to, too: `bind` says so of actions that do not apply to the principal. */
const ALSO_BIND: ReadonlySet<string> = new Set(['no_permit', 'authentication_required']);

/** The stages that can refuse. */
const REFUSING: readonly string[] = STAGES.slice(0, STAGES.indexOf('evaluate') + 1);

const REASONS: ReadonlySet<string> = new Set(DENY_REASONS);

/** How the outcome of a record is to be found again: of what Cedar answered by asking again, of what a stage refused by the closed table. */
export function kindOf(record: DecisionRecord): Kind {
  const { stage, reason, engine, cache } = record;
  const byCedar = stage === 'evaluate' && (ONLY_CEDAR.has(reason) || ALSO_BIND.has(reason));
  // The engine took the question for none: it will again. Where there is word of the cache, it had answered, and the answer could not be told.
  const unanswered = engine !== undefined && cache === undefined;
  const refused = stage === 'evaluate' && reason === 'attribute_refused' && unanswered;
  if (!byCedar && !refused) return 'stage_result';
  return isHit(cache) ? 'reuse' : 'cedar';
}

function isHit(cache: unknown): boolean {
  return typeof cache === 'object' && cache !== null && 'hit' in cache && cache.hit === true;
}

/** What a stage's refusal comes to by the closed table, or what shows at once that it was no stage's. */
export function stageResult(record: DecisionRecord, httpStatus: HttpStatusOf): Outcome | Difference {
  const { stage, reason } = record;
  if (!REFUSING.includes(stage))
    return { field: 'stage', recorded: stage, replayed: 'no stage that refuses' };
  if (ONLY_CEDAR.has(reason) || (ALSO_BIND.has(reason) && stage !== 'bind'))
    return { field: 'stage', recorded: stage, replayed: 'evaluate' };
  if (!REASONS.has(reason)) return { field: 'reason', recorded: reason, replayed: `no refusal of ${stage}` };
  const problem = refusalProblem(record, reason as DenyReason);
  if (problem) return problem;
  const decision = denyFor(refuse(reason as DenyReason));
  return outcomeOf(decision, record, { errors: errorsOf(record), httpStatus: httpStatus(decision) });
}

/** A check that was interrupted after Cedar had answered keeps the errors of an answer that was not used. */
function errorsOf({ stage, engine, policy_errors: errors }: DecisionRecord): readonly string[] {
  return stage === 'evaluate' && engine !== undefined && Array.isArray(errors) ? errors : [];
}
