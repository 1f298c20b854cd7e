import type { AttributeRecord } from './attribute.ts';

/** A workload whose SPIFFE ID was verified. Made only by the parser in `pip/spiffe-id.ts`. */
export interface WorkloadIdentity {
  /** The whole ID, `spiffe://<trust domain>/<path>`. */
  readonly id: string;
  readonly trustDomain: string;
  /** `/`-led path; never empty for a workload. */
  readonly path: string;
  /** From the `/ns/<namespace>/sa/<service account>` form, where the path has it. */
  readonly namespace?: string;
  readonly serviceAccount?: string;
}

/** How a workload was proven, the strongest kind first where several agree. */
export const WORKLOAD_EVIDENCE = [
  'principal',
  'certificate',
  'xfcc',
  'client_cert',
  'jwt_svid',
  'kubernetes_token',
] as const;

/** One of {@link WORKLOAD_EVIDENCE}. */
export type WorkloadEvidence = (typeof WORKLOAD_EVIDENCE)[number];

/** A workload together with what proved it. */
export interface ProvenWorkload extends WorkloadIdentity {
  readonly evidence: WorkloadEvidence;
  /** Unix ms at which the proof ends, where that is known. */
  readonly provenUntil?: number;
}

/** Whether a workload was authenticated by mutual TLS, to the PEP or to a proxy that is believed: no bearer token proves that. */
export function isMutualTls(workload: ProvenWorkload | undefined): boolean {
  return (
    workload !== undefined && workload.evidence !== 'jwt_svid' && workload.evidence !== 'kubernetes_token'
  );
}

/** The certificate that the source of a request showed to the PEP; not necessarily a workload's. */
export interface SourceCertificate {
  /** base64url of the SHA-256 of its DER: `x5t#S256` (RFC 8705 §3.1). */
  readonly fingerprint: string;
  /** Distinguished name of its issuer; absent where only a hash of the certificate is known. */
  readonly issuer?: string;
}

/** The workloads of one request, as far as they were proven. */
export interface Workloads {
  /** Who is at the other end of the connection to the PEP. */
  readonly source?: ProvenWorkload;
  /** Who asked first, where trusted evidence reaches further back than the source. */
  readonly origin?: ProvenWorkload;
  /** Names that evidence beyond the trusted hops claims: anybody may have written them. */
  readonly claimedSources?: readonly string[];
  readonly destination?: WorkloadIdentity;
  readonly certificate?: SourceCertificate;
}

/** What the sender of a token must prove to hold (RFC 7800). */
export interface Confirmation {
  /** `x5t#S256`: fingerprint of the certificate (RFC 8705 §3.1). */
  readonly certificate?: string;
  /** `jkt`: RFC 7638 thumbprint of the key of DPoP proofs (RFC 9449 §6.1). */
  readonly key?: string;
}

/** What a verified token says, reduced to what is configured to be mapped. The token itself is gone by now. */
export interface VerifiedToken {
  /** Name of the issuer in our configuration. */
  readonly issuer: string;
  readonly subject: string;
  readonly algorithm: string;
  readonly keyId?: string;
  readonly tokenId?: string;
  readonly sessionId?: string;
  /** The tenant of the subject, from the mapped claim. */
  readonly tenantId?: string;
  /** The address of the subject in lower case, from the mapped claim: a name by which security events may call it. */
  readonly email?: string;
  readonly audiences: readonly string[];
  /** Unix seconds. */
  readonly issuedAt?: number;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** Mapped claims, by attribute name. */
  readonly claims: AttributeRecord;
  /** Groups of the subject, from the mapped group claim. */
  readonly groups: readonly string[];
  /** The device that the issuer vouches for, from the mapped claim: `<issuer name>/<id>`, the issuer being that of the device. */
  readonly deviceId?: string;
  /** The client that the token was issued to (`client_id`, RFC 9068 §2.2). */
  readonly clientId?: string;
  /** Subjects of the `act` chain (RFC 8693 §4.1), the current actor first, each as `<issuer name>/<sub>`. */
  readonly actors?: readonly string[];
  /** Present: the token is worth nothing without the proof. */
  readonly confirmation?: Confirmation;
}

/** A user whose token was verified. */
export interface UserIdentity {
  /** `<issuer name>/<sub>`. */
  readonly id: string;
  readonly token: VerifiedToken;
}

/** A device whose id was proven, with the posture that came with the proof, if any. */
export interface DeviceIdentity {
  /** `<issuer name>/<sub>`: two issuers may both know a `laptop-1`. */
  readonly id: string;
  /** How the id was proven. */
  readonly evidence: 'token_claim' | 'assertion' | 'bound_assertion';
  /** Unix ms at which the proof was issued, where it says so. */
  readonly issuedAt?: number;
  /** Posture from a signed assertion, in the neutral schema. */
  readonly posture?: AttributeRecord;
  /** Unix ms; of the posture. */
  readonly observedAt?: number;
  /** Unix ms until which the posture may be used. */
  readonly freshUntil?: number;
}

/** States of a user's token in RFC 6750 practice. `invalid` and `unverifiable` are refused before policies see anything. */
export type TokenState = 'absent' | 'valid' | 'invalid' | 'unverifiable';

/** All that was proven about the parties of one request. */
export interface Identities extends Workloads {
  readonly user?: UserIdentity;
  readonly device?: DeviceIdentity;
  readonly tokenState: Extract<TokenState, 'absent' | 'valid'>;
}

/** What was proven of a request before evidence of it was refused. Not {@link Identities}: nobody was authenticated by it. */
export interface ProvenBefore extends Workloads {
  readonly user?: UserIdentity;
  readonly device?: DeviceIdentity;
  readonly tokenState: TokenState;
}

/** Evidence that was refused. */
export interface RefusedEvidence {
  /** Whom it was about: `token` is a user's; a workload's own token is about a workload; `asserted`: whom the caller only names. */
  readonly kind: 'workload' | 'token' | 'device' | 'asserted';
  /** Absent where nothing was: the evidence about workloads comes first. */
  readonly proven?: ProvenBefore;
}
