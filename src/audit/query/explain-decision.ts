import { messageOf } from '../../pdp/errors.ts';
import type { CedarRequest } from '../../pdp/evaluation.ts';
import type { Explanation } from '../../pdp/explain/explanation.ts';
import { TraceExplainer } from '../../pdp/explain/explain-trace.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { LogRecord } from '../read/decision-record.ts';
import { isUnanswerable, questionOf } from '../read/question.ts';
import { segmentSource } from '../read/segment-source.ts';
import { timeOf } from '../read/segments-within.ts';
import { packFor } from '../replay/pack-for.ts';
import { type PolicyLibrary, createPolicyLibrary } from '../replay/recorded-policies.ts';
import { type Replayer, type ReplayerOptions, createReplayer } from '../replay/replayer.ts';
import { SegmentFacts, whyOf } from '../replay/segment-facts.ts';
import { type Verdict, WHY_WORDS, notReplayable } from '../replay/verdict.ts';
import type { VerifierKey } from '../tlog/note-key.ts';
import { type RecordProof, verifyRecord } from '../verify/record-proof.ts';
import { activationOf } from './activation.ts';
import { type Counterfactual, type WhatIf, answerWhatIf } from './counterfactual.ts';
import { type FoundDecision, decisionWithId, findDecision } from './find.ts';
import { recordedFacts } from './recorded-facts.ts';

/** A policy that decided, as it was in force. */
export interface DecidingPolicy {
  readonly id: string;
  readonly effect: string;
  readonly text: string;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
}

/** All that a log says of one decision. */
export interface ExplainedDecision {
  readonly record: FoundDecision['record'];
  /** File name of its segment. */
  readonly segment: string;
  readonly proof: RecordProof;
  /** The decision whose answer was reused; `missing`: it is not in the log any more. Absent: none was. */
  readonly origin?: FoundDecision['record'] | 'missing';
  /** The record of when the policies came into force, and by whom; absent: the log has none. */
  readonly activation?: LogRecord;
  /** The policies that decided, or why they cannot be shown. */
  readonly policies: readonly DecidingPolicy[] | string;
  /** What Cedar was asked, or why it cannot be shown; absent: it was not asked. */
  readonly question?: CedarRequest | string;
  /** Why Cedar answered so; absent where it was not asked, or cannot be asked again. */
  readonly explanation?: Explanation;
  readonly replay: Verdict;
  readonly counterfactual?: Counterfactual;
}

/** What explaining needs. */
export interface ExplainOptions extends Omit<ReplayerOptions, 'memo'> {
  /** The identity key of the log, where who asks has brought it. */
  readonly key?: VerifierKey;
  /** Absent: nothing is asked otherwise than it was. */
  readonly whatIf?: WhatIf;
}

/**
 * Explains a decision from the log alone. Throws `InputError` where there is no log or no such decision, or for a `whatIf` that makes no
 * sense.
 */
export async function explainDecision(
  dir: string,
  id: string,
  options: ExplainOptions,
): Promise<ExplainedDecision> {
  const found = await findDecision(dir, id);
  const { record, segment } = found;
  const of = reusedId(record);
  const origin = of === undefined ? undefined : await decisionWithId(dir, of);
  const asked = origin ?? found;
  const library = createPolicyLibrary();
  const facts = await factsOf(asked, library);
  const { snapshot } = asked.record;
  const policies = typeof snapshot === 'string' ? facts.policies(snapshot) : undefined;
  const set = policies && 'digest' in policies ? policies.snapshot() : undefined;
  const recorded = recordedQuestion(asked, facts, of !== undefined && !origin);
  const activation =
    typeof snapshot === 'string' ? await activationOf(dir, snapshot, record.index) : undefined;
  const question = typeof recorded === 'object' ? recorded : undefined;
  return {
    record,
    segment: segment.name,
    proof: await proofOf(dir, record.index, options.key),
    ...(of !== undefined && { origin: origin?.record ?? 'missing' }),
    ...(activation && { activation }),
    policies:
      policies && 'why' in policies ? WHY_WORDS[policies.why] : decidingPolicies(record.policies, set),
    ...(recorded !== undefined && { question: recorded }),
    ...(set && question && explanationOf(asked, set, question)),
    replay: replayed(record, origin, { facts, replayer: createReplayer({ ...options, memo: 0 }) }),
    ...(options.whatIf && { counterfactual: answerWhatIf(options.whatIf, { record, set, question }) }),
  };
}

function reusedId({ cache }: LogRecord): string | undefined {
  const { hit, of } = (cache ?? {}) as { readonly hit?: unknown; readonly of?: unknown };
  return hit === true && typeof of === 'string' ? of : undefined;
}

async function factsOf({ record, segment }: FoundDecision, library: PolicyLibrary): Promise<SegmentFacts> {
  return new SegmentFacts(await packFor(segmentSource(segment).pack, [record]), library);
}

/** The question, or why there is none to be seen; `undefined`: Cedar was not asked. */
function recordedQuestion(
  { record }: FoundDecision,
  facts: SegmentFacts,
  lost: boolean,
): CedarRequest | string | undefined {
  if (lost) return WHY_WORDS.origin_missing;
  if (record['engine'] === undefined) return undefined;
  const question = questionOf(record, facts.pack);
  return isUnanswerable(question) ? WHY_WORDS[whyOf(question)] : question;
}

function decidingPolicies(
  ids: readonly string[],
  set: PolicySnapshot | undefined,
): readonly DecidingPolicy[] | string {
  if (ids.length === 0) return [];
  if (!set) return WHY_WORDS.policies_missing;
  const known = new Set(set.policyIds);
  return ids.flatMap((id) => {
    if (!known.has(id)) return [];
    const { text, file, line, notes } = set.policy(id);
    return [{ id, effect: notes.effect, text, file, line }];
  });
}

/** Nothing where the engine does not take the question any more: replay says so. */
function explanationOf(
  { record }: FoundDecision,
  set: PolicySnapshot,
  cedar: CedarRequest,
): { readonly explanation?: Explanation } {
  try {
    const trace = {
      cedar,
      facts: recordedFacts(record),
      evaluation: set.evaluate(cedar),
      receivedAt: timeOf(record) ?? 0,
    };
    const explanation = new TraceExplainer(set).explain(trace);
    return explanation ? { explanation } : {};
  } catch {
    return {};
  }
}

/** A log whose tree is damaged still has its records. */
async function proofOf(dir: string, index: number, key: VerifierKey | undefined): Promise<RecordProof> {
  try {
    return await verifyRecord(dir, index, key);
  } catch (error) {
    return { verdict: 'not_checkable', because: messageOf(error) };
  }
}

/** What replay says; `facts` are those of the record itself, or of the decision that it reused. */
function replayed(
  record: FoundDecision['record'],
  origin: FoundDecision | undefined,
  { facts, replayer }: { readonly facts: SegmentFacts; readonly replayer: Replayer },
): Verdict {
  const result = replayer.replay(record, facts);
  if (result === undefined) return notReplayable('malformed');
  if ('verdict' in result) return result.verdict;
  return replayer.reuse(result, origin && replayer.origin(origin.record, facts));
}
