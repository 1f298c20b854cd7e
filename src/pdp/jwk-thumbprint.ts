import { hash } from 'node:crypto';

/** The members that a thumbprint is made of, in their order (RFC 7638 §3.2, RFC 8037 §2), by key type. */
const MEMBERS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['OKP', ['crv', 'kty', 'x']],
  ['RSA', ['e', 'kty', 'n']],
]);

const MAX_MEMBER_LENGTH = 2048;

/**
 * The SHA-256 thumbprint (RFC 7638) of a public key as base64url; `undefined` for what is no public JWK of a type that signs: a
 * symmetric key, one with its private half, or one with a member missing.
 */
export function jwkThumbprint(jwk: unknown): string | undefined {
  if (typeof jwk !== 'object' || jwk === null || 'd' in jwk || 'k' in jwk) return undefined;
  const key = jwk as Readonly<Record<string, unknown>>;
  const names = MEMBERS.get(key['kty']);
  if (!names?.every((name) => isMember(key[name]))) return undefined;
  return hash(
    'sha256',
    JSON.stringify(Object.fromEntries(names.map((name) => [name, key[name]]))),
    'base64url',
  );
}

function isMember(value: unknown): boolean {
  return typeof value === 'string' && /^[\w-]+$/.test(value) && value.length <= MAX_MEMBER_LENGTH;
}
