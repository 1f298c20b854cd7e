import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { externalJsonProblem } from '../../pdp/external-json.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { Clock } from '../../pdp/ports.ts';
import { readActors } from './actors.ts';
import { mapClaims } from './claims.ts';
import { type CompactJws, MAX_TOKEN_LENGTH, parseCompactJws } from './compact-jws.ts';
import { readConfirmation } from './confirmation.ts';
import { type Issuer, type TokenUse, normaliseType } from './issuer.ts';
import type { KeyResolver, KeySet } from '../jwks/jwks.ts';
import { createLowS } from './low-s.ts';
import { oneOf, printable } from '../printable.ts';
import { checkRegisteredClaims } from './registered-claims.ts';
import { checkTokenKind } from './token-rules.ts';
import { signatureRefusal } from './token-signature.ts';
import { type TrustedIssuer, findIssuer, trustIssuers } from './trusted-issuers.ts';
import { VerifiedTokens, type VerifiedTokensOptions } from './verified-tokens.ts';

/** Verifies tokens of the configured issuers. */
export interface TokenVerifier {
  /**
   * Verifies a token of the given use at the given time (Unix ms), which came in `header` where that says whose it may be. A refusal says
   * which rule failed, in words for operators that hold nothing of the token but its claims about issuer, audience and times. What
   * the token is bound to (`confirmation`) is for the caller to have proven. At once for a token that is known. Never throws for what a token
   * holds.
   */
  verify(
    token: string,
    use: TokenUse,
    now: number,
    header?: string,
  ): VerifiedToken | Refusal | Promise<VerifiedToken | Refusal>;
  /** What only depends on the token itself, for who verifies it more than once. */
  spell(token: string, use: TokenUse, header?: string): SpelledToken;
  /** As `verify`, of a token that was spelled before. */
  verifySpelled(
    spelled: SpelledToken,
    now: number,
  ): VerifiedToken | Refusal | Promise<VerifiedToken | Refusal>;
  /** Names of the issuers whose keys are not at hand, so that their tokens are unverifiable. */
  missingKeys(): readonly string[];
}

/** A token in its one spelling. Nothing in it is verified. */
export interface SpelledToken {
  readonly token: string;
  readonly use: TokenUse;
  readonly header: string | undefined;
  readonly wasHigh: boolean;
  /** Under which it is remembered; empty: it is not. */
  readonly key: string;
}

interface Question extends SpelledToken {
  readonly now: number;
}

/**
 * Makes the verifier of all issuers. `keySets` holds each issuer's keys by the issuer's name; a key of one issuer never verifies
 * another's token (RFC 8725 §3.8). Throws `InputError` where two issuers of one use and header claim the same `iss`, or one has no
 * key set.
 */
export function createTokenVerifier(
  issuers: readonly Issuer[],
  keySets: ReadonlyMap<string, KeySet>,
  clock: Clock,
  caching: VerifiedTokensOptions = { maxBytes: 0, maxAgeMs: 0 },
): TokenVerifier {
  const trusted = trustIssuers(issuers, keySets);
  const known = new VerifiedTokens(caching);
  const lower = createLowS();
  const verifying = new Map<string, Promise<VerifiedToken | Refusal>>();
  const verify = (question: Question) => verifyToken(trusted, known, question);
  const spell = (token: string, use: TokenUse, header?: string): SpelledToken => {
    // What is too long is not looked at.
    if (token.length > MAX_TOKEN_LENGTH) return { token, use, header, wasHigh: false, key: '' };
    const low = lower(token);
    return { ...low, use, header, key: known.key(low.token, use, header) };
  };
  const verifySpelled: TokenVerifier['verifySpelled'] = (spelled, now) => {
    const { token, key, wasHigh } = spelled;
    if (token.length > MAX_TOKEN_LENGTH)
      return refuse('token_malformed', `longer than ${MAX_TOKEN_LENGTH} bytes`);
    const hit = known.get(key, now);
    if (hit !== undefined) return highSRefusal(hit.issuer, wasHigh) ?? hit.token;
    const question: Question = { ...spelled, now };
    // Twins may meet different rules, so that only equal questions share an answer.
    return key === '' ? verify(question) : shared(verifying, `${wasHigh} ${key}`, () => verify(question));
  };
  return {
    verify: (token, use, now, header) => verifySpelled(spell(token, use, header), now),
    spell,
    verifySpelled,
    missingKeys() {
      const now = clock.now();
      return trusted.filter(({ keySet }) => keySet.keys(now) === undefined).map(({ issuer }) => issuer.name);
    },
  };
}

/** One piece of work for all who ask the same at once; the key is the whole question (CVE-2026-71326). */
async function shared<T>(pending: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const running = pending.get(key);
  if (running) return await running;
  const started = work().finally(() => pending.delete(key));
  pending.set(key, started);
  return await started;
}

