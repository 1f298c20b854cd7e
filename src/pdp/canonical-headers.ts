import type { HttpRequest } from './access-request.ts';
import { type Refusal, refuse } from './decision.ts';
import { type HeaderFields, asciiLowerCase } from './header-fields.ts';

const HEADER_NAME = /^:?[a-z0-9!#$%&'*+.^_`|~-]+$/;
const MAX_FIELDS = 200;

/** Names that the PEP, the hops and we speak to backends with: no client has a reason to spell one with '_'. */
const RESERVED =
  /^(?:content-length|content-type|transfer-encoding|proxy-authorization|client-cert(?:-chain)?|x-real-ip|x-(?:pdp|envoy|forwarded|original)-.*)$/;

/** What a `connection` header may name without taking from a later hop what was decided on. */
const CONNECTION_OPTIONS: ReadonlySet<string> = new Set([
  '',
  'close',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
]);

/**
 * Refuses header fields that a backend could read otherwise than we do: names that are no lower-case tokens (after Envoy's own
 * lower-casing), two names that become one when '_' is folded to '-' (CVE-2025-64484), `connection` options that have a later hop
 * take out other fields (GHSA-w9mr-28mw-j8hg), and more fields than any honest client sends. Which fields must be single is each
 * consumer's own rule.
 */
export function checkHeaders({ headers }: HttpRequest): Refusal | undefined {
  if (headers.fieldCount > MAX_FIELDS)
    return refuse('header_ambiguous', `more than ${MAX_FIELDS} header fields`);
  for (const name of headers.names()) {
    if (!HEADER_NAME.test(name))
      return refuse('header_ambiguous', 'a header name holds characters outside of RFC 9110 tokens');
  }
  return checkUnderscores(headers) ?? checkConnection(headers);
}

function checkUnderscores(headers: HeaderFields): Refusal | undefined {
  for (const folded of headers.folded()) {
    if (headers.values(folded).length > 0 || headers.foldedTwice(folded))
      return refuse('header_ambiguous', `'${folded}' is sent in spellings that '_' folded to '-' makes one`);
    if (RESERVED.test(folded)) return refuse('header_ambiguous', `'${folded}' is sent with underscores`);
  }
  return undefined;
}

function checkConnection(headers: HeaderFields): Refusal | undefined {
  const option = headers.separate('connection').find((one) => !CONNECTION_OPTIONS.has(asciiLowerCase(one)));
  return option === undefined
    ? undefined
    : refuse('header_ambiguous', "the 'connection' header has a later hop take out other fields");
}

/**
 * Refuses a request whose pseudo-headers say something else than its address, and one whose path may have been repaired. Envoy writes '!' for
 * bytes that are not UTF-8: into the address always, into the header fields where they are joined. So raw fields tell what the backend
 * will see, and in joined ones a '!' could be any byte (CVE-2023-27488, CVE-2026-73550).
 */
export function checkPseudoHeaders({
  headers,
  method,
  path,
  host,
  scheme,
}: HttpRequest): Refusal | undefined {
  const [wirePath] = headers.values(':path');
  if (differs(headers, ':path', path))
    return refuse('path_ambiguous', "':path' and the path of the request differ");
  if (headers.joined && wirePath?.split('?', 1)[0]?.includes('!'))
    return refuse('path_ambiguous', "a '!' in the path may be Envoy's repair; set encode_raw_headers: true");
  if (differs(headers, ':authority', host) || differs(headers, 'host', host))
    return refuse('host_ambiguous', "':authority' or 'host' and the host of the request differ");
  if (differs(headers, ':method', method) || differs(headers, ':scheme', scheme))
    return refuse('request_malformed', "':method' or ':scheme' and the request differ");
  return undefined;
}

function differs(headers: HeaderFields, name: string, said: string): boolean {
  return headers.values(name).some((value) => value !== said);
}
