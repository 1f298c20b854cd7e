import type { AccessRequest, HttpRequest } from './access-request.ts';
import { type Refusal, refuse } from './decision.ts';
import { checkHeaders, checkPseudoHeaders } from './canonical-headers.ts';
import { asciiLowerCase } from './header-fields.ts';
import { canonicalIp } from './ip-address.ts';
import { checkUpgrade } from './upgrade.ts';

/** The one reading of a request's address that policies, caches and records use. */
export interface CanonicalRequest {
  readonly method: string;
  /** Percent-encoded path in RFC 3986 normal form, without query. */
  readonly path: string;
  /** Lower-case host, without default port or trailing dot. */
  readonly host: string;
}

const MAX_PATH_LENGTH = 8192;
const MAX_HOST_LENGTH = 262;

/** What a deployment lets through that is refused by default. */
export interface CanonicalOptions {
  /** Protocols that requests may upgrade to, in lower case; none where not given. */
  readonly upgrades?: readonly string[];
}

/**
 * Reads method, path and host in the one canonical way, or refuses what could be read in two.
 *
 * No URL library is involved: they fold `..`, `\` and `//`, which is how decision points came to disagree with backends
 * (CVE-2026-26205, CVE-2026-42274, CVE-2021-31920).
 */
export function canonicalise(
  { http }: AccessRequest,
  { upgrades = [] }: CanonicalOptions = {},
): CanonicalRequest | Refusal {
  const { method } = http;
  const scheme = asciiLowerCase(http.scheme);
  if (!/^[A-Z][A-Z0-9_-]{0,31}$/.test(method))
    return refuse('request_malformed', 'the method is not an upper-case HTTP token');
  if (!['', 'http', 'https'].includes(scheme))
    return refuse('request_malformed', 'the scheme is neither http nor https');
  const upgrade = checkUpgrade(http, upgrades);
  if (upgrade) return upgrade;
  const path = canonicalPath(http.path);
  if (typeof path !== 'string') return path;
  const host = canonicalHost(http.host, scheme);
  if (typeof host !== 'string') return host;
  return (
    checkGrpcPath(http, path) ?? checkPseudoHeaders(http) ?? checkHeaders(http) ?? { method, path, host }
  );
}

/**
 * gRPC servers compare the bytes of `:path` with `/package.Service/Method`: there is no other spelling of a method. A prefix is
 * the PEP's to take off.
 */
function checkGrpcPath({ headers, path }: HttpRequest, canonical: string): Refusal | undefined {
  const isGrpc = headers.values('content-type').some((type) => /^application\/grpc(?:$|[+; ])/i.test(type));
  return isGrpc && (path !== canonical || !/^(?:\/[^/%]+){2,}$/.test(path))
    ? refuse('path_ambiguous', "the path of a gRPC request is not exactly '/package.Service/Method'")
    : undefined;
}

