import type { AccessRequest } from '../../pdp/access-request.ts';
import { type EvidenceCause, type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { DeviceIdentity, UserIdentity, VerifiedToken, Workloads } from '../../pdp/identity.ts';
import { type MaybePromise, andThen } from '../../pdp/maybe-promise.ts';
import type { DeviceAuthenticator } from '../../pdp/ports.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';
import { causeOf } from '../../pdp/refused-evidence.ts';
import type { TokenVerifier } from '../token/token-verifier.ts';

/** Settings of {@link createDeviceAuthenticator}. */
export interface DeviceAuthenticatorOptions {
  /** Verifies assertions; without it the assertion header is never read. */
  readonly verifier?: TokenVerifier;
  /** Lower-case name of the header with the assertion; default `x-device-assertion`. */
  readonly header?: string;
  /** Whether an assertion must be bound to what its sender holds; default false. */
  readonly requireBinding?: boolean;
  /** Oldest posture that is taken, in seconds; default 86 400. */
  readonly maxPostureAgeSeconds?: number;
  /** The same for single issuers of assertions, by name. */
  readonly maxPostureAgeByIssuer?: ReadonlyMap<string, number>;
}

type Options = DeviceAuthenticatorOptions & { readonly verifier: TokenVerifier };

/** Who else is known to have sent the request. */
interface Parties {
  readonly workloads: Workloads;
  readonly user: UserIdentity | undefined;
}

const FUTURE_TOLERANCE_MS = 60_000;
const DEFAULT_MAX_AGE_SECONDS = 86_400;

/**
 * Proves the device by a signed posture assertion (a JWT of an issuer with `use: 'device'`, whose `sub` names the device) or by the
 * device that the user's issuer vouches for; its id is `<issuer name>/<sub>`. Where both are there they must agree:
 * `evidence_conflict`. Everything wrong with an assertion is `device_assertion_invalid`: also a binding (`cnf`, RFC 7800) to a
 * certificate that the source did not show or to a key that the user's token is not bound to, and a posture that is too old. The
 * refusal says which by its cause, and names the assertion by its fingerprint. An assertion without a binding is good for whoever holds
 * it until it expires. A plain header such as `x-device-id` is never read.
 * See docs/device-posture.md.
 */
export function createDeviceAuthenticator(options: DeviceAuthenticatorOptions = {}): DeviceAuthenticator {
  const { verifier } = options;
  const known = verifier && { ...options, verifier };
  return {
    authenticate({ request, receivedAt: now }, workloads, user) {
      const claimed = user?.token.deviceId;
      const asserted = known && readAssertion(known, request, { workloads, user }, now);
      return andThen(
        asserted,
        (device) => device ?? (claimed === undefined ? undefined : claimedDevice(claimed, user)),
      );
    },
  };
}

function claimedDevice(id: string, user: UserIdentity | undefined): DeviceIdentity {
  const { issuedAt } = user?.token ?? {};
  return { id, evidence: 'token_claim', ...(issuedAt !== undefined && { issuedAt: issuedAt * 1000 }) };
}

function readAssertion(
  options: Options,
  request: AccessRequest,
  parties: Parties,
  now: number,
): MaybePromise<DeviceIdentity | Refusal | undefined> {
  const { header = 'x-device-assertion' } = options;
  const value = singleEvidence(request, header, invalid('malformed', `more than one '${header}' header`));
  if (typeof value !== 'string') return value;
  return andThen(verifyAssertion(options, value, parties, now), (device) => {
    const refused = isRefusal(device) ? device : conflictWith(parties.user, device);
    return refused ? withEvidence(refused, value) : device;
  });
}

async function verifyAssertion(
  options: Options,
  assertion: string,
  parties: Parties,
  now: number,
): Promise<DeviceIdentity | Refusal> {
  const { verifier, requireBinding = false } = options;
  const verified = await verifier.verify(assertion, 'device', now);
  if (isRefusal(verified)) return unverified(verified);
  const unproven = bindingProblem(verified, parties);
  if (unproven !== undefined) return invalid('binding', unproven);
  const bound = verified.confirmation !== undefined;
  if (requireBinding && !bound)
    return invalid(
      'binding',
      "the assertion is not bound to anything that its sender holds ('cnf' is missing)",
    );
  return deviceFrom(verified, bound ? 'bound_assertion' : 'assertion', maxAgeMs(options, verified), now);
}

function unverified({ refusal, detail, cause }: Refusal): Refusal {
  const words = detail === undefined ? refusal : `${refusal}: ${detail}`;
  return invalid(cause ?? causeOf(refusal) ?? 'unavailable', words);
}

function conflictWith(user: UserIdentity | undefined, { id }: DeviceIdentity): Refusal | undefined {
  const claimed = user?.token.deviceId;
  if (claimed === undefined || claimed === id) return undefined;
  const detail = "the user's token and the device assertion name different devices";
  return refuse('evidence_conflict', detail, { cause: 'conflict' });
}

/** Why the sender has not proven to hold what the assertion is bound to. */
function bindingProblem({ confirmation }: VerifiedToken, { workloads, user }: Parties): string | undefined {
  if (confirmation === undefined) return undefined;
  const { certificate, key } = confirmation;
  if (certificate === undefined && key === undefined)
    return "the assertion is bound to something unknown ('cnf')";
  return (
    (certificate === undefined ? undefined : certificateProblem(certificate, workloads)) ??
    (key === undefined ? undefined : keyProblem(key, user))
  );
}

function certificateProblem(fingerprint: string, { certificate }: Workloads): string | undefined {
  if (certificate === undefined) return 'the assertion is bound to a certificate, and the source showed none';
  return certificate.fingerprint === fingerprint
    ? undefined
    : 'the assertion is bound to another certificate than the one that the source showed';
}

/** Possession of the key was proven with the user's token, or its user would not have been authenticated. */
function keyProblem(key: string, user: UserIdentity | undefined): string | undefined {
  const proven = user?.token.confirmation?.key;
  if (proven === undefined) return 'the assertion is bound to a key, and the user has proven none';
  return proven === key ? undefined : "the assertion is bound to another key than the user's token";
}

function maxAgeMs(options: Options, { issuer }: VerifiedToken): number {
  const { maxPostureAgeSeconds = DEFAULT_MAX_AGE_SECONDS, maxPostureAgeByIssuer } = options;
  return (maxPostureAgeByIssuer?.get(issuer) ?? maxPostureAgeSeconds) * 1000;
}

function deviceFrom(
  assertion: VerifiedToken,
  evidence: DeviceIdentity['evidence'],
  maxAge: number,
  now: number,
): DeviceIdentity | Refusal {
  const device = {
    id: `${assertion.issuer}/${assertion.subject}`,
    evidence,
    ...(assertion.issuedAt !== undefined && { issuedAt: assertion.issuedAt * 1000 }),
  };
  const expiresAt = assertion.expiresAt * 1000;
  const posture = assertion.claims['posture'];
  if (!isRecord(posture)) return { ...device, freshUntil: expiresAt };
  const observed = posture['observed_at'] ?? assertion.issuedAt;
  if (typeof observed !== 'number') return invalid('age', 'the posture does not say when it was observed');
  const observedAt = observed * 1000;
  if (observedAt > now + FUTURE_TOLERANCE_MS) return invalid('age', 'the posture was observed in the future');
  const age = now - observedAt;
  if (age > maxAge)
    return invalid(
      'age',
      `the posture is ${Math.floor(age / 1000)} s old, and may be ${maxAge / 1000} s at most`,
    );
  return { ...device, posture, observedAt, freshUntil: Math.min(expiresAt, observedAt + maxAge) };
}

function invalid(cause: EvidenceCause, detail: string): Refusal {
  return refuse('device_assertion_invalid', detail, { cause });
}
