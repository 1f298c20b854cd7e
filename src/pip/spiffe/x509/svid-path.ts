import type { SvidProblem } from '../../../pdp/x509-svid.ts';
import { type Certificate, criticalProblem, isNameless } from './certificate.ts';
import { keyFloorProblem, signatureFloorProblem } from './crypto-floor.ts';
import { nameConstraintProblem } from './name-constraints.ts';
import { type Purpose, purposeProblem } from './purpose.ts';
import { validityProblem } from './validity.ts';

/** What a path is looked for in. */
export interface PathSearch {
  readonly trustDomain: string;
  readonly leaf: Certificate;
  /** What the peer sent besides the leaf; none of it is trusted. */
  readonly intermediates: readonly Certificate[];
  /** The CA certificates of the trust domain. */
  readonly authorities: readonly Certificate[];
  readonly purposes: readonly Purpose[];
  /** Unix ms. */
  readonly now: number;
}

/** A path that was found right: the leaf first, an authority of the trust domain last. */
export type CertificatePath = readonly [Certificate, ...Certificate[]];

// Whoever connects chooses the certificates; without an end to it, equal names could make this try their every order.
const MAX_SIGNATURES = 24;

/**
 * Finds a path from the leaf to an authority by the rules of RFC 5280 §6.1, without certificate policies: names, key ids, signatures,
 * validity, basic constraints, key usage, name constraints, critical extensions. Where there is none, tells what stood in the way
 * first.
 */
export function findPath(search: PathSearch): CertificatePath | SvidProblem {
  const attempt: Attempt = { search, signatures: 0, problem: undefined, mismatch: undefined };
  return extend(attempt, [search.leaf]) ?? attempt.problem ?? attempt.mismatch ?? unknownIssuer(search);
}

interface Attempt {
  readonly search: PathSearch;
  signatures: number;
  /** Of the first certificate that did sign, but may not stand there. */
  problem: SvidProblem | undefined;
  /** Of the first that has the right name and did not sign: CAs may share a name, so this says less. */
  mismatch: SvidProblem | undefined;
}

function extend(attempt: Attempt, path: CertificatePath): CertificatePath | undefined {
  const { authorities, intermediates } = attempt.search;
  for (const authority of authorities) {
    if (accepts(attempt, path, authority, true)) return [...path, authority];
  }
  for (const intermediate of intermediates) {
    if (path.includes(intermediate) || !accepts(attempt, path, intermediate, false)) continue;
    const whole = extend(attempt, [...path, intermediate]);
    if (whole) return whole;
  }
  return undefined;
}

/** Whether `authority` may stand above `path`. What keeps it from that, once its name is right, is worth telling. */
function accepts(
  attempt: Attempt,
  path: CertificatePath,
  authority: Certificate,
  isAnchor: boolean,
): boolean {
  const child = path.at(-1);
  if (child === undefined || !child.issuer.equals(authority.subject) || !keyIdsAgree(child, authority))
    return false;
  const mismatch = signatureProblem(attempt, child, authority, isAnchor);
  if (mismatch) attempt.mismatch ??= mismatch;
  const problem = mismatch ? undefined : authorityProblem(attempt.search, path, authority, isAnchor);
  if (problem) attempt.problem ??= problem;
  return !mismatch && !problem;
}

/** RFC 5280 §4.2.1.1: they only tell certificates of one name apart, so a missing one says nothing. */
function keyIdsAgree(child: Certificate, authority: Certificate): boolean {
  const { authorityKeyId } = child;
  const { subjectKeyId } = authority;
  return authorityKeyId === undefined || subjectKeyId === undefined || authorityKeyId === subjectKeyId;
}

