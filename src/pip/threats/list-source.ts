import { readFile, stat } from 'node:fs/promises';
import { type Fetch, boundedFetch, readBounded, utf8Text } from '../../pdp/bounded-fetch.ts';
import { fileProblem } from '../polled-file.ts';

/** What a list looks like to whoever fetched it before. */
export type ListAnswer =
  | { readonly kind: 'unchanged' }
  /** `validator`: by which this version is known again. */
  | { readonly kind: 'changed'; readonly text: string; readonly validator?: string };

/** Where a list comes from. */
export interface ListSource {
  /** Path or URL (without its query), for problems. */
  readonly where: string;
  /** Fetches the list, unless it is still the version of `validator`. Rejects with an `Error` in an operator's words. */
  fetch(validator: string | undefined, signal: AbortSignal): Promise<ListAnswer>;
}

/** A list in a file of at most `maxBytes`, in UTF-8. */
export function fileSource(file: string, maxBytes: number): ListSource {
  const read = async (known: string | undefined): Promise<ListAnswer> => {
    // Looked at before it is read: a write in between makes the next look see another version, never miss one.
    const { ino, size, mtimeNs } = await stat(file, { bigint: true });
    const validator = `${ino}/${size}/${mtimeNs}`;
    if (validator === known) return { kind: 'unchanged' };
    if (size > maxBytes) throw new Error(tooLong(maxBytes));
    const bytes = await readFile(file);
    if (bytes.length > maxBytes) throw new Error(tooLong(maxBytes));
    return { kind: 'changed', text: utf8Text(bytes), validator };
  };
  return {
    where: file,
    fetch: (known) =>
      read(known).catch((error: unknown) => {
        throw error instanceof Error && 'syscall' in error ? new Error(fileProblem(error)) : error;
      }),
  };
}

/** Settings of {@link urlSource}. */
export interface UrlSourceOptions {
  readonly url: string;
  /** File with a bearer token, read for every question. */
  readonly tokenFile?: string;
  readonly maxBytes: number;
  /** Ms for the whole answer. */
  readonly timeoutMs: number;
  readonly fetch: Fetch;
}

/** A list at a URL: no redirects, status 200, or 304 where an ETag was sent (RFC 9110 §13.1.2), at most `maxBytes`, in UTF-8. */
export function urlSource(options: UrlSourceOptions): ListSource {
  const { url, tokenFile, maxBytes, timeoutMs, fetch } = options;
  const { origin, pathname } = new URL(url);
  return {
    where: `${origin}${pathname}`,
    async fetch(etag, signal) {
      const headers = {
        accept: 'text/plain, application/json;q=0.9, */*;q=0.1',
        ...(tokenFile !== undefined && { authorization: `Bearer ${await readToken(tokenFile)}` }),
        ...(etag !== undefined && { 'if-none-match': etag }),
      };
      const read = (response: Response) => readAnswer(response, maxBytes, etag !== undefined);
      return await boundedFetch(fetch, { url, headers, timeoutMs, signal, read });
    },
  };
}

async function readAnswer(response: Response, maxBytes: number, conditional: boolean): Promise<ListAnswer> {
  if (response.status === 200) {
    const text = utf8Text(await readBounded(response.body, maxBytes));
    const etag = usableEtag(response.headers.get('etag'));
    return { kind: 'changed', text, ...(etag !== undefined && { validator: etag }) };
  }
  await response.body?.cancel();
  if (response.status === 304 && conditional) return { kind: 'unchanged' };
  throw new Error(`answered with status ${response.status}`);
}

/** An entity tag (RFC 9110 §8.8.3) short enough to send back; anything else is as none. */
function usableEtag(value: string | null): string | undefined {
  return value !== null && /^(?:W\/)?"[\x21\x23-\x7e]{0,256}"$/.test(value) ? value : undefined;
}

/** RFC 6750 §2.1. What is no token is not sent, and not repeated in the problem. */
async function readToken(file: string): Promise<string> {
  const token = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    (error: unknown) => {
      throw new Error(`the bearer token cannot be had: ${fileProblem(error)}`);
    },
  );
  if (!/^[A-Za-z0-9._~+/-]{1,8192}=*$/.test(token)) throw new Error('the file holds no bearer token');
  return token;
}

function tooLong(maxBytes: number): string {
  return `is longer than ${maxBytes} bytes`;
}
