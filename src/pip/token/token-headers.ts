import { isRefusal } from '../../pdp/decision.ts';
import { MAX_TOKEN_LENGTH, parseCompactJws } from './compact-jws.ts';
import type { Issuer } from './issuer.ts';
import { issuerNameIn } from './trusted-issuers.ts';

const USUAL = 'authorization';

/**
 * Tells the header in which a request would carry a user's token, by the issuer that it names: `authorization` where there is none such, or
 * one of several. Nothing is verified.
 */
export function createHeaderOfToken(issuers: readonly Issuer[]): (token: string) => string {
  const elsewhere = issuers.filter(({ use, header }) => use === 'user' && header !== USUAL);
  if (elsewhere.length === 0) return () => USUAL;
  const usual = issuers.filter(({ use, header }) => use === 'user' && header === USUAL);
  return (token) => {
    const jws = token.length > MAX_TOKEN_LENGTH ? undefined : parseCompactJws(token);
    if (!jws || isRefusal(jws)) return USUAL;
    const named = (issuer: Issuer) => issuer.issuer === issuerNameIn(issuer, jws);
    return usual.some(named) ? USUAL : (elsewhere.find(named)?.header ?? USUAL);
  };
}
