import { isRefusal, refuse } from '../../pdp/decision.ts';
import type { Refusal } from '../../pdp/decision.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { TokenVerifier } from './token-verifier.ts';

/**
 * Verifies the bearer token by which a calling application says who it is: one of an issuer with `use: application`. One that is bound to its
 * sender (`cnf`, RFC 7800) is refused (`token_binding_failed`): nothing here proves possession.
 */
export function createApplicationAuthenticator(verifier: TokenVerifier): {
  authenticate(token: string, now: number): Promise<VerifiedToken | Refusal>;
} {
  return {
    async authenticate(token, now) {
      const verified = await verifier.verify(token, 'application', now);
      if (isRefusal(verified) || verified.confirmation === undefined) return verified;
      return refuse(
        'token_binding_failed',
        'the token is bound to its sender, which cannot be proven here; send one that is not',
        { cause: 'binding' },
      );
    },
  };
}
