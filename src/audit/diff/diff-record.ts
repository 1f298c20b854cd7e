import { isRefusal } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { CedarRequest } from '../../pdp/evaluation.ts';
import { typeName } from '../../pdp/entities.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { concludeEvaluation } from '../../pdp/stages/conclude.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import type { Pack } from '../read/pack.ts';
import { blobValue } from '../read/question.ts';
import type { Answer } from '../replay/answers.ts';
import { whyOf } from '../replay/segment-facts.ts';
import type { Verdict } from '../replay/verdict.ts';
import {
  type Bucket,
  type Came,
  type DiffWhy,
  bucketOf,
  cameOf,
  differencesOf,
  recordedCame,
} from './change.ts';
import type { Judge, Judged } from './judge.ts';
import { uidIn } from './party.ts';
import { type Recorded, readRecorded } from './recorded.ts';
import { judgeStage } from './stage-outcome.ts';

/** What becomes of one recorded decision. */
export interface Diffed {
  readonly bucket: Bucket;
  /** The record itself, and the one whose evaluation it reused, else itself. */
  readonly record: DecisionRecord;
  readonly evaluated: DecisionRecord;
  /** Cedar had no part in it. */
  readonly byStage: boolean;
  /** Whether the recorded answer comes out again under its own policies. */
  readonly base: 'match' | 'mismatch' | 'unknown';
  readonly was: Came;
  /** What it comes to; absent: it cannot be told. */
  readonly is?: Came;
  /** What differs, in words. */
  readonly differences: readonly string[];
  /** Of what cannot be told: why, what is missing, and what it may come to. */
  readonly open?: {
    readonly why: DiffWhy;
    readonly about: readonly string[];
    readonly may: readonly string[];
  };
  /** Of an error: which one. */
  readonly error?: string;
}

/** A decision that Cedar had a part in, found again. */
export interface Evaluated {
  readonly record: DecisionRecord;
  /** The decision whose answer it reused; else itself. */
  readonly evaluated: DecisionRecord;
  /** Of the segment that holds `record`. */
  readonly pack: Pack;
  readonly question: CedarRequest;
  readonly answer: Answer;
  /** What replay says of the record. */
  readonly verdict: Exclude<Verdict, { readonly verdict: 'NOT_REPLAYABLE' }>;
}

/** What becomes of a decision that Cedar had a part in. */
export async function diffEvaluated(one: Evaluated, judge: Judge): Promise<Diffed> {
  const { record, evaluated, question, answer, verdict } = one;
  const opened = openedRecord(record, one.pack);
  const base = verdict.verdict === 'MATCH' ? 'match' : 'mismatch';
  if ('why' in opened) return cannotTell(one, opened, base);
  const old = answer.policies.snapshot();
  const recorded = withClearNames(readRecorded(opened.record, evaluated), question, evaluated);
  if (!recorded) return cannotTell(one, { why: 'inputs_missing' }, base);
  const was = base === 'match' ? cameThen(one, old) : recordedCame(record);
  const judged = await judge.judge({ record, recorded, question, old });
  const parts = { record, evaluated, byStage: false, base, was } as const;
  // The engine took it for no question then, and does not now.
  if (judged.kind === 'error' && judged.about === was.reason) return unchanged(parts);
  return diffed(parts, judged);
}

/** What becomes of a decision that a stage made. `olds`: see `StageCase`. */
export function diffStage(
  { record, pack, verdict }: Pick<Evaluated, 'record' | 'pack'> & { readonly verdict: Verdict },
  olds: readonly PolicySnapshot[],
  judge: Judge,
): Diffed {
  const base = baseOf(verdict);
  const parts = { record, evaluated: record, byStage: true, base, was: recordedCame(record) } as const;
  const opened = openedRecord(record, pack);
  // Nobody's names hide what a stage said of a token or of the load; only routes need what is withheld.
  const recorded = readRecorded('why' in opened ? record : opened.record, record);
  const judged = judgeStage({ record, recorded, olds }, judge);
  return judged ? diffed(parts, judged) : unchanged(parts);
}

type Parts = Pick<Diffed, 'record' | 'evaluated' | 'byStage' | 'base' | 'was'>;

