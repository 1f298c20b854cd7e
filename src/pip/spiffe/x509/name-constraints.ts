import type { GeneralName, GeneralSubtree } from '@peculiar/asn1-x509';
import type { Certificate } from './certificate.ts';
import { isNameless } from './certificate.ts';

const SPIFFE_SCHEME = 'spiffe://';

/**
 * Why the names of `certificate` are outside of what the CA certificate `authority` may vouch for (RFC 5280 §4.2.1.10); `undefined`
 * where they are inside. URI constraints (X509-SVID §4.2; the trust domain stands where a URL has its host) and DNS constraints are
 * processed. A constraint on another kind of name is refused where the certificate has names of that kind, for nothing may be passed
 * over there.
 */
export function nameConstraintProblem(authority: Certificate, certificate: Certificate): string | undefined {
  const { permittedSubtrees, excludedSubtrees } = authority.nameConstraints ?? {};
  const permitted = [...(permittedSubtrees ?? [])];
  const excluded = [...(excludedSubtrees ?? [])];
  const subtrees = [...permitted, ...excluded];
  if (subtrees.some(({ minimum, maximum }) => minimum !== 0 || maximum !== undefined))
    return 'has name constraints with distances, which are not processed';
  const foreign = subtrees.find(({ base }) => kindOf(base) === 'other' && meets(base, certificate));
  if (foreign)
    return 'has name constraints on a kind of name that is not processed, and such names stand below it';
  for (const name of certificate.altNames) {
    const problem = nameProblem(name, permitted, excluded);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

type Kind = 'uri' | 'dns' | 'other';

function kindOf(name: GeneralName): Kind {
  if (name.uniformResourceIdentifier !== undefined) return 'uri';
  return name.dNSName === undefined ? 'other' : 'dns';
}

/** Whether a constraint on a kind of name that is not processed could apply to the certificate. */
function meets(base: GeneralName, certificate: Certificate): boolean {
  const holds = (kind: keyof GeneralName): boolean =>
    certificate.altNames.some((name) => name[kind] !== undefined);
  if (base.iPAddress !== undefined) return holds('iPAddress');
  if (base.otherName !== undefined) return holds('otherName');
  if (base.registeredID !== undefined) return holds('registeredID');
  // A directory name is in the subject too, and so may an e-mail address be.
  return !isNameless(certificate) || holds('directoryName') || holds('rfc822Name');
}

function nameProblem(
  name: GeneralName,
  permitted: readonly GeneralSubtree[],
  excluded: readonly GeneralSubtree[],
): string | undefined {
  const kind = kindOf(name);
  if (kind === 'other') return undefined;
  const host = hostOf(name);
  const sameKind = ({ base }: GeneralSubtree): boolean => kindOf(base) === kind;
  const covers = ({ base }: GeneralSubtree): boolean => isCovered(kind, host, hostOfConstraint(base));
  if (host === undefined) {
    const isConstrained = [...permitted, ...excluded].some(sameKind);
    return isConstrained
      ? 'has name constraints on URIs, and a URI without a host stands below it'
      : undefined;
  }
  const constraints = permitted.filter(sameKind);
  if (constraints.length > 0 && !constraints.some(covers))
    return `has name constraints that do not permit '${host}'`;
  return excluded.filter(sameKind).some(covers) ? `has name constraints that exclude '${host}'` : undefined;
}

function hostOf(name: GeneralName): string | undefined {
  if (name.dNSName !== undefined) return name.dNSName.toLowerCase();
  const uri = name.uniformResourceIdentifier ?? '';
  if (!uri.startsWith(SPIFFE_SCHEME)) return undefined;
  return uri.slice(SPIFFE_SCHEME.length).split('/', 1)[0];
}

function hostOfConstraint(base: GeneralName): string {
  return (base.uniformResourceIdentifier ?? base.dNSName ?? '').toLowerCase();
}

/** URIs: `.example.org` means what is below it, `example.org` only itself. DNS: `example.org` means itself and what is below it. */
function isCovered(kind: Kind, host: string | undefined, constraint: string): boolean {
  if (host === undefined) return false;
  if (constraint === '') return true;
  if (constraint.startsWith('.')) return host.endsWith(constraint);
  return host === constraint || (kind === 'dns' && host.endsWith(`.${constraint}`));
}
