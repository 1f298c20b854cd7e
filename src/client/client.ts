import { answerOf, failureAnswer, pageOf } from './answer.ts';
import { Batcher } from './batcher.ts';
import { type CallOptions, CallFailure, type TransportOptions, post } from './transport.ts';
import type { Action, Answer, Entity, Properties, Question, TokenSubject } from './types.ts';

export type { Action, Answer, Entity, Failure, Properties, Question, TokenSubject } from './types.ts';
export { type CallOptions, CallFailure } from './transport.ts';

/** Settings of {@link createPdpClient}. */
export interface PdpClientOptions {
  /** Base URL of the decision point, such as `https://pdp.example.com`. */
  readonly url: string;
  /** The bearer token by which this application says who it is; asked for before each call, so that it can be renewed. */
  readonly token?: () => string | Promise<string>;
  /** Ms for a call with all its retries; default 1000. */
  readonly timeoutMs?: number;
  /** Ms for one page of a search with all its retries, which the decision point may take its own time for; default 5000. */
  readonly searchTimeoutMs?: number;
  /** Further tries where the decision point cannot be reached or is not able to answer; default 1. */
  readonly retries?: number;
  /** Questions that are asked in one turn of the event loop, within one trace, go in one call; default true. */
  readonly batching?: boolean;
  /** Questions in one call at most, as the decision point allows; default 100. */
  readonly maxBatchItems?: number;
  /** In the place of the global `fetch`, for example one with a client certificate. */
  readonly fetch?: typeof globalThis.fetch;
}

/** What was asked is not allowed, or nobody could tell. */
export class AccessDenied extends Error {
  override readonly name = 'AccessDenied';
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(answer.message ?? `access denied (${answer.reason})`);
    this.answer = answer;
  }
}

/** Whom or what to search for: the part that is left out of the question. */
export interface SubjectSearch {
  readonly subject: { readonly type: string; readonly properties?: Properties };
  readonly action: Action;
  readonly resource: Entity;
  readonly context?: Properties;
}

/** See {@link SubjectSearch}. */
export interface ResourceSearch {
  readonly subject: Entity | TokenSubject;
  readonly action: Action;
  readonly resource: { readonly type: string; readonly properties?: Properties };
  readonly context?: Properties;
}

/** See {@link SubjectSearch}. */
export interface ActionSearch {
  readonly subject: Entity | TokenSubject;
  readonly resource: Entity;
  readonly context?: Properties;
}

/** Asks a decision point over the OpenID AuthZEN Authorization API 1.0. */
export interface PdpClient {
  /** Asks one question. Never rejects: without a decision nothing is allowed, and `failure` says why there is none. */
  check(question: Question, options?: CallOptions): Promise<Answer>;
  /** Asks many questions; the answers are in their order. One set of policies answers those of one call, `maxBatchItems` at most. Never rejects. */
  checkAll(questions: readonly Question[], options?: CallOptions): Promise<readonly Answer[]>;
  /** Asks one question and throws {@link AccessDenied} unless it is allowed. */
  enforce(question: Question, options?: CallOptions): Promise<Answer>;
  /** Who may do it, page by page. Throws {@link CallFailure}: a list that ends early must not look whole. */
  subjects(search: SubjectSearch, options?: CallOptions): AsyncIterable<{ type: string; id: string }>;
  /** What it may be done to. Throws as `subjects` does. */
  resources(search: ResourceSearch, options?: CallOptions): AsyncIterable<{ type: string; id: string }>;
  /** What may be done. Throws as `subjects` does. */
  actions(search: ActionSearch, options?: CallOptions): AsyncIterable<{ name: string }>;
}

const PATHS = {
  evaluation: '/access/v1/evaluation',
  evaluations: '/access/v1/evaluations',
  search: '/access/v1/search/',
} as const;

/**
 * Makes a client. It holds no state but the questions of the present turn, so that one serves a whole application. Throws `TypeError` for options
 * that are none.
 */
