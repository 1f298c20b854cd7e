import type { AccessRequest } from '../pdp/access-request.ts';
import type { AttributeRecord, AttributeValue } from '../pdp/attribute.ts';
import { singleHeader } from '../pdp/canonical.ts';
import { type Refusal, isRefusal, refuse } from '../pdp/decision.ts';
import type { DeviceIdentity, VerifiedToken } from '../pdp/identity.ts';
import type { DeviceAuthenticator } from '../pdp/ports.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Settings of {@link createDeviceAuthenticator}. */
export interface DeviceAuthenticatorOptions {
  /** Verifies assertions; without it the assertion header is never read. */
  readonly verifier?: TokenVerifier;
  /** Lower-case name of the header with the assertion; default `x-device-assertion`. */
  readonly header?: string;
}

const FUTURE_TOLERANCE_MS = 60_000;

/**
 * Proves the device by a signed posture assertion (a JWT of an issuer with `use: 'device'`, whose `sub` is the device id) or by the
 * device id that the user's issuer vouches for. Where both are there they must agree: `evidence_conflict`. Everything wrong with
 * an assertion is `device_assertion_invalid`. A plain header such as `x-device-id` is never read. Design §4.1, §4.2.
 */
export function createDeviceAuthenticator(options: DeviceAuthenticatorOptions = {}): DeviceAuthenticator {
  const { verifier, header = 'x-device-assertion' } = options;
  return {
    async authenticate({ request, receivedAt: now }, _workloads, user) {
      const claimed = user?.token.deviceId;
      const asserted = verifier && (await readAssertion(verifier, header, request, now));
      if (asserted === undefined) {
        return claimed === undefined ? undefined : { id: claimed, evidence: 'token_claim' };
      }
      if (isRefusal(asserted) || claimed === undefined || claimed === asserted.id) return asserted;
      return refuse('evidence_conflict', "the user's token and the device assertion name different devices");
    },
  };
}

async function readAssertion(
  verifier: TokenVerifier,
  header: string,
  request: AccessRequest,
  now: number,
): Promise<DeviceIdentity | Refusal | undefined> {
  const value = singleHeader(request, header, invalid(`more than one '${header}' header`));
  if (typeof value !== 'string') return value;
  const verified = await verifier.verify(value, 'device', now);
  if (isRefusal(verified)) return invalid([verified.refusal, verified.detail].filter(Boolean).join(': '));
  return deviceFrom(verified, now);
}

function deviceFrom(assertion: VerifiedToken, now: number): DeviceIdentity | Refusal {
  const posture = assertion.claims['posture'];
  const observed = (isRecord(posture) ? posture['observed_at'] : undefined) ?? assertion.issuedAt;
  const observedAt = typeof observed === 'number' ? observed * 1000 : undefined;
  if (observedAt !== undefined && observedAt > now + FUTURE_TOLERANCE_MS) {
    return invalid('the posture was observed in the future');
  }
  return {
    id: assertion.subject,
    evidence: 'assertion',
    freshUntil: assertion.expiresAt * 1000,
    ...(isRecord(posture) && { posture }),
    ...(observedAt !== undefined && { observedAt }),
  };
}

function isRecord(value: AttributeValue | undefined): value is AttributeRecord {
  return typeof value === 'object' && !Array.isArray(value);
}

function invalid(detail: string): Refusal {
  return refuse('device_assertion_invalid', detail);
}
