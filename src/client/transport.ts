import { context, propagation } from '@opentelemetry/api';
import type { Failure } from './types.ts';

/** How a decision point is reached. */
export interface TransportOptions {
  /** Base URL of the decision point, such as `https://pdp.example.com`. */
  readonly url: string;
  /** The bearer token by which this application says who it is; asked for before each call, so that it can be renewed. */
  readonly token?: (() => string | Promise<string>) | undefined;
  /** Ms for a call with all its retries. */
  readonly timeoutMs: number;
  /** Further tries after a failure that may pass; questions are safe to ask twice. */
  readonly retries: number;
  /** In the place of the global `fetch`, for example one with a client certificate. */
  readonly fetch: typeof globalThis.fetch;
}

/** What the caller of one call adds. */
export interface CallOptions {
  /** Ends the call early. */
  readonly signal?: AbortSignal;
  /** Ms for this call, where it is less than the client's. */
  readonly timeoutMs?: number;
}

/** A call that brought no answer. */
export class CallFailure extends Error {
  override readonly name = 'CallFailure';
  readonly failure: Failure;

  constructor(failure: Failure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Of what comes with an error: for operators, and proxies send whole pages. */
const MAX_WORDS_BYTES = 2048;
const FIRST_PAUSE_MS = 20;
const MAY_PASS: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Posts JSON and reads the JSON that comes back. Rejects with {@link CallFailure}. */
export async function post(
  options: TransportOptions,
  path: string,
  body: object,
  { signal: callers, timeoutMs = options.timeoutMs }: CallOptions,
): Promise<unknown> {
  const text = jsonOf(body);
  // Not a number is no limit of the caller's own.
  const limitMs = Math.min(Number.isNaN(timeoutMs) ? options.timeoutMs : timeoutMs, options.timeoutMs);
  const deadline = AbortSignal.timeout(Math.ceil(Math.max(0, limitMs)));
  const signal = callers ? AbortSignal.any([deadline, callers]) : deadline;
  for (let attempt = 0; ; attempt++) {
    try {
      return await once(options, path, text, signal);
    } catch (error) {
      const failure = failureOf(error, signal);
      if (failure.failure !== 'unavailable' || attempt >= options.retries) throw failure;
      if (!(await pause(FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random() / 2), signal)))
        throw new CallFailure('timeout', failure.message, { cause: failure });
    }
  }
}

async function once(
  { url, token, fetch }: TransportOptions,
  path: string,
  body: string,
  signal: AbortSignal,
): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  propagation.inject(context.active(), headers);
  if (token) headers['authorization'] = await bearerOf(token, signal);
  const init = { method: 'POST', headers, body, signal, redirect: 'error' } as const;
  const response = await fetch(`${url}${path}`, init);
  if (!response.ok) throw refusalOf(response.status, (await textOf(response, MAX_WORDS_BYTES)).text);
  const { text, isWhole } = await textOf(response, MAX_ANSWER_BYTES);
  if (!isWhole) throw new CallFailure('bad_answer', `the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new CallFailure('bad_answer', 'the answer is not JSON', { cause: error });
  }
}

function refusalOf(status: number, text: string): CallFailure {
  const words = `the decision point answered ${status}${text === '' ? '' : `: ${text}`}`;
  if (MAY_PASS.has(status) || status === 500) return new CallFailure('unavailable', words);
  if (status === 401 || status === 403) return new CallFailure('not_allowed_to_ask', words);
  return new CallFailure(status === 400 || status === 413 ? 'bad_question' : 'bad_answer', words);
}

/** What comes within `maxBytes`. */
async function textOf(response: Response, maxBytes: number): Promise<{ text: string; isWhole: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > maxBytes) break;
  }
  const text = Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8');
  return { text, isWhole: size <= maxBytes };
}

function jsonOf(body: object): string {
  try {
    return JSON.stringify(body);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new CallFailure('bad_question', `the question cannot be written as JSON: ${words}`, {
      cause: error,
    });
  }
}

/** Waits for the token no longer than for the answer. */
async function bearerOf(token: () => string | Promise<string>, signal: AbortSignal): Promise<string> {
  const bearer = await Promise.race([token(), aborted(signal)]);
  // A header that is not accepted would be quoted by whoever does not.
  if (typeof bearer !== 'string' || !/^[!-~]+$/.test(bearer))
    throw new CallFailure('not_allowed_to_ask', 'there is no token to call with, or it is none');
  return `Bearer ${bearer}`;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(new Error('aborted', { cause: signal.reason }));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

function failureOf(error: unknown, signal: AbortSignal): CallFailure {
  if (error instanceof CallFailure) return error;
  if (signal.aborted) return new CallFailure('timeout', 'no answer in time', { cause: error });
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const words = cause instanceof Error ? cause.message : String(cause);
  return new CallFailure('unavailable', `the decision point cannot be reached: ${words}`, { cause: error });
}

/** Whether the pause was over before the signal was. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end);
      resolve(true);
    }, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}
