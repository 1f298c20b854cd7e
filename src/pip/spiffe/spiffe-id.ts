import type { WorkloadIdentity } from '../../pdp/identity.ts';

/** Why a text is not the SPIFFE ID of a workload. */
export interface InvalidSpiffeId {
  readonly invalid: string;
}

const SCHEME = 'spiffe://';
const MAX_LENGTH = 2048;
const MAX_TRUST_DOMAIN_LENGTH = 255;

/**
 * Reads the SPIFFE ID of a workload by the grammar of SPIFFE-ID §2, byte by byte and without a URL library (they fold
 * `..`, `%` and `\`). Stricter than the standard in two points: the scheme and the trust domain must be in lower case
 * (§2.4 would let the scheme vary), and IDs over 2048 bytes or trust domains over 255 are refused (§2.3). A path is
 * required: an ID without one names a trust domain, not a workload.
 */
export function parseSpiffeId(text: string): WorkloadIdentity | InvalidSpiffeId {
  // Every accepted character is ASCII, so UTF-16 units are bytes here.
  if (text.length > MAX_LENGTH) return invalid(`longer than ${MAX_LENGTH} bytes`);
  if (!text.startsWith(SCHEME)) return invalid("does not start with 'spiffe://' in lower case");
  const slash = text.indexOf('/', SCHEME.length);
  const trustDomain = slash === -1 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash);
  const problem =
    trustDomainProblem(trustDomain) ?? (slash === -1 ? 'has no path' : pathProblem(text, slash));
  if (problem !== undefined) return invalid(problem);
  const path = text.slice(slash);
  return { id: text, trustDomain, path, ...kubernetesNames(path) };
}

/**
 * Reads a peer's principal as Envoy and Istio write it: a SPIFFE ID, or Istio's form without the scheme,
 * `<trust domain>/ns/<namespace>/sa/<service account>`, which gains the scheme. Nothing else is an identity: a DNS name or
 * a certificate's subject, which Envoy puts in the same field, is invalid here.
 */
export function normalisePrincipal(text: string): WorkloadIdentity | InvalidSpiffeId {
  if (text.includes(':')) return parseSpiffeId(text);
  const identity = parseSpiffeId(`${SCHEME}${text}`);
  if ('invalid' in identity || identity.namespace !== undefined) return identity;
  return invalid("has no scheme and is not of the form '<trust domain>/ns/<namespace>/sa/<service account>'");
}

function invalid(reason: string): InvalidSpiffeId {
  return { invalid: reason };
}

/** Why a text is not the name of a trust domain (SPIFFE-ID §2.1), in words; `undefined` where it is. */
export function trustDomainProblem(trustDomain: string): string | undefined {
  if (trustDomain.length === 0) return 'has an empty trust domain';
  if (trustDomain.length > MAX_TRUST_DOMAIN_LENGTH) {
    return `has a trust domain longer than ${MAX_TRUST_DOMAIN_LENGTH} bytes`;
  }
  for (let index = 0; index < trustDomain.length; index += 1) {
    if (!isTrustDomainCode(trustDomain.charCodeAt(index)))
      return 'has a trust domain with a character outside of a-z 0-9 . - _';
  }
  return undefined;
}

function pathProblem(text: string, start: number): string | undefined {
  let segmentStart = start + 1;
  for (let index = segmentStart; index <= text.length; index += 1) {
    const code = index === text.length ? SLASH : text.charCodeAt(index);
    if (code === SLASH) {
      const problem = segmentProblem(text, segmentStart, index);
      if (problem !== undefined) return problem;
      segmentStart = index + 1;
    } else if (!isPathCode(code)) {
      return 'has a path with a character outside of A-Z a-z 0-9 . - _';
    }
  }
  return undefined;
}

function segmentProblem(text: string, start: number, end: number): string | undefined {
  if (start === end) return end === text.length ? "ends with '/'" : 'has an empty path segment';
  const segment = end - start > 2 ? '' : text.slice(start, end);
  return segment === '.' || segment === '..' ? `has a '${segment}' path segment` : undefined;
}

function kubernetesNames(path: string): { namespace: string; serviceAccount: string } | undefined {
  const [, ns, namespace, sa, serviceAccount, ...rest] = path.split('/');
  if (ns !== 'ns' || sa !== 'sa' || namespace === undefined || serviceAccount === undefined) return undefined;
  return rest.length === 0 ? { namespace, serviceAccount } : undefined;
}

const SLASH = 0x2f;

function isTrustDomainCode(code: number): boolean {
  return isLower(code) || isDigit(code) || isMark(code);
}

function isPathCode(code: number): boolean {
  return isLower(code) || isUpper(code) || isDigit(code) || isMark(code);
}

function isLower(code: number): boolean {
  return code >= 0x61 && code <= 0x7a;
}

function isUpper(code: number): boolean {
  return code >= 0x41 && code <= 0x5a;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** '-', '.' or '_'. */
function isMark(code: number): boolean {
  return code === 0x2d || code === 0x2e || code === 0x5f;
}
