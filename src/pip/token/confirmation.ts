import { type Refusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { Confirmation } from '../../pdp/identity.ts';
import { jwkThumbprint } from '../../pdp/jwk-thumbprint.ts';

const SHA_256 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/**
 * Reads `cnf` (RFC 7800 §3.1): what the sender of the token must prove to hold. `undefined`: nothing. A method that we cannot check, or one
 * that is not spelled as it should be, is `token_binding_failed`: a binding that nobody checks would make a bearer token of it.
 */
export function readConfirmation(cnf: unknown): Confirmation | Refusal | undefined {
  if (cnf === undefined) return undefined;
  if (!isRecord(cnf)) return failed("'cnf' is not an object");
  const methods = Object.entries(cnf);
  if (methods.length === 0) return failed("'cnf' names no key");
  const confirmation: { certificate?: string; key?: string } = {};
  for (const [method, value] of methods) {
    const member = MEMBERS.get(method);
    if (member === undefined) return failed("'cnf' asks for a proof that is not supported here");
    const proof = method === 'jwk' ? jwkThumbprint(value) : value;
    if (method === 'jwk' && proof === undefined)
      return failed("'cnf' holds a 'jwk' that is not a public key");
    if (typeof proof !== 'string' || !SHA_256.test(proof))
      return failed(`'cnf' holds a '${method}' that is not a SHA-256 in base64url`);
    if ((confirmation[member] ?? proof) !== proof) return failed("'cnf' names two keys");
    confirmation[member] = proof;
  }
  return confirmation;
}

const MEMBERS: ReadonlyMap<string, 'certificate' | 'key'> = new Map([
  ['x5t#S256', 'certificate'],
  ['jkt', 'key'],
  // RFC 7800 §3.2: the key itself, where `jkt` is its thumbprint.
  ['jwk', 'key'],
]);

function failed(detail: string): Refusal {
  return refuse('token_binding_failed', detail);
}
