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

/** What a verified token says, reduced to what is configured to be mapped. The token itself is gone by now. */
export interface VerifiedToken {
  /** Name of the issuer in our configuration. */
  readonly issuer: string;
  readonly subject: string;
  readonly algorithm: string;
  readonly keyId?: string;
  readonly tokenId?: string;
  readonly sessionId?: string;
  readonly audiences: readonly string[];
  /** Unix seconds. */
  readonly issuedAt?: number;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** Mapped claims, by attribute name. */
  readonly claims: AttributeRecord;
  /** Groups of the subject, from the mapped group claim. */
  readonly groups: readonly string[];
  /** Device id that the issuer vouches for, from the mapped claim. */
  readonly deviceId?: string;
}

/** A user whose token was verified. */
export interface UserIdentity {
  /** `<issuer name>/<sub>`. */
  readonly id: string;
  readonly token: VerifiedToken;
}

/** A device whose id was proven, with the posture that came with the proof, if any. */
export interface DeviceIdentity {
  readonly id: string;
  /** How the id was proven. */
  readonly evidence: 'token_claim' | 'assertion';
  /** Posture from a signed assertion, in the neutral schema. */
  readonly posture?: AttributeRecord;
  /** Unix ms; of the posture. */
  readonly observedAt?: number;
  /** Unix ms until which the posture may be used. */
  readonly freshUntil?: number;
}

/** Token states of RFC 6750 practice that survive authentication; `invalid` and `unverifiable` are refusals. */
export type TokenState = 'absent' | 'valid';

/** All that was proven about the parties of one request. */
export interface Identities {
  readonly source?: WorkloadIdentity;
  readonly destination?: WorkloadIdentity;
  readonly user?: UserIdentity;
  readonly device?: DeviceIdentity;
  readonly tokenState: TokenState;
}
