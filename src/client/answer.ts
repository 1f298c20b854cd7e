import { CallFailure } from './transport.ts';
import type { Answer, Failure } from './types.ts';

type Json = Readonly<Record<string, unknown>>;

/** Reads one decision (AuthZEN §6.2). Anything but `decision: true` is no permit, whatever else it holds. */
export function answerOf(value: unknown): Answer {
  if (!isRecord(value) || typeof value['decision'] !== 'boolean')
    return failed('bad_answer', 'the answer holds no decision');
  const allowed = value['decision'];
  const context = isRecord(value['context']) ? value['context'] : {};
  const error = context['error'];
  if (isRecord(error)) return failureIn(error, context);
  return {
    allowed,
    reason: textIn(context, 'reason') ?? (allowed ? 'permitted' : 'denied'),
    ...given('message', textIn(context, 'message')),
    ...given('advice', adviceIn(context['advice'])),
    ...given('decisionId', textIn(context, 'decision_id')),
    ...given('cacheableUntil', dateIn(context, 'cacheable_until')),
  };
}

/** One page of a search. */
export interface SearchPage {
  readonly results: readonly object[];
  /** Token of the next page; '' where there is none. */
  readonly next: string;
  /** Candidates of whom nothing could be decided. */
  readonly undecided: number;
}

/** Reads one page of a search (AuthZEN §8). Throws {@link CallFailure} where it is none, or nothing could be looked at. */
export function pageOf(value: unknown): SearchPage {
  const said = isRecord(value) ? value : {};
  const context = isRecord(said['context']) ? said['context'] : {};
  const { failure, detail = '' } = isRecord(context['error']) ? failureIn(context['error'], context) : {};
  if (failure) throw new CallFailure(failure, detail);
  const { next_token: next = '' } = isRecord(said['page']) ? said['page'] : {};
  const { results } = said;
  if (!Array.isArray(results) || !results.every(isNamed) || typeof next !== 'string')
    throw new CallFailure('bad_answer', 'the answer holds no page of results');
  const { undecided } = context;
  return { results, next, undecided: typeof undecided === 'number' ? undecided : 0 };
}

/** An entity by type and id, or an action by name. */
function isNamed(result: unknown): result is object {
  if (!isRecord(result)) return false;
  return (
    (textIn(result, 'type') !== undefined && textIn(result, 'id') !== undefined) ||
    textIn(result, 'name') !== undefined
  );
}

/** The answer that a call without one comes to. */
export function failureAnswer(error: unknown): Answer {
  if (error instanceof CallFailure) return failed(error.failure, error.message);
  return failed('unavailable', error instanceof Error ? error.message : String(error));
}

function failed(failure: Failure, detail: string): Answer {
  return { allowed: false, reason: failure, failure, detail };
}

/** What was no question, or none that we may ask, or what the decision point was not able to decide. */
function failureIn(error: Json, context: Json): Answer {
  const { status } = error;
  const detail = textIn(error, 'message') ?? `status ${String(status)}`;
  const reason = textIn(context, 'reason');
  return {
    ...failed(failureOfStatus(status), reason === undefined ? detail : `${reason}: ${detail}`),
    ...given('decisionId', textIn(context, 'decision_id')),
  };
}

function failureOfStatus(status: unknown): Failure {
  if (status === 400) return 'bad_question';
  return status === 401 || status === 403 ? 'not_allowed_to_ask' : 'unavailable';
}

function adviceIn(value: unknown): Answer['advice'] {
  if (!isRecord(value)) return undefined;
  const { kind, acr_values: acrValues } = value;
  if (kind !== 'authenticate' && kind !== 'step_up') return undefined;
  const isList = Array.isArray(acrValues) && acrValues.every((item) => typeof item === 'string');
  return { kind, ...(isList && { acrValues }) };
}

function textIn(json: Json, name: string): string | undefined {
  const value = json[name];
  return typeof value === 'string' ? value : undefined;
}

function dateIn(json: Json, name: string): Date | undefined {
  const at = Date.parse(textIn(json, name) ?? '');
  return Number.isNaN(at) ? undefined : new Date(at);
}

function given<K extends keyof Answer>(name: K, value: Answer[K] | undefined): Pick<Answer, K> | object {
  return value === undefined ? {} : { [name]: value };
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
