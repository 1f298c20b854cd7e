import { type Refusal, refuse } from '../../pdp/decision.ts';
import { InputError } from '../../pdp/errors.ts';
import type { CompactJws } from './compact-jws.ts';
import type { Issuer, TokenUse } from './issuer.ts';
import type { KeySet } from '../jwks/jwks.ts';
import { type Limiter, createLimiter } from '../limiter.ts';
import { printable } from '../printable.ts';

/** An issuer with its keys, and with the room that the verification of its tokens has. */
export interface TrustedIssuer {
  readonly issuer: Issuer;
  readonly keySet: KeySet;
  readonly limiter: Limiter;
}

/** Signatures of one issuer checked at once; the pool of the runtime has four threads for those of all. */
const RUNNING = 4;
/** With an algorithm that costs ten times as much and more. */
const RUNNING_EXPENSIVE = 1;
const WAITING = 256;
const EXPENSIVE: ReadonlySet<string> = new Set(['ES384', 'ES512']);

/**
 * Joins issuers with their keys. Throws `InputError` where one has no key set, or two have one name, or one `iss` for the same use and
 * header.
 */
export function trustIssuers(
  issuers: readonly Issuer[],
  keySets: ReadonlyMap<string, KeySet>,
): readonly TrustedIssuer[] {
  const trusted: TrustedIssuer[] = [];
  for (const issuer of issuers) {
    const problem = (message: string) =>
      new InputError('the issuers cannot be used together', [{ where: `issuer '${issuer.name}'`, message }]);
    const keySet = keySets.get(issuer.name);
    if (keySet === undefined) throw problem('has no key set');
    const same = trusted.find(({ issuer: other }) => isSameSlot(other, issuer));
    if (same !== undefined) throw problem(`has the same issuer and use as '${same.issuer.name}'`);
    if (trusted.some((other) => other.issuer.name === issuer.name))
      throw problem('is named like another issuer');
    const expensive = issuer.algorithms.some((algorithm) => EXPENSIVE.has(algorithm));
    const limiter = createLimiter(expensive ? RUNNING_EXPENSIVE : RUNNING, WAITING);
    trusted.push({ issuer, keySet, limiter });
  }
  return trusted;
}

function isSameSlot(one: Issuer, other: Issuer): boolean {
  if (one.issuer !== other.issuer || one.use !== other.use) return false;
  return one.use === 'device' || one.header === other.header;
}

/**
 * The issuer that a token names, among those of its use and, for users, of the header it came in: an assertion in another proxy's header
 * is nobody's. Else `token_issuer_unknown`.
 */
export function findIssuer(
  trusted: readonly TrustedIssuer[],
  jws: CompactJws,
  use: TokenUse,
  header: string | undefined,
): TrustedIssuer | Refusal {
  const fits = ({ issuer }: TrustedIssuer) =>
    issuer.use === use && (header === undefined || issuer.header === header);
  const named = trusted.filter(({ issuer }) => issuer.issuer === issOf(issuer, jws));
  const found = named.find(fits);
  if (found !== undefined) return found;
  const other = named.find(({ issuer }) => issuer.use === use) ?? named[0];
  if (other === undefined) return refuse('token_issuer_unknown', unknownIssuer(jws));
  const { name, use: usual } = other.issuer;
  const detail =
    usual === use
      ? `tokens of issuer '${name}' come in the header '${other.issuer.header}', not in '${header ?? ''}'`
      : `issuer '${name}' is for ${usual} tokens, not for ${use} tokens`;
  return refuse('token_issuer_unknown', detail);
}

function issOf({ registeredIn }: Issuer, { header, payload }: CompactJws): unknown {
  return registeredIn === 'header' ? header['iss'] : payload['iss'];
}

function unknownIssuer({ header, payload }: CompactJws): string {
  const iss = payload['iss'] ?? header['iss'];
  return typeof iss === 'string' ? `issuer ${printable(iss)} is not configured` : 'the token names no issuer';
}
