import { denyFor, isRefusal } from '../../pdp/decision.ts';
import { typeName } from '../../pdp/entities.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import type { DiffWhy } from './change.ts';
import type { Judge, Judged, OpenJudgement } from './judge.ts';
import type { Recorded } from './recorded.ts';
import { hasSameBindings, routesOf } from './route.ts';

/** A decision that a stage made before Cedar was asked. */
export interface StageCase {
  readonly record: DecisionRecord;
  readonly recorded: Recorded;
  /** The snapshot that was in force, or those that may have been; none: the log does not hold it. */
  readonly olds: readonly PolicySnapshot[];
}

/** What hangs on bindings and schema, which belong to the policies. */
const BY_BINDING: ReadonlySet<string> = new Set([
  'no_binding',
  'no_permit',
  'authentication_required',
  'path_ambiguous',
  'header_ambiguous',
  'request_malformed',
]);

const BY_FACTS: ReadonlySet<string> = new Set(['attribute_unavailable', 'attribute_refused']);

/**
 * What a decision that Cedar had no part in comes to. `undefined`: the policies had no part in it either, it stays as it was. What hangs on
 * bindings is asked of the new ones; what was refused for want of facts may be told only where the same facts are read.
 */
export function judgeStage(one: StageCase, judge: Judge): Judged | undefined {
  const { record } = one;
  const { stage, reason } = record;
  if ((stage !== 'gather' && stage !== 'bind') || record['snapshot'] === judge.next.digest) return undefined;
  if (BY_BINDING.has(reason)) return judgeBinding(one, judge);
  if (!BY_FACTS.has(reason)) return undefined;
  return judgeFacts(one, judge);
}

function judgeBinding({ record, recorded, olds }: StageCase, judge: Judge): Judged | undefined {
  const { next } = judge;
  if (isEvery(olds, (old) => old.schema === next.schema && hasSameBindings(old, next))) return undefined;
  const { http } = recorded;
  // The record of a question about entities does not hold what it asked.
  if (!http) return opened('inputs_missing', []);
  const routes = routesOf(recorded, undefined, judge.next);
  if (isRefusal(routes)) return { kind: 'decided', decision: denyFor(routes, judge.next.digest) };
  if ('unseen' in routes) return opened('needs_facts', routes.unseen);
  const action = routes.is?.action ?? { type: typeName('Action'), id: http.method };
  const unfit = judge.unfit(action, principalType(recorded));
  if (unfit) return { kind: 'decided', decision: denyFor(unfit, judge.next.digest) };
  const binding = routes.is ? `binding ${routes.is.id}` : 'the default binding';
  return opened('other_binding', [`then ${record.reason}; now ${binding}`]);
}

/** As `bind` chooses it. */
function principalType({ user, source }: Recorded): string {
  return typeName(user ? 'User' : source ? 'Workload' : 'Anonymous');
}

/** The same points are asked about the same attributes where both read the same; where more is read, something is still refused. */
function judgeFacts({ record, olds }: StageCase, { next }: Judge): Judged | undefined {
  const parts = [
    ...READ_PARTS,
    ...(record.reason === 'attribute_refused' ? (['wholeAttributes'] as const) : []),
  ];
  const holds = (
    old: PolicySnapshot,
    compare: (was: ReadonlySet<string>, is: ReadonlySet<string>) => boolean,
  ) =>
    old.schema === next.schema &&
    hasSameBindings(old, next) &&
    parts.every((part) => compare(old.reads[part], next.reads[part]));
  if (isEvery(olds, (old) => holds(old, (was, is) => was.size === is.size && was.isSubsetOf(is))))
    return undefined;
  const isDenied = isEvery(olds, (old) => holds(old, (was, is) => was.isSubsetOf(is)));
  return { ...opened('facts_refused', []), ...(isDenied && { may: ['DENY'] }) };
}

const READ_PARTS = ['attributes', 'contextKeys', 'entityTypes'] as const;

function opened(why: DiffWhy, about: readonly string[]): OpenJudgement {
  return { kind: 'open', why, about, may: ['ALLOW', 'DENY'] };
}

/** At least one, and all of them. */
function isEvery(olds: readonly PolicySnapshot[], holds: (old: PolicySnapshot) => boolean): boolean {
  return olds.length > 0 && olds.every(holds);
}