export function createPdpClient(options: PdpClientOptions): PdpClient {
  const { batching = true, maxBatchItems = 100 } = options;
  const transport = transportOf(options);
  const searching = transportOf({ ...options, timeoutMs: options.searchTimeoutMs ?? 5000 });
  if (!Number.isSafeInteger(maxBatchItems) || maxBatchItems < 1)
    throw new TypeError('maxBatchItems must be a whole number above 0');
  const batcher = new Batcher<Question, Answer>((items) => askAll(transport, items, {}), maxBatchItems);
  const check: PdpClient['check'] = async (question, call) =>
    batching && !call ? await batcher.add(question) : await askOne(transport, question, call ?? {});
  return {
    check,
    async checkAll(questions, call = {}) {
      const parts = Array.from({ length: Math.ceil(questions.length / maxBatchItems) }, (_, index) =>
        questions.slice(index * maxBatchItems, (index + 1) * maxBatchItems),
      );
      return (await Promise.all(parts.map((part) => askAll(transport, part, call)))).flat();
    },
    async enforce(question, call) {
      const answer = await check(question, call);
      if (answer.allowed) return answer;
      throw new AccessDenied(answer);
    },
    subjects: (search, call) => pages(searching, 'subject', search, call ?? {}),
    resources: (search, call) => pages(searching, 'resource', search, call ?? {}),
    actions: (search, call) => pages(searching, 'action', search, call ?? {}),
  };
}

/** The longest that a timer can wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

function transportOf({
  url,
  token,
  timeoutMs = 1000,
  retries = 1,
  fetch,
}: PdpClientOptions): TransportOptions {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '') || /[?#]/.test(url))
    throw new TypeError('url must be an http or https URL without a query or a fragment');
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS))
    throw new TypeError(`timeoutMs must be above 0 and no more than ${MAX_TIMEOUT_MS}`);
  if (!Number.isSafeInteger(retries) || retries < 0)
    throw new TypeError('retries must be a whole number, 0 or above');
  return { url: url.replace(/\/+$/, ''), token, timeoutMs, retries, fetch: fetch ?? globalThis.fetch };
}

async function askOne(transport: TransportOptions, question: Question, call: CallOptions): Promise<Answer> {
  try {
    return answerOf(await post(transport, PATHS.evaluation, question, call));
  } catch (error) {
    return failureAnswer(error);
  }
}

/** Further calls that finding the questions may cost that spoil a batch for the others. */
const MAX_SPLITS = 32;

/**
 * Answers questions together. Where they are refused as a whole, as for one that cannot be written as JSON or too many bytes in all, they are asked in
 * two halves: the fault of one is not that of the others.
 */
async function askAll(
  transport: TransportOptions,
  questions: readonly Question[],
  call: CallOptions,
  budget: { left: number } = { left: MAX_SPLITS },
): Promise<readonly Answer[]> {
  const [only] = questions;
  if (questions.length === 0) return [];
  if (only && questions.length === 1) return [await askOne(transport, only, call)];
  try {
    const said = await post(transport, PATHS.evaluations, { evaluations: questions }, call);
    return answersOf(said, questions.length);
  } catch (error) {
    const answer = failureAnswer(error);
    budget.left -= 2;
    if (answer.failure !== 'bad_question' || questions.length === 1 || budget.left < 0)
      return questions.map(() => answer);
    const half = Math.ceil(questions.length / 2);
    const halves = [questions.slice(0, half), questions.slice(half)];
    return (await Promise.all(halves.map((part) => askAll(transport, part, call, budget)))).flat();
  }
}

function answersOf(said: unknown, count: number): readonly Answer[] {
  // Turned away as a whole, as one question would be.
  const whole = answerOf(said);
  if (!whole.allowed && whole.failure !== 'bad_answer') return Array.from({ length: count }, () => whole);
  const items =
    typeof said === 'object' && said !== null && 'evaluations' in said ? said.evaluations : undefined;
  if (!Array.isArray(items) || items.length !== count)
    throw new CallFailure('bad_answer', 'the answer does not hold one decision for each question');
  return items.map(answerOf);
}

async function* pages<T>(
  transport: TransportOptions,
  searched: 'subject' | 'resource' | 'action',
  search: object,
  call: CallOptions,
): AsyncIterable<T> {
  let token = '';
  let missed = 0;
  do {
    const page = token === '' ? {} : { page: { token } };
    const said = await post(transport, `${PATHS.search}${searched}`, { ...search, ...page }, call);
    const { results, next, undecided } = pageOf(said);
    missed += undecided;
    yield* results as readonly T[];
    if (next !== '' && next === token)
      throw new CallFailure('bad_answer', 'the pages of the search do not come to an end');
    token = next;
  } while (token !== '');
  if (missed > 0)
    throw new CallFailure(
      'unavailable',
      `nothing could be decided of ${missed} candidates: the list is not whole`,
    );
}