function unchanged(parts: Parts): Diffed {
  return { ...parts, bucket: 'unchanged', is: parts.was, differences: [] };
}

/** What becomes of a decision of which replay says that it cannot be found again. */
export function cannotTell(
  { record, evaluated = record }: { readonly record: DecisionRecord; readonly evaluated?: DecisionRecord },
  { why, about }: { readonly why: DiffWhy; readonly about?: string },
  base: Diffed['base'] = 'unknown',
): Diffed {
  const open = { why, about: about === undefined ? [] : [about], may: ['ALLOW', 'DENY'] };
  const was = recordedCame(record);
  return { bucket: 'not_replayable', record, evaluated, byStage: false, base, was, differences: [], open };
}

function baseOf({ verdict }: Verdict): Diffed['base'] {
  if (verdict === 'NOT_REPLAYABLE') return 'unknown';
  return verdict === 'MATCH' ? 'match' : 'mismatch';
}

function diffed(parts: Parts, judged: Judged): Diffed {
  if (judged.kind === 'error') return { ...parts, bucket: 'error', differences: [], error: judged.about };
  if (judged.kind === 'open') {
    const { why, about, may } = judged;
    return { ...parts, bucket: 'not_replayable', differences: [], open: { why, about, may } };
  }
  const is = cameOf(judged.decision);
  // A stage's deny is made of its reason alone: there is no more to compare.
  const was = parts.byStage ? { ...is, ...pick(parts.was) } : parts.was;
  return { ...parts, was, is, bucket: bucketOf(was, is), differences: differencesOf(was, is) };
}

function pick({ decision, reason, policies }: Came): Pick<Came, 'decision' | 'reason' | 'policies'> {
  return { decision, reason, policies };
}

/** The whole decision, also what of it is not in the record: it came out again, so that it was this one. */
function cameThen({ record, answer }: Evaluated, old: PolicySnapshot): Came {
  const { evaluation, policies } = answer;
  if (isRefusal(evaluation)) return recordedCame(record);
  const { accepts_tokens: acceptsTokens, binding } = record;
  return cameOf(
    concludeEvaluation({
      evaluation,
      snapshot: old,
      anonymous: acceptsTokens !== undefined,
      acceptsTokens: acceptsTokens === true,
      observed: typeof binding === 'string' && policies.observed.has(binding),
    }),
  );
}

/** The record with what is kept apart from it for privacy. */
function openedRecord(
  record: DecisionRecord,
  pack: Pack,
): { readonly record: DecisionRecord } | { readonly why: DiffWhy; readonly about?: string } {
  const { withheld } = record;
  if (typeof withheld !== 'string') return { record };
  const blob = blobValue(withheld, pack);
  if ('because' in blob) return { why: whyOf(blob), about: withheld };
  return { record: isRecord(blob.value) ? { ...blob.value, ...record } : record };
}

/** A line may hold pseudonyms; whom the question was about, it says itself. `undefined`: it does not. */
function withClearNames(
  recorded: Recorded,
  question: CedarRequest,
  { pseudonyms }: DecisionRecord,
): Recorded | undefined {
  if (pseudonyms === undefined) return recorded;
  const { user, device } = recorded;
  const userId = user && nameIn(question, 'User', 'user');
  const deviceId = device && nameIn(question, 'Device', 'device');
  if ((user && userId === undefined) || (device && deviceId === undefined)) return undefined;
  const issuer = user?.issuer;
  const subject = issuer === undefined ? undefined : userId?.slice(issuer.length + 1);
  return {
    ...recorded,
    ...(user &&
      userId !== undefined && { user: { ...user, id: userId, ...(subject !== undefined && { subject }) } }),
    ...(device && deviceId !== undefined && { device: { ...device, id: deviceId } }),
  };
}

function nameIn(
  { principal, context, entities }: CedarRequest,
  name: string,
  key: string,
): string | undefined {
  const type = typeName(name);
  if (principal.type === type) return principal.id;
  const referred = uidIn(context[key]);
  if (referred?.type === type) return referred.id;
  const [only, ...others] = entities.filter(({ uid }) => uid.type === type);
  return others.length === 0 ? only?.uid.id : undefined;
}
