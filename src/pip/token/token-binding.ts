import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { MaybePromise } from '../../pdp/maybe-promise.ts';
import type { VerifiedToken, Workloads } from '../../pdp/identity.ts';
import type { Received } from '../../pdp/trace.ts';
import type { DpopCheck } from '../dpop/dpop.ts';
import type { BindingRule } from './issuer.ts';
import type { UserCredential } from './user-credential.ts';

/** A token that is verified, and what came with it. */
export interface BindingQuestion {
  readonly received: Received;
  readonly workloads: Workloads;
  readonly credential: UserCredential;
  readonly token: VerifiedToken;
  /** What the issuer's tokens must be bound to. */
  readonly rule: BindingRule;
  readonly dpop: DpopCheck | undefined;
}

/**
 * Has the sender prove everything that the token is bound to (RFC 8705 §3, RFC 9449 §7). `token_binding_failed` where it is bound to another
 * certificate, comes under the wrong scheme, or is not bound though its issuer's tokens must be; else what the check of the proof says.
 */
export function checkBinding(question: BindingQuestion): MaybePromise<Refusal | undefined> {
  return ruleRefusal(question) ?? certificateRefusal(question) ?? proofRefusal(question);
}

function ruleRefusal({ rule, token: { confirmation } }: BindingQuestion): Refusal | undefined {
  const { certificate, key } = confirmation ?? {};
  const met = {
    none: true,
    certificate: certificate !== undefined,
    dpop: key !== undefined,
    any: certificate !== undefined || key !== undefined,
  };
  const needed = {
    none: '',
    certificate: 'a certificate',
    dpop: 'a DPoP key',
    any: 'a certificate or a key',
  };
  return met[rule]
    ? undefined
    : failed(`the token is not bound to ${needed[rule]}, which its issuer's must be`);
}

function certificateRefusal({ token, workloads }: BindingQuestion): Refusal | undefined {
  const bound = token.confirmation?.certificate;
  if (bound === undefined) return undefined;
  const shown = workloads.certificate?.fingerprint;
  if (shown === undefined)
    return failed('the token is bound to a certificate, and the PEP sent none of the source');
  return shown === bound
    ? undefined
    : failed('the token is bound to another certificate than the source shows');
}

function proofRefusal(question: BindingQuestion): MaybePromise<Refusal | undefined> {
  const { received, credential, token, dpop } = question;
  const key = token.confirmation?.key;
  if (key === undefined)
    return credential.scheme === 'dpop' ? failed('the token under DPoP is not bound to a key') : undefined;
  if (credential.scheme !== 'dpop')
    return failed('the token is bound to a DPoP key, and was not sent under the scheme DPoP');
  if (!dpop) return refuse('token_unverifiable', 'DPoP is not configured (tokens.dpop)');
  return dpop(received, credential.token, key);
}

function failed(detail: string): Refusal {
  return refuse('token_binding_failed', detail);
}
