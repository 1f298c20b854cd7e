import type { Pep } from '../../pdp/access-request.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { Caller } from '../caller.ts';
import { type Grant, grantsOf } from './grants.ts';

/** Verifies the bearer tokens by which applications say who they are. */
export interface ApplicationAuthenticator {
  authenticate(token: string, now: number): Promise<VerifiedToken | Refusal>;
}

/** Who may ask questions about entities. */
export interface Access {
  /** Whether the listener is plaintext, by explicit choice. */
  readonly plaintext: boolean;
  readonly grants: readonly Grant[];
  /** Whether a caller may have explanations. */
  readonly explains: (caller: Pep) => boolean;
  /** Absent: no issuer vouches for applications, and bearer tokens of callers are not read. */
  readonly applications?: ApplicationAuthenticator;
}

/** A caller and what it may do. */
export interface Asker {
  readonly pep: Pep;
  /** Present: who calls is not known, so nothing may be asked. */
  readonly refusal?: Refusal;
  /** Credentials would help, or other ones: nobody is known, or what was sent is not accepted. */
  readonly unauthenticated: boolean;
  /** None: it may not ask for decisions. */
  readonly grants: readonly Grant[];
  readonly mayExplain: boolean;
}

/**
 * What a caller may do at `now` (Unix ms), by the connection that it is on and the bearer token that it sends, if it does. `authorization`: all
 * fields of that name. A token that is not accepted is never taken for none. That a PEP may ask for its requests gives it nothing here.
 */
export async function askerOf(
  { pep, refusal }: Caller,
  authorization: readonly string[],
  access: Access,
  now: number,
): Promise<Asker> {
  if (refusal) return { pep, refusal, unauthenticated: false, grants: [], mayExplain: false };
  const application = await applicationOf(authorization, access, now);
  if (application && isRefusal(application))
    return { pep, refusal: application, unauthenticated: true, grants: [], mayExplain: false };
  const known: Pep = application ? { ...pep, application } : pep;
  const grants = grantsOf(access.grants, known, access.plaintext);
  const mayExplain = access.explains(known);
  const isNobody = !known.workload && !known.application;
  return { pep: known, unauthenticated: isNobody && grants.length === 0, grants, mayExplain };
}

async function applicationOf(
  authorization: readonly string[],
  { applications }: Access,
  now: number,
): Promise<Pep['application'] | Refusal> {
  const [field, ...more] = authorization;
  if (!applications || field === undefined) return undefined;
  const token = more.length === 0 ? /^bearer +([^\s,]+)$/i.exec(field)?.[1] : undefined;
  if (token === undefined)
    return refuse('caller_not_allowed', 'the credentials of the caller are not one bearer token', {
      cause: 'malformed',
    });
  const verified = await applications.authenticate(token, now);
  if (!isRefusal(verified)) return { id: `${verified.issuer}/${verified.subject}`, token: verified };
  const { refusal, detail, cause } = verified;
  const words = `the token of the caller is not accepted: ${detail ?? refusal}`;
  return refuse('caller_not_allowed', words, { cause: cause ?? 'not_allowed' });
}

/** Why a caller may not have decisions; `undefined`: it may, about what it was granted. */
export function mayNotAsk({ refusal, grants }: Asker): Refusal | undefined {
  if (refusal || grants.length > 0) return refusal;
  return refuse('caller_not_allowed', 'the caller is not on the allow list of this service');
}

/** Why a caller may not have explanations; `undefined`: it may. */
export function mayNotHaveWhy({ refusal, mayExplain }: Asker): Refusal | undefined {
  if (refusal || mayExplain) return refusal;
  return refuse('caller_not_allowed', 'the caller is not on the allow list of explanations');
}
