import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { AccessRequest } from '../../pdp/access-request.ts';
import { canonicalise } from '../../pdp/canonical.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { HeaderFields } from '../../pdp/header-fields.ts';
import type { Identities, UserIdentity, Workloads } from '../../pdp/identity.ts';
import type { Clock, Revocations, UserAuthenticator } from '../../pdp/ports.ts';
import type { Received } from '../../pdp/trace.ts';
import { callerOn } from '../caller.ts';

/** What {@link userOfCall} needs. */
export interface UserOfCallParts {
  /** The one that also proves the users of requests that are decided on. */
  readonly user: UserAuthenticator;
  readonly revocations: Pick<Revocations, 'refusal' | 'revised'>;
  readonly clock: Clock;
  /** Whether the surface is plaintext. */
  readonly plaintext: boolean;
}

/**
 * Proves which user makes a call of our own HTTP surface, in the way that the users of requests are proven: one token, in the header of its issuer, with the
 * proof of what it is bound to, and nothing about it or the calling workload revoked. No token is `authentication_required`.
 */
export async function userOfCall(
  parts: UserOfCallParts,
  message: IncomingMessage,
): Promise<UserIdentity | Refusal> {
  const received = receivedOf(parts, message);
  if (isRefusal(received)) return received;
  const workloads = workloadsOf(parts, message, received);
  const user = await parts.user.authenticate(received, workloads);
  if (user === undefined) return refuse('authentication_required', 'no token of a user was sent');
  if (isRefusal(user)) return user;
  const identities: Identities = { ...workloads, user, ...deviceOf(user), tokenState: 'valid' };
  const revoked = parts.revocations.refusal({ ...received, identities });
  return revoked ?? parts.revocations.revised(identities).user ?? user;
}

/** The device that the token names: somebody with a device that is shut off is refused here as well. */
function deviceOf({ token: { deviceId, issuedAt } }: UserIdentity): Pick<Identities, 'device'> {
  if (deviceId === undefined) return {};
  const proven = issuedAt !== undefined && { issuedAt: issuedAt * 1000 };
  return { device: { id: deviceId, evidence: 'token_claim', ...proven } };
}

function receivedOf({ clock, plaintext }: UserOfCallParts, message: IncomingMessage): Received | Refusal {
  const receivedAt = clock.now();
  const request = requestOf(message, plaintext);
  const canonical = canonicalise(request);
  if (isRefusal(canonical)) return canonical;
  return {
    id: decisionId(receivedAt),
    // Read by records and metrics of checks, and this call is none.
    surface: 'check',
    pep: callerOn(message.socket, plaintext, 'surface', receivedAt).pep,
    receivedAt,
    startedAt: clock.monotonic(),
    request,
    canonical,
  };
}

const NOBODY = { principal: '', certificate: '', service: '' } as const;

function requestOf(message: IncomingMessage, plaintext: boolean): AccessRequest {
  const { rawHeaders, method = '', url = '', httpVersion } = message;
  const pairs = rawHeaders.flatMap((name, index): (readonly [string, string])[] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : [],
  );
  return {
    source: NOBODY,
    destination: NOBODY,
    http: {
      method,
      path: url,
      host: message.headers.host ?? '',
      scheme: plaintext ? 'http' : 'https',
      protocol: `HTTP/${httpVersion}`,
      headers: new HeaderFields(pairs, false),
      size: -1,
    },
    streamId: '',
    sni: '',
    contextExtensions: new Map(),
    metadata: new Map(),
  };
}

/** Who called over mutual TLS, with the certificate that a token may be bound to (RFC 8705). */
function workloadsOf({ plaintext }: UserOfCallParts, message: IncomingMessage, { pep }: Received): Workloads {
  if (plaintext || !pep.workload) return {};
  const { raw } = (message.socket as TLSSocket).getPeerCertificate();
  const { workload, provenUntil } = pep;
  return {
    source: { ...workload, evidence: 'certificate', ...(provenUntil !== undefined && { provenUntil }) },
    certificate: { fingerprint: hash('sha256', raw, 'base64url') },
  };
}
