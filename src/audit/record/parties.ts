import type { LeftOutAttributes } from '../../pdp/attribute.ts';
import {
  type DeviceIdentity,
  type Identities,
  type ProvenBefore,
  type VerifiedToken,
  type WorkloadIdentity,
  isMutualTls,
} from '../../pdp/identity.ts';
import { capped, cappedOrAbsent, integerOrAbsent } from './json-value.ts';
import { type Limits, firstOf, leftOut } from './limits.ts';

/** Also what was proven before other evidence was refused. */
export type Proven = Identities | ProvenBefore;

/** The workloads, their certificate, and whether the source came by mutual TLS. */
export function workloads(identities: Proven | undefined, limits: Limits): object {
  const { origin, claimedSources, certificate, destination } = identities ?? {};
  const { text } = limits;
  return {
    source_identity: source(identities, text),
    origin_identity: origin && { ...workload(origin, text), evidence: origin.evidence },
    claimed_sources: claimedSources && firstOf(claimedSources, limits).map((name) => capped(name, text)),
    source_certificate: certificate && capped(certificate.fingerprint, text),
    destination_identity: destination && { spiffe_id: capped(destination.id, text) },
    // As policies see it: the source proved a SPIFFE ID by mutual TLS.
    mtls: identities && isMutualTls(identities.source),
  };
}

function source(identities: Proven | undefined, max: number): object | undefined {
  const { source: proven, certificate } = identities ?? {};
  if (proven === undefined) return undefined;
  // The certificate of the connection says nothing about the bearer of a token.
  const issuer = isMutualTls(proven) ? certificate?.issuer : undefined;
  return {
    ...workload(proven, max),
    evidence: proven.evidence,
    certificate_issuer: issuer === undefined ? undefined : capped(issuer, max),
  };
}

function workload(identity: WorkloadIdentity | undefined, max: number): object | undefined {
  if (identity === undefined) return undefined;
  return {
    spiffe_id: capped(identity.id, max),
    trust_domain: capped(identity.trustDomain, max),
    namespace: identity.namespace === undefined ? undefined : capped(identity.namespace, max),
    service_account: identity.serviceAccount === undefined ? undefined : capped(identity.serviceAccount, max),
  };
}

/** The device, what proved it, and what of its posture was not used. */
export function device(
  identity: DeviceIdentity | undefined,
  postureLeftOut: LeftOutAttributes | undefined,
  limits: Limits,
): object | undefined {
  if (identity === undefined) return undefined;
  const { id, evidence, observedAt } = identity;
  return {
    id: capped(id, limits.text),
    evidence,
    observed_at: integerOrAbsent(observedAt),
    left_out: postureLeftOut && leftOut(postureLeftOut, limits),
  };
}

/** The user's token: its state and the names in it, never its text. Nothing where there was none. */
export function token(identities: Proven | undefined, max: number): object | undefined {
  if (identities === undefined) return undefined;
  const { tokenState: state, user } = identities;
  if (user === undefined) return state === 'absent' ? undefined : { state };
  return {
    issuer: capped(user.token.issuer, max),
    sub: capped(user.token.subject, max),
    kid: cappedOrAbsent(user.token.keyId, max),
    alg: capped(user.token.algorithm, 64),
    jti: cappedOrAbsent(user.token.tokenId, max),
    iat: integerOrAbsent(user.token.issuedAt),
    exp: integerOrAbsent(user.token.expiresAt),
    state,
    // What the sender has proven to hold, and who acts for the user: only where the token says so.
    bound: boundTo(user.token),
    act: user.token.actors?.slice(0, 8).map((actor) => capped(actor, max)),
  };
}

function boundTo({ confirmation }: VerifiedToken): readonly string[] | undefined {
  if (confirmation === undefined) return undefined;
  const { certificate, key } = confirmation;
  return [...(certificate === undefined ? [] : ['certificate']), ...(key === undefined ? [] : ['dpop'])];
}