async function verifyToken(
  trusted: readonly TrustedIssuer[],
  known: VerifiedTokens,
  question: Question,
): Promise<VerifiedToken | Refusal> {
  const { token, use, header, now, wasHigh, key } = question;
  const jws = parseCompactJws(token);
  if (isRefusal(jws)) return jws;
  const trust = findIssuer(trusted, jws, use, header);
  if (isRefusal(trust)) return trust;
  const { issuer, keySet } = trust;
  const early = headerRefusal(issuer, jws.header) ?? highSRefusal(issuer, wasHigh);
  if (early !== undefined) return early;
  const keys = keySet.keys(now);
  const unsigned = await unsignedRefusal(trust, keys, token, jws);
  if (unsigned !== undefined || keys === undefined) return unsigned ?? refuse('internal');
  const verified = readToken(trusted, issuer, jws, now);
  if (isRefusal(verified)) return verified;
  const expiresAt = (verified.expiresAt + issuer.skewSeconds) * 1000;
  const entry = {
    token: verified,
    issuer,
    keys,
    currentKeys: (at: number) => keySet.keys(at),
    verifiedAt: now,
    expiresAt,
  };
  known.set(key, entry, token.length);
  return verified;
}

/** An issuer whose keys have no ids, or that gives a new key an old id, shows a rotation as a signature that does not match. */
const MAY_BE_OF_NEWER_KEYS: ReadonlySet<string> = new Set(['token_key_unknown', 'token_signature_invalid']);

async function unsignedRefusal(
  { issuer, keySet, limiter }: TrustedIssuer,
  keys: KeyResolver | undefined,
  token: string,
  { header }: CompactJws,
): Promise<Refusal | undefined> {
  const { kid, alg } = header;
  const ask = (): void => keySet.requestRefresh(typeof kid === 'string' ? kid : undefined);
  if (keys === undefined) {
    ask();
    return refuse('token_unverifiable', `no keys of issuer '${issuer.name}' are at hand`);
  }
  const checked = await limiter.run(() => signatureRefusal(token, keys, alg as string, header));
  if (checked === 'full')
    return refuse('overloaded', `too many new tokens of issuer '${issuer.name}' wait to be verified`);
  if (checked !== undefined && MAY_BE_OF_NEWER_KEYS.has(checked.refusal)) ask();
  return checked;
}

function readToken(
  trusted: readonly TrustedIssuer[],
  issuer: Issuer,
  { header, payload: claimed }: CompactJws,
  now: number,
): VerifiedToken | Refusal {
  const payload = withRegistered(issuer, header, claimed);
  const registered = checkRegisteredClaims(issuer, payload, now);
  if (isRefusal(registered)) return registered;
  const problem = externalJsonProblem(payload);
  if (problem !== undefined) return refuse('token_claims_refused', `the payload ${problem}`);
  const wrongKind = checkTokenKind(issuer, payload);
  if (wrongKind !== undefined) return wrongKind;
  const mapped = mapClaims(issuer, payload);
  if (isRefusal(mapped)) return mapped;
  const confirmation = readConfirmation(payload['cnf']);
  if (confirmation !== undefined && isRefusal(confirmation)) return confirmation;
  const actors = readActors(payload['act'], issuer.name, (iss) => nameOf(trusted, iss, issuer));
  if (isRefusal(actors)) return actors;
  const { alg, kid } = header;
  return {
    issuer: issuer.name,
    algorithm: alg as string,
    ...(typeof kid === 'string' && { keyId: kid }),
    ...registered,
    ...mapped,
    ...(confirmation !== undefined && { confirmation }),
    ...(actors.length > 0 && { actors }),
  };
}

/** The token's own issuer first: several of ours may share an `iss`. */
function nameOf(trusted: readonly TrustedIssuer[], iss: string, own: Issuer): string | undefined {
  if (own.issuer === iss) return own.name;
  return trusted.find(({ issuer }) => issuer.issuer === iss && issuer.use === own.use)?.issuer.name;
}

/** The registered claims where the issuer puts them; the signature covers both places. */
function withRegistered(
  { registeredIn }: Issuer,
  header: CompactJws['header'],
  payload: CompactJws['payload'],
): CompactJws['payload'] {
  if (registeredIn === 'payload') return payload;
  return { ...payload, iss: header['iss'], exp: header['exp'], aud: header['signer'] };
}

function highSRefusal({ requireLowS, name }: Issuer, wasHigh: boolean): Refusal | undefined {
  if (!requireLowS || !wasHigh) return undefined;
  return refuse('token_signature_invalid', `the signature is the high-s twin, which '${name}' never makes`);
}

function headerRefusal(issuer: Issuer, header: CompactJws['header']): Refusal | undefined {
  const { alg, typ, kid } = header;
  if (typ !== undefined && typeof typ !== 'string') return refuse('token_malformed', "'typ' is not a string");
  if (kid !== undefined && typeof kid !== 'string') return refuse('token_malformed', "'kid' is not a string");
  if (!issuer.types.includes(normaliseType(typ ?? ''))) {
    const seen = typ === undefined ? 'missing' : printable(typ);
    return refuse('token_type_refused', `type is ${seen}, expected ${oneOf(issuer.types)}`);
  }
  if (typeof alg !== 'string' || !issuer.algorithms.includes(alg)) {
    const seen = typeof alg === 'string' ? printable(alg) : 'missing';
    return refuse('token_algorithm_refused', `algorithm is ${seen}, expected ${oneOf(issuer.algorithms)}`);
  }
  return undefined;
}
