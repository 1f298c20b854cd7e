import { type Fetch, boundedFetch, readBounded, utf8Text } from '../../pdp/bounded-fetch.ts';

const MAX_BYTES = 512 * 1024;
const TIMEOUT_MS = 5_000;
/** Some stores of files say 403 of what they do not have. */
const NOT_HERE = [403, 404, 410];

/** The server has answered, and there is nothing to be had. */
export class Unavailing extends Error {}

/**
 * Fetches the text of a key set: no redirects, status 200 only, at most 512 KiB, at most five seconds. Rejects with an `Error` in an
 * operator's words.
 */
export async function fetchJwks(fetch: Fetch, url: string, signal: AbortSignal): Promise<string> {
  const headers = { accept: 'application/jwk-set+json, application/json' };
  return await boundedFetch(fetch, { url, headers, timeoutMs: TIMEOUT_MS, signal, read });
}

async function read(response: Response): Promise<string> {
  if (response.status === 200) return utf8Text(await readBounded(response.body, MAX_BYTES));
  await response.body?.cancel();
  const { status } = response;
  const message = `answered with status ${status}`;
  throw NOT_HERE.includes(status) ? new Unavailing(message) : new Error(message);
}
