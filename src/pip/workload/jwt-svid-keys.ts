import { type JWK, createLocalJWKSet } from 'jose';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { TrustBundle } from '../../pdp/x509-svid.ts';
import type { KeyResolver } from '../jwks/jwks.ts';
import { signatureRefusal } from '../token/token-signature.ts';

type Authorities = TrustBundle['jwtAuthorities'];

/** Keys tried for a token that names none. */
const MAX_TRIED = 8;

interface Keys {
  readonly all: KeyResolver;
  readonly each: readonly KeyResolver[];
}

/**
 * Makes the check of a JWT-SVID's signature by the keys of its trust domain. A token need not name its key (JWT-SVID §2.2): then each
 * is tried, up to eight.
 */
export function createSvidSignatureCheck() {
  const known = new WeakMap<Authorities, Keys>();
  return async (
    token: string,
    { alg, kid }: { readonly alg: string; readonly kid?: unknown },
    authorities: Authorities,
  ): Promise<Refusal | undefined> => {
    let keys = known.get(authorities);
    if (!keys) known.set(authorities, (keys = keysOf(authorities)));
    if (kid !== undefined) return await signatureRefusal(token, keys.all, alg);
    if (keys.each.length > MAX_TRIED)
      return refuse('token_key_unknown', `the token names no key, and there are more than ${MAX_TRIED}`);
    return await tryEach(token, keys.each, alg);
  };
}

async function tryEach(
  token: string,
  keys: readonly KeyResolver[],
  algorithm: string,
): Promise<Refusal | undefined> {
  let refusal = refuse('token_key_unknown', 'the trust domain has no key for this algorithm');
  for (const key of keys) {
    // One after the other: most often the first fits, and a signature is not cheap.
    // oxlint-disable-next-line no-await-in-loop
    const found = await signatureRefusal(token, key, algorithm);
    if (found === undefined) return undefined;
    if (found.refusal !== 'token_key_unknown') refusal = found;
  }
  return refusal;
}

function keysOf(authorities: Authorities): Keys {
  // What a key is for was told by `use: jwt-svid`, which the JOSE library does not know.
  const keys = authorities.map(({ use: _use, ...key }) => key as JWK);
  return {
    all: createLocalJWKSet({ keys }),
    each: keys.map((key) => createLocalJWKSet({ keys: [key] })),
  };
}
