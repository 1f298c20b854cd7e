import { hash } from 'node:crypto';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { Received } from '../../pdp/trace.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';
import { type CompactJws, parseCompactJws } from '../token/compact-jws.ts';
import { type DpopKeys, createDpopKeys } from './dpop-key.ts';
import { type ExternalOrigins, readTarget } from './dpop-target.ts';
import { normaliseType } from '../token/issuer.ts';
import { type Limiter, createSignatureLimiter } from '../limiter.ts';
import { oneOf, printable } from '../printable.ts';
import type { ReplayStore } from './replay-store.ts';
import { signatureRefusal } from '../token/token-signature.ts';

/**
 * Checks the DPoP proof of a request (RFC 9449 §4.3) for a token as it was sent, whose `cnf.jkt` is `thumbprint`. `dpop_proof_invalid`
 * says which check failed; `token_unverifiable`, that a replay cannot be told from a first use; `overloaded`, that too many proofs wait or
 * the key has made too many. What a refusal names by its fingerprint is the proof; there is none where no proof was sent.
 */
export type DpopCheck = (
  received: Received,
  token: string,
  thumbprint: string,
) => Promise<Refusal | undefined>;

/** Settings of {@link createDpopCheck}. */
export interface DpopOptions {
  /** The origins that clients see, by host as we see it. */
  readonly origins: ExternalOrigins;
  /** Accepted values of `alg`; asymmetric signatures only. */
  readonly algorithms: readonly string[];
  /** How old a proof may be, in seconds. */
  readonly maxAgeSeconds: number;
  /** Seconds by which clocks may differ. */
  readonly skewSeconds: number;
  readonly replays: ReplayStore;
}

/** Ms for which a proof must be remembered: as long as a replica whose clock is behind ours might take it. */
export function replayWindowMs(maxAgeSeconds: number, skewSeconds: number): number {
  return (maxAgeSeconds + 3 * skewSeconds + 1) * 1000;
}

interface Proof {
  readonly jti: string;
  readonly htu: string;
}

/** Makes the check of DPoP proofs. No nonces are offered (RFC 9449 §9): each proof is used once, and its age is limited. */
export function createDpopCheck(options: DpopOptions): DpopCheck {
  const keys = createDpopKeys();
  const limiter = createSignatureLimiter();
  const check = async (
    proof: string,
    received: Received,
    token: string,
    thumbprint: string,
  ): Promise<Refusal | undefined> => {
    const jws = parseCompactJws(proof);
    if (isRefusal(jws)) return invalid(`the proof is malformed: ${jws.detail ?? ''}`);
    const claims = checkHeader(options, jws) ?? readClaims(options, jws, received, token);
    if (isRefusal(claims)) return claims;
    const unsigned = await unsignedRefusal(keys, limiter, proof, jws, thumbprint);
    return unsigned ?? (await replayRefusal(options.replays, claims, thumbprint));
  };
  return async (received, token, thumbprint) => {
    const proof = proofOf(received);
    if (typeof proof !== 'string') return proof;
    const refused = await check(proof, received, token, thumbprint);
    return refused && withEvidence(refused, proof);
  };
}

function proofOf({ request }: Received): string | Refusal {
  const conflict = invalid("more than one 'dpop' header");
  const value = singleEvidence(request, 'dpop', conflict);
  if (value === undefined) return invalid('the token needs a proof, and there is none');
  if (typeof value !== 'string') return value;
  return value.includes(',') ? withEvidence(conflict, value) : value;
}

function checkHeader({ algorithms }: DpopOptions, { header }: CompactJws): Refusal | undefined {
  const { typ, alg } = header;
  if (typeof typ !== 'string' || normaliseType(typ) !== 'dpop+jwt')
    return invalid("the type of the proof is not 'dpop+jwt'");
  if (typeof alg === 'string' && algorithms.includes(alg)) return undefined;
  return invalid(`the algorithm of the proof is not ${oneOf(algorithms)}`);
}

function readClaims(
  options: DpopOptions,
  { payload }: CompactJws,
  { canonical, receivedAt }: Received,
  token: string,
): Proof | Refusal {
  const { jti, htm, htu, iat, ath } = payload;
  if (typeof jti !== 'string' || !/^[!-~]{1,255}$/.test(jti))
    return invalid("'jti' is not 1 to 255 printable ASCII characters");
  if (htm !== canonical.method)
    return invalid(
      `'htm' is not the method of the request${typeof htm === 'string' ? `: ${printable(htm)}` : ''}`,
    );
  const target = typeof htu === 'string' ? readTarget(options.origins, htu, canonical) : "'htu' is missing";
  if (typeof target === 'string') return invalid(target);
  const untimely = timeProblem(options, iat, receivedAt / 1000);
  if (untimely !== undefined) return invalid(untimely);
  if (ath !== hash('sha256', token, 'base64url')) return invalid("'ath' is not the hash of the token");
  return { jti, htu: target.uri };
}

function timeProblem(
  { maxAgeSeconds, skewSeconds }: DpopOptions,
  iat: unknown,
  now: number,
): string | undefined {
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return "'iat' is not a number of seconds";
  const age = now - iat;
  if (age > maxAgeSeconds + skewSeconds)
    return `the proof is ${Math.floor(age)} s old, more than ${maxAgeSeconds} s, or the clocks differ`;
  if (age < -skewSeconds)
    return `the proof was made ${Math.ceil(-age)} s in the future: the clocks differ by more than ${skewSeconds} s`;
  return undefined;
}

async function unsignedRefusal(
  keys: DpopKeys,
  limiter: Limiter,
  proof: string,
  { header }: CompactJws,
  thumbprint: string,
): Promise<Refusal | undefined> {
  const key = await keys.find(header['jwk'], header['alg'] as string, thumbprint);
  if ('problem' in key) return invalid(key.problem);
  const checked = await limiter.run(() => signatureRefusal(proof, key.resolver, header['alg'] as string));
  if (checked === 'full') return refuse('overloaded', 'too many DPoP proofs wait to be verified');
  return checked && invalid(checked.detail ?? 'the signature does not match');
}

/** Asked last: only what is right in everything else takes up room. The key is part of it, so that nobody uses up another's `jti`. */
async function replayRefusal(
  replays: ReplayStore,
  { jti, htu }: Proof,
  thumbprint: string,
): Promise<Refusal | undefined> {
  try {
    const key = hash('sha256', JSON.stringify([thumbprint, htu, jti]), 'base64url');
    const remembered = await replays.remember(key, thumbprint);
    if (remembered === 'new') return undefined;
    return remembered === 'used'
      ? invalid('the proof has been used before')
      : refuse('overloaded', 'the key has made too many DPoP proofs lately');
  } catch (error) {
    return refuse('token_unverifiable', `whether the DPoP proof is new cannot be told: ${messageOf(error)}`);
  }
}

function invalid(detail: string): Refusal {
  return refuse('dpop_proof_invalid', detail);
}
