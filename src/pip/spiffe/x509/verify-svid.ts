import type {
  SvidProblem,
  SvidVerifier,
  TrustBundle,
  TrustBundles,
  VerifiedSvid,
} from '../../../pdp/x509-svid.ts';
import type { WorkloadIdentity } from '../../../pdp/identity.ts';
import { messageOf } from '../../../pdp/errors.ts';
import { readAuthorities } from './authorities.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { leafProblem, readIdentity } from './leaf-rules.ts';
import type { Purpose } from './purpose.ts';
import { type CertificatePath, findPath } from './svid-path.ts';
import type { Validity } from './validity.ts';

/** Settings of {@link createSvidVerifier}. */
export interface SvidVerifierOptions {
  /** What the peer uses its SVID for: an extended key usage must allow all of it. `['client']` where not given. */
  readonly purposes?: readonly Purpose[];
}

/** A chain that was found right, with everything that has to stay as it is for that to stay true. */
export interface SvidFinding {
  readonly svid: VerifiedSvid;
  /** While all certificates of the path are valid. */
  readonly validity: Validity;
  /** The bundle that the path ends in. */
  readonly bundle: TrustBundle;
}

/** More certificates than any hierarchy has. */
const MAX_CERTIFICATES = 10;
const MAX_BYTES = 65_536;

/**
 * Makes the verifier of peers' X.509-SVIDs: everything that X509-SVID §2-5 and RFC 5280 §6.1 ask, and floors for algorithms and key
 * sizes. `bundles` is asked at each verification. Takes from a tenth of a millisecond to milliseconds: for once per connection.
 */
export function createSvidVerifier(
  bundles: () => TrustBundles,
  options: SvidVerifierOptions = {},
): SvidVerifier {
  return (chain, now) => {
    const finding = findSvid(chain, bundles(), now, options.purposes);
    return 'problem' in finding ? finding : finding.svid;
  };
}

/** One verification, with what a cache of it must look at. Never throws. */
export function findSvid(
  chain: readonly Uint8Array[],
  bundles: TrustBundles,
  now: number,
  purposes: readonly Purpose[] = ['client'],
): SvidFinding | SvidProblem {
  try {
    const certificates = readChain(chain);
    return 'problem' in certificates ? certificates : findInBundles(certificates, bundles, now, purposes);
  } catch (error) {
    return {
      cause: 'malformed',
      problem: `the chain cannot be verified (${messageOf(error).slice(0, 120)})`,
    };
  }
}

interface Chain {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
}

function readChain(chain: readonly Uint8Array[]): Chain | SvidProblem {
  if (chain.length === 0) return { cause: 'missing', problem: 'no certificate was presented' };
  if (chain.length > MAX_CERTIFICATES)
    return malformed(`the chain has ${chain.length} certificates; ${MAX_CERTIFICATES} are the most`);
  const bytes = chain.reduce((sum, der) => sum + der.length, 0);
  if (bytes > MAX_BYTES) return malformed(`the chain has ${bytes} bytes; ${MAX_BYTES} are the most`);
  const certificates: Certificate[] = [];
  for (const [index, der] of chain.entries()) {
    const certificate = readCertificate(der);
    if ('problem' in certificate)
      return malformed(`certificate ${index + 1} of ${chain.length} in the chain ${certificate.problem}`);
    certificates.push(certificate);
  }
  const [leaf, ...intermediates] = certificates;
  return leaf ? { leaf, intermediates } : { cause: 'missing', problem: 'no certificate was presented' };
}

function findInBundles(
  { leaf, intermediates }: Chain,
  bundles: TrustBundles,
  now: number,
  purposes: readonly Purpose[],
): SvidFinding | SvidProblem {
  const identity = readIdentity(leaf);
  if ('problem' in identity) return identity;
  const bundle = bundles.get(identity.trustDomain);
  const problem = leafProblem(leaf, identity, purposes, now) ?? bundleProblem(identity, bundle);
  if (problem) return problem;
  if (!bundle) return missingBundle(identity);
  const { trustDomain } = identity;
  const authorities = readAuthorities(bundle);
  const path = findPath({ trustDomain, leaf, intermediates, authorities, purposes, now });
  if ('problem' in path) return foreignAuthority(path, { leaf, intermediates }, identity, bundles) ?? path;
  return { svid: verified(identity, path), validity: overlap(path), bundle };
}

function bundleProblem(identity: WorkloadIdentity, bundle: TrustBundle | undefined): SvidProblem | undefined {
  if (!bundle) return missingBundle(identity);
  if (bundle.x509Authorities.length > 0) return undefined;
  return trustDomain(
    `the bundle of the trust domain '${identity.trustDomain}' is empty: no certificate of it is valid, that of ${identity.id} neither`,
  );
}

function missingBundle({ id, trustDomain: name }: WorkloadIdentity): SvidProblem {
  return trustDomain(
    `no bundle is held for the trust domain '${name}' of ${id}, so nobody in it can be verified`,
  );
}

/** The frequent case of a chain that leads to some other trust domain's authority, by its own words. */
function foreignAuthority(
  { cause }: SvidProblem,
  { leaf, intermediates }: Chain,
  { id, trustDomain: name }: WorkloadIdentity,
  bundles: TrustBundles,
): SvidProblem | undefined {
  if (cause !== 'chain') return undefined;
  for (const [other, bundle] of bundles) {
    const isOurs = (child: Certificate): boolean =>
      readAuthorities(bundle).some(
        (authority) => child.issuer.equals(authority.subject) && child.x509.verify(authority.x509.publicKey),
      );
    if (other !== name && [leaf, ...intermediates].some(isOurs)) {
      const words = `the certificate says ${id}, but its chain leads to the bundle of '${other}'`;
      return trustDomain(`${words}, and only the bundle of '${name}' vouches for '${name}'`);
    }
  }
  return undefined;
}

function verified(identity: WorkloadIdentity, path: CertificatePath): VerifiedSvid {
  const { x509 } = path[0];
  return {
    identity,
    notAfter: overlap(path).notAfter,
    fingerprint: Buffer.from(x509.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url'),
    issuer: x509.issuer.replaceAll('\n', ', '),
  };
}

function overlap(path: CertificatePath): Validity {
  return {
    notBefore: Math.max(...path.map(({ notBefore }) => notBefore)),
    notAfter: Math.min(...path.map(({ notAfter }) => notAfter)),
  };
}

function malformed(problem: string): SvidProblem {
  return { cause: 'malformed', problem };
}

function trustDomain(problem: string): SvidProblem {
  return { cause: 'trust_domain', problem };
}
