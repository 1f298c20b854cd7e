import { compactVerify, errors } from 'jose';
import { type Refusal, isRefusal, refuse } from '../pdp/decision.ts';
import { InputError } from '../pdp/errors.ts';
import { externalJsonProblem } from '../pdp/external-json.ts';
import type { VerifiedToken } from '../pdp/identity.ts';
import type { Clock } from '../pdp/ports.ts';
import { mapClaims } from './claims.ts';
import { type CompactJws, MAX_TOKEN_LENGTH, parseCompactJws } from './compact-jws.ts';
import { type Issuer, type TokenUse, normaliseType } from './issuer.ts';
import type { KeyResolver, KeySet } from './jwks.ts';
import { oneOf, printable } from './printable.ts';
import { checkRegisteredClaims } from './registered-claims.ts';
import { VerifiedTokens, type VerifiedTokensOptions } from './verified-tokens.ts';

/** Verifies tokens of the configured issuers. */
export interface TokenVerifier {
  /**
   * Verifies a token of the given use at the given time (Unix ms). A refusal says which rule failed, in words for operators that
   * hold nothing of the token but its claims about issuer, audience and times. Never throws for what a token holds.
   */
  verify(token: string, use: TokenUse, now: number): Promise<VerifiedToken | Refusal>;
  /** Names of the issuers whose keys are not at hand, so that their tokens are unverifiable. */
  missingKeys(): readonly string[];
}

/**
 * Makes the verifier of all issuers. `keySets` holds each issuer's keys by the issuer's name; a key of one issuer never verifies
 * another's token (RFC 8725 §3.8). Throws `InputError` where two issuers of one use claim the same `iss`, or one has no key set.
 */
export function createTokenVerifier(
  issuers: readonly Issuer[],
  keySets: ReadonlyMap<string, KeySet>,
  clock: Clock,
  caching: VerifiedTokensOptions = { maxBytes: 0, maxAgeMs: 0 },
): TokenVerifier {
  const trusted = trustedIssuers(issuers, keySets);
  const known = new VerifiedTokens(caching);
  return {
    async verify(token, use, now) {
      const key = token.length > MAX_TOKEN_LENGTH ? '' : known.key(token, use);
      const hit = known.get(key, now);
      if (hit !== undefined) return hit;
      const jws = parseCompactJws(token);
      if (isRefusal(jws)) return jws;
      const trust = findIssuer(trusted, jws.payload['iss'], use);
      if (isRefusal(trust)) return trust;
      const { issuer, keySet } = trust;
      const keys = keySet.keys(now);
      const verified = await verifyFrom(trust, keys, token, jws, now);
      if (isRefusal(verified) || keys === undefined) return verified;
      const expiresAt = (verified.expiresAt + issuer.skewSeconds) * 1000;
      known.set(
        key,
        { token: verified, keys, currentKeys: (at) => keySet.keys(at), verifiedAt: now, expiresAt },
        token.length,
      );
      return verified;
    },
    missingKeys() {
      const now = clock.now();
      return trusted.filter(({ keySet }) => keySet.keys(now) === undefined).map(({ issuer }) => issuer.name);
    },
  };
}

interface TrustedIssuer {
  readonly issuer: Issuer;
  readonly keySet: KeySet;
}

function trustedIssuers(issuers: readonly Issuer[], keySets: ReadonlyMap<string, KeySet>): TrustedIssuer[] {
  const trusted: TrustedIssuer[] = [];
  for (const issuer of issuers) {
    const problem = (message: string) =>
      new InputError('the issuers cannot be used together', [{ where: `issuer '${issuer.name}'`, message }]);
    const keySet = keySets.get(issuer.name);
    if (keySet === undefined) throw problem('has no key set');
    const same = trusted.find(
      ({ issuer: { issuer: iss, use } }) => iss === issuer.issuer && use === issuer.use,
    );
    if (same !== undefined) throw problem(`has the same issuer and use as '${same.issuer.name}'`);
    if (trusted.some((other) => other.issuer.name === issuer.name))
      throw problem('is named like another issuer');
    trusted.push({ issuer, keySet });
  }
  return trusted;
}

function findIssuer(trusted: readonly TrustedIssuer[], iss: unknown, use: TokenUse): TrustedIssuer | Refusal {
  if (typeof iss !== 'string') return refuse('token_issuer_unknown', 'the token names no issuer');
  const named = trusted.filter(({ issuer }) => issuer.issuer === iss);
  const found = named.find(({ issuer }) => issuer.use === use);
  if (found !== undefined) return found;
  const other = named[0];
  return refuse(
    'token_issuer_unknown',
    other === undefined
      ? `issuer ${printable(iss)} is not configured`
      : `issuer '${other.issuer.name}' is for ${other.issuer.use} tokens, not for ${use} tokens`,
  );
}

async function verifyFrom(
  { issuer, keySet }: TrustedIssuer,
  keys: KeyResolver | undefined,
  token: string,
  { header, payload }: CompactJws,
  now: number,
): Promise<VerifiedToken | Refusal> {
  const wrongHeader = headerRefusal(issuer, header);
  if (wrongHeader !== undefined) return wrongHeader;
  if (keys === undefined) {
    keySet.requestRefresh();
    return refuse('token_unverifiable', `no keys of issuer '${issuer.name}' are at hand`);
  }
  const wrongSignature = await signatureRefusal(token, keys, header['alg'] as string);
  if (wrongSignature?.refusal === 'token_key_unknown') keySet.requestRefresh();
  if (wrongSignature !== undefined) return wrongSignature;
  const registered = checkRegisteredClaims(issuer, payload, now);
  if (isRefusal(registered)) return registered;
  const problem = externalJsonProblem(payload);
  if (problem !== undefined) return refuse('token_claims_refused', `the payload ${problem}`);
  const mapped = mapClaims(issuer, payload);
  if (isRefusal(mapped)) return mapped;
  const { alg, kid } = header;
  return {
    issuer: issuer.name,
    algorithm: alg as string,
    ...(typeof kid === 'string' && { keyId: kid }),
    ...registered,
    ...mapped,
  };
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

async function signatureRefusal(
  token: string,
  keys: KeyResolver,
  algorithm: string,
): Promise<Refusal | undefined> {
  try {
    await compactVerify(token, keys, { algorithms: [algorithm] });
    return undefined;
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) {
      return refuse('token_signature_invalid', 'the signature does not match');
    }
    if (error instanceof errors.JWKSNoMatchingKey) {
      return refuse('token_key_unknown', 'the issuer publishes no such key for this algorithm');
    }
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      return refuse('token_key_unknown', 'the token does not say which of several keys signed it');
    }
    // What is left is a key that cannot be used; its message is about the key, not about the token.
    return refuse(
      'token_unverifiable',
      `the key cannot be used: ${error instanceof Error ? error.message : 'unknown error'}`,
    );
  }
}
