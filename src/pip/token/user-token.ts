import type { AccessRequest } from '../../pdp/access-request.ts';
import { type Refusal, isRefusal } from '../../pdp/decision.ts';
import { andThen } from '../../pdp/maybe-promise.ts';
import type { UserAuthenticator } from '../../pdp/ports.ts';
import type { DpopCheck } from '../dpop/dpop.ts';
import { withEvidence } from '../evidence.ts';
import type { Issuer } from './issuer.ts';
import { checkBinding } from './token-binding.ts';
import type { SpelledToken, TokenVerifier } from './token-verifier.ts';
import { type UserCredential, readUserCredential } from './user-credential.ts';

/** Settings of {@link createUserAuthenticator}. */
export interface UserAuthenticatorOptions {
  readonly verifier: TokenVerifier;
  /** The issuers of the verifier. Only the headers of those for users are read; `authorization` where there are none. */
  readonly issuers: readonly Issuer[];
  /** Checks DPoP proofs; without it a token that needs one is refused. */
  readonly dpop?: DpopCheck;
  /** Whether a bearer token in `authorization` is a workload's, so that it is for others to verify. */
  readonly isWorkloadToken?: (token: string) => boolean;
}

type Spelled = UserCredential & { readonly spelled: SpelledToken };

/**
 * Takes the user from the one credential of a request, and has the sender prove what the token is bound to (RFC 7800), on every request:
 * a token that is known is not a proof that is known. The user's id is `<issuer name>/<sub>`; names of issuers hold no '/', so the id
 * is unambiguous.
 */
export function createUserAuthenticator(options: UserAuthenticatorOptions): UserAuthenticator {
  const { verifier, dpop, isWorkloadToken } = options;
  const issuers = options.issuers.filter(({ use }) => use === 'user');
  const headers =
    issuers.length === 0 ? ['authorization'] : [...new Set(issuers.map(({ header }) => header))];
  const rules = new Map(issuers.map(({ name, binding }) => [name, binding]));
  const read = (request: AccessRequest): Spelled | Refusal | undefined => {
    const credential = readUserCredential(request, headers);
    if (credential === undefined || isRefusal(credential)) return credential;
    if (credential.scheme === 'bearer' && isWorkloadToken?.(credential.token) === true) return undefined;
    return { ...credential, spelled: verifier.spell(credential.token, 'user', credential.header) };
  };
  // A question that is asked again is the same object.
  const known = new WeakMap<AccessRequest, Spelled | Refusal | 'none'>();
  const credentialOf = (request: AccessRequest): Spelled | Refusal | undefined => {
    let credential = known.get(request);
    if (credential === undefined) known.set(request, (credential = read(request) ?? 'none'));
    return credential === 'none' ? undefined : credential;
  };
  return {
    authenticate(received, workloads) {
      const credential = credentialOf(received.request);
      if (credential === undefined || isRefusal(credential)) return credential;
      return andThen(verifier.verifySpelled(credential.spelled, received.receivedAt), (token) => {
        if (isRefusal(token)) return withEvidence(token, credential.token);
        const rule = rules.get(token.issuer) ?? 'none';
        const proven = checkBinding({ received, workloads, credential, token, rule, dpop });
        return andThen(proven, (unbound) =>
          unbound
            ? withEvidence(unbound, credential.token)
            : { id: `${token.issuer}/${token.subject}`, token },
        );
      });
    },
    missingKeys: () => verifier.missingKeys(),
  };
}
