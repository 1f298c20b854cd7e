import { type Refusal, refuse } from '../../pdp/decision.ts';
import { InputError, type Problem } from '../../pdp/errors.ts';
import type { CompactJws } from './compact-jws.ts';
import type { Issuer, TokenUse } from './issuer.ts';
import type { KeySet } from '../jwks/jwks.ts';
import { type Limiter, createSignatureLimiter } from '../limiter.ts';
import { printable } from '../printable.ts';

/** An issuer with its keys, and with the room that the verification of its tokens has. */
export interface TrustedIssuer {
  readonly issuer: Issuer;
  readonly keySet: KeySet;
  readonly limiter: Limiter;
}

/** Signatures of one issuer checked at once, with an algorithm that costs ten times as much and more. */
const RUNNING_EXPENSIVE = 1;
const EXPENSIVE: ReadonlySet<string> = new Set(['ES384', 'ES512']);

/**
 * Joins issuers with their keys. Throws `InputError` where one has no key set, and with every problem of {@link issuersProblems}.
 */
export function trustIssuers(
  issuers: readonly Issuer[],
  keySets: ReadonlyMap<string, KeySet>,
): readonly TrustedIssuer[] {
  const trusted: TrustedIssuer[] = [];
  const problems = [...issuersProblems(issuers)];
  for (const issuer of issuers) {
    const keySet = keySets.get(issuer.name);
    const expensive = issuer.algorithms.some((algorithm) => EXPENSIVE.has(algorithm));
    const limiter = createSignatureLimiter(expensive ? RUNNING_EXPENSIVE : undefined);
    if (keySet === undefined) problems.push(problem(issuer, 'has no key set'));
    else trusted.push({ issuer, keySet, limiter });
  }
  if (problems.length > 0) throw new InputError('the issuers cannot be used together', problems);
  return trusted;
}

/**
 * Why issuers cannot be used together: two have one name, or one `iss` for the same use and header; or a token of one could be taken for that of an
 * application, or the other way round (RFC 8725 §3.12).
 */
export function issuersProblems(issuers: readonly Issuer[]): readonly Problem[] {
  return issuers.flatMap((issuer, index) => {
    const earlier = issuers.slice(0, index);
    const same = earlier.find((other) => isSameSlot(other, issuer));
    const twin = earlier.find((other) => isMistakable(other, issuer));
    return [
      ...(twin
        ? [
            problem(
              issuer,
              `has the same issuer, audience and type of token as '${twin.name}', and another use`,
            ),
          ]
        : []),
      ...(same ? [problem(issuer, `has the same issuer and use as '${same.name}'`)] : []),
      ...(earlier.some(({ name }) => name === issuer.name)
        ? [problem(issuer, 'is named like another issuer')]
        : []),
    ];
  });
}

function problem({ name }: Issuer, message: string): Problem {
  return { where: `issuer '${name}'`, message };
}

function isSameSlot(one: Issuer, other: Issuer): boolean {
  if (one.issuer !== other.issuer || one.use !== other.use) return false;
  return one.use === 'device' || one.header === other.header;
}

/** Whether a token of one issuer may be good for another use of the same one, of which an application's is one. */
function isMistakable(one: Issuer, other: Issuer): boolean {
  if (one.issuer !== other.issuer || one.use === other.use) return false;
  if (one.use !== 'application' && other.use !== 'application') return false;
  const shares = (list: 'audiences' | 'types') => one[list].some((value) => other[list].includes(value));
  return shares('audiences') && shares('types');
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
  const named = trusted.filter(({ issuer }) => issuer.issuer === issuerNameIn(issuer, jws));
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

/** `iss` of a token, where tokens of this issuer hold it; nothing is verified. */
export function issuerNameIn({ registeredIn }: Issuer, { header, payload }: CompactJws): unknown {
  return registeredIn === 'header' ? header['iss'] : payload['iss'];
}

function unknownIssuer({ header, payload }: CompactJws): string {
  const iss = payload['iss'] ?? header['iss'];
  return typeof iss === 'string' ? `issuer ${printable(iss)} is not configured` : 'the token names no issuer';
}
