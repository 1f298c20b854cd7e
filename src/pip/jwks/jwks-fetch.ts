/** Fetches like the global `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const MAX_BYTES = 512 * 1024;
const TIMEOUT_MS = 5_000;

/**
 * Fetches the text of a key set: no redirects (a redirect is somebody else's URL), status 200 only, at most 512 KiB, at most
 * five seconds. Throws an `Error` in an operator's words.
 */
export async function fetchJwks(fetch: Fetch, url: string, signal: AbortSignal): Promise<string> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([timeout, signal]),
      headers: { accept: 'application/jwk-set+json, application/json' },
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`answered with status ${response.status}`);
    }
    return await readBounded(response);
  } catch (error) {
    if (timeout.aborted) throw new Error(`did not answer within ${TIMEOUT_MS} ms`, { cause: error });
    throw error;
  }
}

async function readBounded(response: Response): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let size = 0;
  let text = '';
  // Leaving the loop early cancels the body.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error(`answered with more than ${MAX_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The words of a failed fetch, with the cause that `fetch` hides behind "fetch failed". */
export function fetchProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (error.message !== 'fetch failed' || !(cause instanceof Error)) return error.message;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  return cause.message === '' ? (code ?? error.message) : cause.message;
}
