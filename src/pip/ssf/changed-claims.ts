import type { AttributeRecord, AttributeValue } from '../../pdp/attribute.ts';
import { isRefusal } from '../../pdp/decision.ts';
import type { SubjectRef } from '../../pdp/subject-key.ts';
import { mapClaims } from '../token/claims.ts';
import type { Issuer } from '../token/issuer.ts';

/** Claims as tokens issued from now on would say them; `undefined`: they cannot be told. */
export type ChangedClaims =
  { readonly claims: AttributeRecord; readonly groups?: readonly string[] } | undefined;

/** Longest claim that an entry of the shared state (8 KiB) holds beside names, as JSON. */
const MAX_CLAIM_BYTES = 6 * 1024;

/**
 * Makes the reader of changed claims, which maps them as those of the user's tokens. They cannot be told where one is gone, of a
 * type that its mapping does not take, or too large to be kept, or where it says who the user is.
 */
export function createChangedClaims(
  issuers: readonly Issuer[],
): (user: SubjectRef, claims: Readonly<Record<string, unknown>>) => ChangedClaims {
  return (user, claims) => {
    const issuer = issuers.find(({ name, use }) => use === 'user' && user.id.startsWith(`${name}/`));
    if (!issuer || Object.values(claims).includes(null)) return undefined;
    const mapped = mapClaims(issuer, claims);
    if (isRefusal(mapped)) return undefined;
    const { claims: attributes, groups, ...identifying } = mapped;
    if (Object.keys(identifying).length > 0) return undefined;
    const lost = Object.entries(issuer.claims.attributes).some(
      ([name, { claim }]) => touches(claim, claims) && !Object.hasOwn(attributes, name),
    );
    if (lost) return undefined;
    if ([...Object.values(attributes), groups].some(isTooLarge)) return undefined;
    const { groups: groupsClaim } = issuer.claims;
    const hasGroups = groupsClaim !== undefined && touches(groupsClaim, claims);
    return { claims: attributes, ...(hasGroups && { groups }) };
  };
}

function isTooLarge(value: AttributeValue): boolean {
  return Buffer.byteLength(JSON.stringify(value)) > MAX_CLAIM_BYTES;
}

/** Whether a claim is among those that changed, by its literal name or by the first step of its JSON Pointer. */
function touches(claim: string, claims: Readonly<Record<string, unknown>>): boolean {
  const first = claim.startsWith('/') ? (claim.split('/')[1] ?? '') : claim;
  return Object.hasOwn(claims, first.replaceAll('~1', '/').replaceAll('~0', '~'));
}
