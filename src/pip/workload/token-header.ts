import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload } from '../../pdp/identity.ts';
import type { Received } from '../../pdp/trace.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';
import { causeOf } from '../../pdp/refused-evidence.ts';
import { readUserCredential } from '../token/user-credential.ts';

/** A workload that a token proves. */
export interface TokenWorkload {
  readonly workload: ProvenWorkload;
  /** The token as it was sent. */
  readonly token: string;
}

/** Reads a token of the calling workload. `undefined`: there is none. */
export type WorkloadTokenReader = (
  received: Received,
) => Promise<TokenWorkload | Refusal> | Refusal | undefined;

/**
 * The token in a header: after `Bearer` in `authorization`, bare in any other. `undefined`: there is none, or another kind of credential.
 * More than one is `credentials_conflict`.
 */
export function tokenIn({ request }: Received, header: string): string | Refusal | undefined {
  if (header !== 'authorization')
    return singleEvidence(
      request,
      header,
      refuse('credentials_conflict', `more than one '${header}' header`),
    );
  const credential = readUserCredential(request, [header]);
  if (credential === undefined || isRefusal(credential)) return credential;
  return credential.scheme === 'bearer' ? credential.token : undefined;
}

/** A refusal that says which evidence it is about and what is wrong with it, with a fingerprint that is not the token. */
export function aboutToken(
  kind: string,
  header: string,
  token: string,
  { refusal, detail = '', cause = causeOf(refusal) ?? 'unavailable' }: Refusal,
): Refusal {
  return withEvidence(refuse(refusal, `the ${kind} in '${header}': ${detail}`, { cause }), token);
}
