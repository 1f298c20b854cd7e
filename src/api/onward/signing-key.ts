import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { messageOf } from '../../pdp/errors.ts';
import { jwkThumbprint } from '../../pdp/jwk-thumbprint.ts';

/** Signature algorithms of our own tokens: EdDSA with Ed25519 (RFC 8037), and ECDSA with P-256 (RFC 7518 §3.4). */
export const SIGNING_ALGORITHMS = ['EdDSA', 'ES256'] as const;

/** One of {@link SIGNING_ALGORITHMS}. */
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** The public half of a signing key (RFC 7517): no private member. */
export interface PublicJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly use: 'sig';
}

/** A private key that signs our tokens. */
export interface SigningKey {
  readonly algorithm: SigningAlgorithm;
  readonly privateKey: KeyObject;
  readonly jwk: PublicJwk;
}

/** The keys that sign our tokens. */
export interface SigningKeys extends Disposable {
  /** The key that signs at `now` (Unix ms); `undefined`: none can. */
  signer(now: number): SigningKey | undefined;
  /** The public keys that verifiers need at `now`: of tokens that are still valid, and of those that will be signed soon. */
  published(now: number): readonly PublicJwk[];
  /** Why no key can sign, in words. */
  readonly problem: string;
}

/** Makes a key in memory. */
export function generateSigningKey(algorithm: SigningAlgorithm): SigningKey {
  const { privateKey } =
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return signingKeyOf(privateKey, algorithm);
}

/** Reads a key from PKCS #8 PEM; what is not an unencrypted Ed25519 or P-256 key is a problem, in words without the key. */
export function readSigningKey(pem: string): SigningKey | { readonly problem: string } {
  if (!/-----BEGIN PRIVATE KEY-----/.test(pem))
    return { problem: 'holds no unencrypted PKCS #8 private key (BEGIN PRIVATE KEY)' };
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem' });
  } catch (error) {
    return { problem: `holds no key that can be read: ${messageOf(error)}` };
  }
  const algorithm = algorithmOf(privateKey);
  return algorithm
    ? signingKeyOf(privateKey, algorithm)
    : { problem: 'is neither an Ed25519 nor a P-256 key' };
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): SigningAlgorithm | undefined {
  if (asymmetricKeyType === 'ed25519') return 'EdDSA';
  return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1'
    ? 'ES256'
    : undefined;
}

/** The key id is the thumbprint of RFC 7638, so that every replica with the key gives it the same one. */
function signingKeyOf(privateKey: KeyObject, algorithm: SigningAlgorithm): SigningKey {
  const { kty = '', crv = '', x = '', y } = createPublicKey(privateKey).export({ format: 'jwk' });
  const members = { crv, kty, x, ...(y !== undefined && { y }) };
  const kid = jwkThumbprint(members) ?? '';
  return { algorithm, privateKey, jwk: { ...members, kid, alg: algorithm, use: 'sig' } };
}

/** Signs claims as a compact JWS (RFC 7515 §3.1) of the given `typ`. Throws what `node:crypto` throws. */
export function signCompact({ algorithm, privateKey, jwk }: SigningKey, typ: string, claims: object): string {
  const input = `${part({ alg: algorithm, typ, kid: jwk.kid })}.${part(claims)}`;
  const signature =
    algorithm === 'EdDSA'
      ? sign(null, Buffer.from(input), privateKey)
      : sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
