/** Fetches like the global `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** One question to a URL. */
export interface BoundedQuestion<T> {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Ms for the whole answer, its body included. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Reads the answer; what it throws is what the fetch rejects with. */
  read(response: Response): Promise<T>;
}

/**
 * Fetches without following redirects (a redirect is somebody else's URL), within the time given. Rejects with an `Error` in an
 * operator's words.
 */
export async function boundedFetch<T>(fetch: Fetch, question: BoundedQuestion<T>): Promise<T> {
  const { url, headers, timeoutMs } = question;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([timeout, question.signal]);
  try {
    return await question.read(await fetch(url, { redirect: 'error', signal, headers }));
  } catch (error) {
    if (timeout.aborted) throw new Error(`did not answer within ${timeoutMs} ms`, { cause: error });
    throw new Error(fetchProblem(error), { cause: error });
  }
}

/** A body is longer than it may be; the message is in an operator's words. */
export class TooLongError extends Error {
  constructor(maxBytes: number) {
    super(`answered with more than ${maxBytes} bytes`);
  }
}

/** Reads a body of at most `maxBytes`; throws a {@link TooLongError} where it is longer. */
export async function readBounded(body: AsyncIterable<Uint8Array> | null, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the body.
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new TooLongError(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The text of a body in UTF-8, without a byte order mark. Throws where it is not UTF-8. */
export function utf8Text(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** The words of a failed fetch, with the cause that `fetch` hides behind "fetch failed" and "terminated". */
function fetchProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(error instanceof TypeError) || !(cause instanceof Error)) return error.message;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  return cause.message === '' ? (code ?? error.message) : cause.message;
}
