import { BUNDLE_LIMITS } from './policy-path.ts';

/** Fetches like the global `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** What a source answered. */
export type BundleAnswer =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'bundle'; readonly bytes: Buffer; readonly etag?: string };

/** One question to a source. */
export interface BundleQuestion {
  readonly url: string;
  /** Of the bundle at hand; the source need not send that one again. */
  readonly etag?: string | undefined;
  /** Ms for the whole answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A URL fit for logs: without its query, which may be a signature that grants access (design §4.8). */
export function urlForLog(text: string): string {
  const url = URL.parse(text);
  return url === null ? '(not a URL)' : `${url.origin}${url.pathname}`;
}

/**
 * Fetches a bundle: no redirects (a redirect is somebody else's URL), status 200, or 304 where an ETag was sent, and no more bytes than
 * a bundle may have. Throws an `Error` in an operator's words.
 */
export async function fetchBundle(fetch: Fetch, question: BundleQuestion): Promise<BundleAnswer> {
  const { url, etag, timeoutMs, signal } = question;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([timeout, signal]),
      headers: {
        accept: 'application/gzip, application/octet-stream;q=0.9',
        // The bundle is compressed already; a second layer would only be one more thing to inflate.
        'accept-encoding': 'identity',
        ...(etag === undefined ? {} : { 'if-none-match': etag }),
      },
    });
    return await readAnswer(response, etag !== undefined);
  } catch (error) {
    if (timeout.aborted) throw new Error(`did not answer within ${timeoutMs} ms`, { cause: error });
    throw new Error(fetchProblem(error), { cause: error });
  }
}

async function readAnswer(response: Response, conditional: boolean): Promise<BundleAnswer> {
  if (response.status === 200) {
    const bytes = await readBounded(response);
    const etag = usableEtag(response.headers.get('etag'));
    return { kind: 'bundle', bytes, ...(etag === undefined ? {} : { etag }) };
  }
  await response.body?.cancel();
  if (response.status === 304 && conditional) return { kind: 'unchanged' };
  throw new Error(`answered with status ${response.status}`);
}

async function readBounded(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the body.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > BUNDLE_LIMITS.packedBytes)
      throw new Error(`answered with more than ${BUNDLE_LIMITS.packedBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An entity tag (RFC 9110 §8.8.3) short enough to send back; anything else is as none. */
function usableEtag(value: string | null): string | undefined {
  return value !== null && /^(?:W\/)?"[\x21\x23-\x7e]{0,256}"$/.test(value) ? value : undefined;
}

/** The words of a failed fetch, with the cause that `fetch` hides behind "fetch failed" and "terminated". */
function fetchProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(error instanceof TypeError) || !(cause instanceof Error)) return error.message;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  return cause.message === '' ? (code ?? error.message) : cause.message;
}
