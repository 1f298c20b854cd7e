import { hash } from 'node:crypto';
import { isRecord } from './external-json.ts';

/** The members that make up a public key, and its thumbprint, in their order (RFC 7638 §3.2, RFC 8037 §2), by key type. */
const MEMBERS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['OKP', ['crv', 'kty', 'x']],
  ['RSA', ['e', 'kty', 'n']],
]);

const MAX_MEMBER_LENGTH = 2048;

/** The members of a public JWK that make up the key, and no others. */
export interface KeyMembers {
  readonly kty: string;
  readonly [name: string]: string;
}

/**
 * The members of a public JWK that its thumbprint is made of, in their order; `undefined` for what is no public JWK of a type that signs:
 * a symmetric key, one with its private half, or one with a member missing.
 */
export function keyMembers(jwk: unknown): KeyMembers | undefined {
  if (!isRecord(jwk) || 'd' in jwk || 'k' in jwk) return undefined;
  const names = MEMBERS.get(jwk['kty']);
  if (!names?.every((name) => isMember(jwk[name]))) return undefined;
  return Object.fromEntries(names.map((name) => [name, jwk[name]])) as unknown as KeyMembers;
}

/** The SHA-256 thumbprint (RFC 7638) of a public key as base64url; `undefined` where {@link keyMembers} is. */
export function jwkThumbprint(jwk: unknown): string | undefined {
  const members = keyMembers(jwk);
  return members && hash('sha256', JSON.stringify(members), 'base64url');
}

function isMember(value: unknown): boolean {
  return typeof value === 'string' && /^[\w-]+$/.test(value) && value.length <= MAX_MEMBER_LENGTH;
}