/** Canonical path without query, or `path_ambiguous`. Idempotent on its results. */
export function canonicalPath(raw: string): string | Refusal {
  if (raw.length > MAX_PATH_LENGTH)
    return refuse('path_ambiguous', `the path is longer than ${MAX_PATH_LENGTH} characters`);
  const query = raw.indexOf('?');
  const path = query === -1 ? raw : raw.slice(0, query);
  if (!path.startsWith('/')) return refuse('path_ambiguous', "the path does not start with '/'");
  // Printable ASCII only, and none of the characters that backends disagree on.
  if (!/^[!-~]*$/.test(raw))
    return refuse('path_ambiguous', 'the path holds a space, a control or a non-ASCII character');
  if (raw.includes('#')) return refuse('path_ambiguous', "the path holds a fragment '#'");
  if (/[;\\"<>[\]^`{|}]/.test(path))
    return refuse('path_ambiguous', 'the path holds one of ; \\ " < > [ ] ^ ` { | }');
  if (path.includes('//')) return refuse('path_ambiguous', "the path holds an empty segment '//'");
  const decoded = normaliseEscapes(path);
  if (typeof decoded !== 'string') return decoded;
  if (/\/\.{1,2}(?:\/|$)/.test(decoded))
    return refuse('path_ambiguous', "the path holds a '.' or '..' segment");
  return decoded;
}

/** What stands for itself in a path (RFC 3986 §3.3 pchar), but for ';'. */
const PLAIN = /[A-Za-z0-9._~!$&'()*+,=:@-]/;

/**
 * RFC 3986 §6.2.2: hex in upper case, and decoded what may stand unescaped. That is more than the unreserved characters: to all but
 * a few backends `%3A` and `:` are one path, and a policy about `/v1/things:delete` must not miss the other spelling. What is
 * left escaped cannot be written otherwise, so two canonical paths never decode to one. Refuses escapes that a backend might decode
 * to structure.
 */
function normaliseEscapes(path: string): string | Refusal {
  if (!path.includes('%')) return path;
  let ambiguous: string | undefined;
  const result = path.replace(/%(..?)?/g, (escape, digits: string | undefined, offset: number) => {
    if (digits === undefined || !/^[0-9A-Fa-f]{2}$/.test(digits)) {
      ambiguous ??= 'the path holds an incomplete percent escape';
      return escape;
    }
    const code = Number.parseInt(digits, 16);
    const character = String.fromCharCode(code);
    if (code < 0x20 || code === 0x7f) ambiguous ??= 'the path holds an encoded control character';
    if ('/\\;?#'.includes(character)) ambiguous ??= `the path holds an encoded '${character}'`;
    if (character === '%' && /^[0-9A-Fa-f]{2}/.test(path.slice(offset + 3)))
      ambiguous ??= 'the path is encoded twice';
    return PLAIN.test(character) ? character : `%${digits.toUpperCase()}`;
  });
  // Overlong forms such as %c0%af are a '/' to lenient decoders and nothing to strict ones.
  if (ambiguous === undefined && !isUtf8Escaped(result))
    ambiguous = 'the path holds escapes that are not UTF-8';
  // An escaped '%' whose neighbour only decoded into a hex digit now is a second encoding too.
  if (ambiguous === undefined && /%25[0-9A-Fa-f]{2}/.test(result)) ambiguous = 'the path is encoded twice';
  return ambiguous === undefined ? result : refuse('path_ambiguous', ambiguous);
}

function isUtf8Escaped(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** Canonical host, or `host_ambiguous`. `scheme` decides which port is the default one. Idempotent on its results. */
export function canonicalHost(raw: string, scheme: string): string | Refusal {
  if (raw.length === 0) return refuse('host_ambiguous', 'the request names no host');
  if (raw.length > MAX_HOST_LENGTH) return refuse('host_ambiguous', 'the host is too long');
  const match =
    /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)(\.)?(?::([0-9]{1,5}))?$/.exec(
      raw,
    );
  const name = match?.[1];
  if (name === undefined || name.includes('..'))
    return refuse('host_ambiguous', 'the host is not a plain host name or address');
  const address = name.startsWith('[') ? canonicalIp(name.slice(1, -1)) : undefined;
  if (name.startsWith('[') && (address === undefined || match?.[2] !== undefined))
    return refuse('host_ambiguous', 'the host is bracketed without being an IPv6 address');
  const lower = address?.includes(':') ? `[${address}]` : (address ?? asciiLowerCase(name));
  if (match?.[3] === undefined) return lower;
  const port = Number(match[3]);
  if (port === 0 || port > 65_535) return refuse('host_ambiguous', 'the port of the host is out of range');
  const isDefault = (scheme === 'https' && port === 443) || (scheme === 'http' && port === 80);
  return isDefault ? lower : `${lower}:${port}`;
}

/** The single value of a security-relevant header. `undefined`: absent. Refuses duplicates and `_` spellings of the name. */
export function singleHeader(
  request: AccessRequest,
  name: string,
  conflict: Refusal,
): string | Refusal | undefined {
  const { headers } = request.http;
  const values = headers.values(name);
  if (values.length > 1) return conflict;
  if (headers.hasUnderscoreTwin(name))
    return refuse('header_ambiguous', `'${name}' is also sent with underscores`);
  return values[0];
}
