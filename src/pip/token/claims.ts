import type { AttributeRecord, AttributeValue } from '../../pdp/attribute.ts';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { ClaimType, Issuer } from './issuer.ts';
import { readPosture } from '../device/posture.ts';

type Payload = Readonly<Record<string, unknown>>;

/** What the mapping takes out of a verified payload. */
export type MappedClaims = Pick<
  VerifiedToken,
  'claims' | 'groups' | 'tokenId' | 'sessionId' | 'tenantId' | 'email' | 'deviceId' | 'clientId'
>;

/** A claim that is there and is not what its mapping says. */
class ClaimError extends Error {}

/**
 * Takes the mapped claims out of a verified payload, and out of a device's assertion its `posture`. A missing claim (null counts
 * as missing) is absent; one of the wrong type refuses the token: `token_claims_refused`.
 */
export function mapClaims(issuer: Issuer, payload: Payload): MappedClaims | Refusal {
  try {
    return takeClaims(issuer, payload);
  } catch (error) {
    if (error instanceof ClaimError) return refuse('token_claims_refused', error.message);
    throw error;
  }
}

function takeClaims(issuer: Issuer, payload: Payload): MappedClaims {
  const { claims: mapping, use } = issuer;
  const tokenId = take(payload, 'jti', readId);
  const sessionId = take(payload, mapping.sessionId, readId);
  const tenantId = take(payload, mapping.tenant, readId);
  const email = take(payload, mapping.email, readEmail);
  const deviceId = take(payload, mapping.deviceId, readId);
  const clientId = take(payload, mapping.clientId, readId);
  return {
    claims: { ...takeAttributes(issuer, payload), ...(use === 'device' && takePosture(payload)) },
    groups: take(payload, mapping.groups, readGroups) ?? [],
    ...(tokenId !== undefined && { tokenId }),
    ...(sessionId !== undefined && { sessionId }),
    ...(tenantId !== undefined && { tenantId }),
    ...(email !== undefined && email !== '' && { email }),
    ...(deviceId !== undefined && { deviceId: `${mapping.deviceIssuer ?? issuer.name}/${deviceId}` }),
    ...(clientId !== undefined && { clientId }),
  };
}

function takeAttributes(issuer: Issuer, payload: Payload): AttributeRecord {
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, { claim, type }] of Object.entries(issuer.claims.attributes)) {
    const value = take(payload, claim, READERS[type]);
    if (value !== undefined) attributes[name] = value;
  }
  return attributes;
}

function takePosture(payload: Payload): AttributeRecord {
  const value = payload['posture'];
  if (value === undefined || value === null) return {};
  const reading = readPosture(value);
  if ('problem' in reading) throw new ClaimError(reading.problem);
  return { posture: reading.posture };
}

function take<T>(
  payload: Payload,
  claim: string | undefined,
  read: (value: unknown) => T | undefined,
): T | undefined {
  const value = claim === undefined ? undefined : claimValue(payload, claim);
  if (value === undefined || value === null) return undefined;
  const taken = read(value);
  if (taken === undefined) throw new ClaimError(`claim '${claim}' has a value of the wrong type`);
  return taken;
}

/** The value of a claim by its literal name, or by a JSON Pointer through objects. */
function claimValue(payload: Payload, claim: string): unknown {
  if (!claim.startsWith('/')) return member(payload, claim);
  return claim
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(member, payload);
}

function member(value: unknown, name: string): unknown {
  return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

const READERS: Readonly<Record<ClaimType, (value: unknown) => AttributeValue | undefined>> = {
  string: (value) => (typeof value === 'string' ? value : undefined),
  long: (value) => (Number.isSafeInteger(value) ? Number(value) + 0 : undefined),
  bool: (value) => (typeof value === 'boolean' ? value : undefined),
  string_set: (value) =>
    typeof value === 'string' ? unique(value.split(' ').filter(Boolean)) : readStrings(value),
};

/** A string of 1 to 255 characters without controls. */
function readId(value: unknown): string | undefined {
  // oxlint-disable-next-line no-control-regex -- controls are what this keeps out
  return typeof value === 'string' && /^[^\u0000-\u001f\u007f]{1,255}$/.test(value) ? value : undefined;
}

/** An address in lower case. An empty one is that of nobody: some issuers have it so for accounts without one. */
function readEmail(value: unknown): string | undefined {
  return value === '' ? value : readId(value)?.toLowerCase();
}

// Not split at spaces, unlike a string_set: group names hold spaces, and half a name may be another group's.
function readGroups(value: unknown): readonly string[] | undefined {
  const groups = readStrings(value);
  return groups?.every((group) => readId(group) !== undefined) === true ? groups : undefined;
}

function readStrings(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.every((item) => typeof item === 'string') ? unique(value) : undefined;
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}