function signatureProblem(
  attempt: Attempt,
  child: Certificate,
  authority: Certificate,
  isAnchor: boolean,
): SvidProblem | undefined {
  const weak = keyFloorProblem(authority.x509.publicKey);
  if (weak !== undefined) return chain(`${nameOf(authority, isAnchor)} ${weak}`);
  attempt.signatures += 1;
  if (attempt.signatures > MAX_SIGNATURES)
    return chain(`no path to the bundle was found with ${MAX_SIGNATURES} signatures checked`);
  if (child.x509.verify(authority.x509.publicKey)) return undefined;
  return chain(
    `a signature is wrong: ${nameOf(authority, isAnchor)} did not sign what names it as its issuer`,
  );
}

function authorityProblem(
  search: PathSearch,
  path: CertificatePath,
  authority: Certificate,
  isAnchor: boolean,
): SvidProblem | undefined {
  const name = nameOf(authority, isAnchor);
  const invalid = validityProblem(name, authority, search.now);
  if (invalid) return invalid;
  const problem =
    (isAnchor ? undefined : signatureFloorProblem(authority)) ??
    usageProblem(authority) ??
    lengthProblem(path, authority) ??
    purposeProblem(authority, search.purposes, true) ??
    criticalProblem(authority) ??
    (isAnchor ? undefined : foreignProblem(search, authority)) ??
    constraintsProblem(path, authority);
  return problem === undefined ? undefined : chain(`${name} ${problem}`);
}

function usageProblem(authority: Certificate): string | undefined {
  if (!authority.isCa) return 'is not a CA certificate (basic constraints)';
  if (authority.keyUses?.keyCertSign) return undefined;
  return 'is not for signing certificates (key usage without keyCertSign)';
}

function lengthProblem(path: CertificatePath, authority: Certificate): string | undefined {
  const below = path.slice(1).filter((certificate) => !isSelfIssued(certificate)).length;
  if (authority.pathLength === undefined || below <= authority.pathLength) return undefined;
  return `allows ${authority.pathLength} CA certificates below it (pathLenConstraint), and there are ${below}`;
}

function isSelfIssued(certificate: Certificate): boolean {
  return certificate.issuer.equals(certificate.subject);
}

/** X509-SVID §3.2; its SHOULD is a must here, or a CA that was delegated one trust domain could speak for its parent. */
function foreignProblem({ trustDomain }: PathSearch, authority: Certificate): string | undefined {
  for (const { uniformResourceIdentifier: uri } of authority.altNames) {
    if (uri?.startsWith('spiffe://') && uri !== `spiffe://${trustDomain}`)
      return `is the CA of ${uri.slice(0, 300)}, not of the trust domain '${trustDomain}'`;
  }
  return undefined;
}

function constraintsProblem(path: CertificatePath, authority: Certificate): string | undefined {
  if (authority.nameConstraints === undefined) return undefined;
  for (const [index, certificate] of path.entries()) {
    // RFC 5280 §6.1.3 (b): self-issued certificates pass, except the leaf.
    if (index > 0 && isSelfIssued(certificate)) continue;
    const problem = nameConstraintProblem(authority, certificate);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function unknownIssuer({ trustDomain, leaf, authorities, intermediates }: PathSearch): SvidProblem {
  const top = [leaf, ...intermediates].at(-1) ?? leaf;
  const issuer = nameText(top.x509.issuer);
  const { length } = authorities;
  const which = length === 1 ? 'not the one CA certificate' : `none of the ${length} CA certificates`;
  return chain(
    `the chain ends at the issuer '${issuer}', which is ${which} in the bundle of the trust domain '${trustDomain}'`,
  );
}

function nameOf(authority: Certificate, isAnchor: boolean): string {
  const where = isAnchor ? 'the CA certificate in the bundle' : 'the intermediate certificate';
  return isNameless(authority) ? where : `${where} '${nameText(authority.x509.subject)}'`;
}

/** Node writes one attribute a line. */
function nameText(name: string): string {
  return name
    .replaceAll('\n', ', ')
    .replace(/[^ -~]/g, '?')
    .slice(0, 200);
}

function chain(problem: string): SvidProblem {
  return { cause: 'chain', problem };
}
