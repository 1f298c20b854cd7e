import { type Refusal, refuse } from '../../pdp/decision.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { Identities, UserIdentity } from '../../pdp/identity.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { type PublicJwk, type SigningKeys, signCompact } from './signing-key.ts';

/** Settings of {@link createOnwardIdentity}. */
export interface OnwardIdentityOptions {
  /** `iss`. */
  readonly issuer: string;
  /** Lower-case name of the header that carries the token upstream. */
  readonly header: string;
  /** Life of a token in seconds. */
  readonly ttlSeconds: number;
  /** `service`: the SPIFFE ID of the destination, else the host; anything else is the audience of every token. */
  readonly audience: string;
  /** Mapped claims of the user's token that go upstream, by attribute name. */
  readonly userClaims: readonly string[];
  readonly keys: SigningKeys;
  readonly clock: Clock;
}

/** Says upstream, signed by us, who was permitted. */
export interface OnwardIdentity {
  /** Lower-case name of the header. */
  readonly header: string;
  /** The token about a permitted check; a refusal where it cannot be made. Never throws. */
  sign(permitted: DecisionTrace): string | Refusal;
  /** The JWK Set (RFC 7517 §5) by which backends verify: public keys only. */
  jwks(): { readonly keys: readonly PublicJwk[] };
  /** Why no token can be signed now; `undefined` where one can. */
  problem(): string | undefined;
}

/** `typ` of the token (RFC 8725 §3.11): it is good for nothing else. */
const ONWARD_TYPE = 'pdp-identity+jwt';

/** Backends take 8 KiB of a header field, and some no more. */
const MAX_TOKEN_LENGTH = 8000;

/** Makes the signer of onward identities. Its tokens never hold a token that we were sent, nor a claim that is not listed. */
export function createOnwardIdentity(options: OnwardIdentityOptions): OnwardIdentity {
  const { header, keys, clock } = options;
  return {
    header,
    sign(permitted) {
      const now = clock.now();
      const key = keys.signer(now);
      if (!key) return refuse('internal', `no onward identity can be signed: ${keys.problem}`);
      const claims = claimsOf(permitted, options, Math.floor(now / 1000));
      if (!claims)
        return refuse('internal', 'an onward identity was asked for before anybody was identified');
      return attempt(() => signCompact(key, ONWARD_TYPE, claims));
    },
    jwks: () => ({ keys: keys.published(clock.now()) }),
    problem: () =>
      keys.signer(clock.now()) ? undefined : `no onward identity can be signed: ${keys.problem}`,
  };
}

function attempt(make: () => string): string | Refusal {
  try {
    const token = make();
    return token.length <= MAX_TOKEN_LENGTH
      ? token
      : refuse('attribute_refused', `the onward identity is longer than ${MAX_TOKEN_LENGTH} bytes`);
  } catch (error) {
    return refuse('internal', `the onward identity cannot be signed: ${messageOf(error)}`);
  }
}

function claimsOf(
  { id, identities, canonical }: DecisionTrace,
  { issuer, audience, ttlSeconds, userClaims }: OnwardIdentityOptions,
  now: number,
): object | undefined {
  if (!identities || !canonical) return undefined;
  const { user, source, origin, device, destination } = identities;
  return {
    iss: issuer,
    aud: audience === 'service' ? (destination?.id ?? canonical.host) : audience,
    iat: now,
    nbf: now,
    exp: now + ttlSeconds,
    // There is one token for a decision, so their ids may be one.
    jti: id,
    decision_id: id,
    sub: principalId(identities),
    ...(user && { user: userOf(user, userClaims) }),
    ...(source && { workload: source.id, workload_evidence: source.evidence }),
    ...(origin && { origin: origin.id, origin_evidence: origin.evidence }),
    ...(device && { device: { id: device.id } }),
  };
}

/** As Cedar's principal: the user, else the workload. Neither id can be taken for the other, nor for `anonymous`. */
function principalId({ user, source }: Identities): string {
  return user?.id ?? source?.id ?? 'anonymous';
}

function userOf({ id, token }: UserIdentity, names: readonly string[]): object {
  const listed = names.filter((name) => Object.hasOwn(token.claims, name));
  return {
    id,
    issuer: token.issuer,
    sub: token.subject,
    ...(listed.length > 0 && {
      claims: Object.fromEntries(listed.map((name) => [name, token.claims[name]])),
    }),
  };
}
