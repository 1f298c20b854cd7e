import type { X509Certificate } from 'node:crypto';
import type { WorkloadIdentity } from './identity.ts';

/** An X.509-SVID that we hold: our own identity toward PEPs and applications (X509-SVID §2). */
export interface X509Svid {
  readonly identity: WorkloadIdentity;
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PKCS #8 PEM. */
  readonly privateKey: string;
  /** Unix ms. */
  readonly notBefore: number;
  /** Unix ms. */
  readonly notAfter: number;
}

/** Public keys by which the identities of one trust domain are verified (SPIFFE Trust Domain and Bundle §4). */
export interface TrustBundle {
  readonly trustDomain: string;
  /** CA certificates of X.509-SVIDs; empty: no X.509-SVID of the trust domain is valid. */
  readonly x509Authorities: readonly X509Certificate[];
  /** Public keys of JWT-SVIDs as JWKs, each with a `kid`. */
  readonly jwtAuthorities: readonly Readonly<Record<string, unknown>>[];
}

/** The trust bundles in force, by trust domain. A trust domain that is not in it is not trusted at all. */
export type TrustBundles = ReadonlyMap<string, TrustBundle>;

/** What is held at one moment: the full state, replaced as a whole. */
export interface SvidState {
  /** Absent: none is held, or the one that was held has been withdrawn. */
  readonly svid?: X509Svid;
  readonly bundles: TrustBundles;
}

/** How it stands with one trust bundle that is wanted. */
export interface BundleHealth {
  readonly trustDomain: string;
  /** Unix ms at which its source last said what is held of it; absent where it never did. */
  readonly confirmedAt?: number;
  /** Why what its source says now is not taken, or why it says nothing, in words; absent where nothing is wrong. */
  readonly problem?: string;
}

/** How it stands with a source, for operators. */
export interface SvidHealth {
  /** Why no SVID is held, or why the newest was not taken, in words; absent where nothing is wrong. */
  readonly problem?: string;
  /** How many SVIDs were refused since the start. */
  readonly refused: number;
  /** Of each bundle that is wanted, and of each that is held. */
  readonly bundles: readonly BundleHealth[];
}

/** Where our identity and the trust bundles come from: files, or the SPIFFE Workload API. */
export interface SvidSource extends AsyncDisposable {
  readonly state: SvidState;
  /** Always of now; it has no listeners. */
  readonly health: SvidHealth;
  /** Calls `listener` after every change of `state`; returns how to stop that. */
  onChange(listener: () => void): () => void;
  /** Begins to fetch and follow; resolves when the first state is held or has failed. Never rejects. */
  start(): Promise<void>;
}

/** Why a peer's certificate chain is not an X.509-SVID that we accept. */
export interface SvidProblem {
  /** Which of the things an operator would look at is wrong. */
  readonly cause:
    | 'missing'
    | 'malformed'
    | 'spiffe_id'
    | 'trust_domain'
    | 'expired'
    | 'not_yet_valid'
    | 'key_usage'
    | 'chain';
  /** In words: what was expected, what was found. */
  readonly problem: string;
}

/** An X.509-SVID of a peer that was found valid. */
export interface VerifiedSvid {
  readonly identity: WorkloadIdentity;
  /** Unix ms at which the first certificate of its chain expires. */
  readonly notAfter: number;
  /** base64url of the SHA-256 of the leaf's DER. */
  readonly fingerprint: string;
  /** Distinguished name of the leaf's issuer. */
  readonly issuer: string;
}

/**
 * Verifies a peer's chain (DER, leaf first) at `now` (Unix ms) against the bundle of the trust domain that its SPIFFE ID names, and no
 * other (X509-SVID §5). Never throws.
 */
export type SvidVerifier = (chain: readonly Uint8Array[], now: number) => VerifiedSvid | SvidProblem;

/** Tells a problem from an SVID. */
export function isSvidProblem(result: VerifiedSvid | SvidProblem): result is SvidProblem {
  return 'problem' in result;
}
