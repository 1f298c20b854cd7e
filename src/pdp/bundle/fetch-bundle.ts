import { type Fetch, boundedFetch, readBounded } from '../bounded-fetch.ts';
import { BUNDLE_LIMITS } from './policy-path.ts';

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

/** A URL fit for logs: without its query, which may be a signature that grants access. */
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
  const headers = {
    accept: 'application/gzip, application/octet-stream;q=0.9',
    // The bundle is compressed already; a second layer would only be one more thing to inflate.
    'accept-encoding': 'identity',
    ...(etag === undefined ? {} : { 'if-none-match': etag }),
  };
  const read = (response: Response) => readAnswer(response, etag !== undefined);
  return await boundedFetch(fetch, { url, headers, timeoutMs, signal, read });
}

async function readAnswer(response: Response, conditional: boolean): Promise<BundleAnswer> {
  if (response.status === 200) {
    const bytes = await readBounded(response.body, BUNDLE_LIMITS.packedBytes);
    const etag = usableEtag(response.headers.get('etag'));
    return { kind: 'bundle', bytes, ...(etag === undefined ? {} : { etag }) };
  }
  await response.body?.cancel();
  if (response.status === 304 && conditional) return { kind: 'unchanged' };
  throw new Error(`answered with status ${response.status}`);
}

/** An entity tag (RFC 9110 §8.8.3) short enough to send back; anything else is as none. */
function usableEtag(value: string | null): string | undefined {
  return value !== null && /^(?:W\/)?"[\x21\x23-\x7e]{0,256}"$/.test(value) ? value : undefined;
}
