import { type CompactJWSHeaderParameters, type CryptoKey, compactVerify, errors } from 'jose';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { CompactJws } from './compact-jws.ts';
import { verifiedHere } from './signature-here.ts';

/** Finds the key that a token's header names; throws jose's errors. */
export type SignatureKeys = (header: CompactJWSHeaderParameters) => Promise<CryptoKey>;

/**
 * Checks the signature of a token with the keys of its issuer. `token_signature_invalid`, `token_key_unknown` where no key fits or
 * several do, `token_unverifiable` where the key cannot be used. Never throws. `header`: that of the token, where its spelling was found
 * canonical; then a cheap check is made on this thread.
 */
export async function signatureRefusal(
  token: string,
  keys: SignatureKeys,
  algorithm: string,
  header?: CompactJws['header'],
): Promise<Refusal | undefined> {
  try {
    const here = header && verifiedHere(token, algorithm, await keys({ ...header, alg: algorithm }));
    if (here === true) return undefined;
    if (here === false) return refuse('token_signature_invalid', 'the signature does not match');
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
