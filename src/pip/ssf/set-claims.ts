import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import { type SecurityEventToken, type SetProblem, setProblem } from './security-event-token.ts';

type Payload = Readonly<Record<string, unknown>>;

/** Which SETs a stream takes. */
export interface SetRules {
  /** Exact value of `iss`. */
  readonly issuer: string;
  /** Values of `aud` that mean us; one of them must be there. */
  readonly audiences: readonly string[];
  /** Oldest `iat` that is taken, in s. */
  readonly maxAgeSeconds: number;
  /** Seconds by which clocks may differ. */
  readonly skewSeconds: number;
}

/** What lies further in the future is no matter of clocks that differ. In s. */
const MAX_AHEAD_S = 3600;

/** Why a SET is not for us, by the claims that say whose it is; told before its signature costs anything. */
export function addressProblem(rules: SetRules, { iss, aud }: Payload): SetProblem | undefined {
  if (iss !== rules.issuer) return setProblem('invalid_issuer', 'iss is not the issuer of this stream');
  const named = typeof aud === 'string' ? [aud] : aud;
  if (!Array.isArray(named) || !named.every((value) => typeof value === 'string'))
    return setProblem('invalid_audience', 'aud is missing or not made of strings');
  if (named.some((value) => rules.audiences.includes(value))) return undefined;
  return setProblem('invalid_audience', 'aud does not name this receiver');
}

/**
 * Reads the claims of a SET whose signature is right, at `now` (Unix ms): RFC 8417 §2.2 in the profile of SSF 1.0 §4.1, which forbids
 * `sub` and `exp`, and of the CAEP interoperability profile, which has one event in each. `unavailable`: it is not its time yet.
 */
export function readSetClaims(
  rules: SetRules,
  payload: Payload,
  now: number,
): SecurityEventToken | SetProblem | { readonly unavailable: string } {
  const unfit = externalJsonProblem(payload);
  if (unfit !== undefined) return invalid('the payload is not JSON that is accepted here');
  for (const claim of ['sub', 'exp'] as const)
    if (Object.hasOwn(payload, claim)) return invalid(`${claim} must not be present`);
  const { iat, jti, events, sub_id: subject } = payload;
  if (!isId(jti)) return invalid('jti is not a string of 1 to 255 characters');
  const untimely = timeProblem(rules, iat, now);
  if (untimely !== undefined) return untimely;
  // Refused for good, what is true in a minute would be lost to two clocks that differ.
  const aheadS = Number(iat) - now / 1000;
  if (aheadS > rules.skewSeconds)
    return { unavailable: `iat lies ${Math.ceil(aheadS)} s in the future: one of the clocks is wrong` };
  const [only, ...more] = isRecord(events) ? Object.entries(events) : [];
  if (only === undefined) return invalid('events is not an object with an event');
  if (more.length > 0) return invalid('events holds more than one event');
  const [type, event] = only;
  if (!isRecord(event)) return invalid('the event is not an object');
  if (!isRecord(subject)) return invalid('sub_id is missing or not an object');
  return { issuer: rules.issuer, id: jti, issuedAt: Math.floor(Number(iat) * 1000), type, event, subject };
}

function invalid(description: string): SetProblem {
  return setProblem('invalid_request', description);
}

function isId(value: unknown): value is string {
  // oxlint-disable-next-line no-control-regex -- controls are what this keeps out
  return typeof value === 'string' && /^[^\u0000-\u001f\u007f]{1,255}$/.test(value);
}

function timeProblem(
  { maxAgeSeconds, skewSeconds }: SetRules,
  iat: unknown,
  now: number,
): SetProblem | undefined {
  if (typeof iat !== 'number' || iat < 0 || iat > Number.MAX_SAFE_INTEGER / 1000)
    return invalid('iat is missing or not a number of seconds');
  const age = now / 1000 - iat;
  if (age < -MAX_AHEAD_S) return invalid(`iat lies more than ${MAX_AHEAD_S} s in the future`);
  return age > maxAgeSeconds + skewSeconds
    ? invalid(`iat lies more than ${maxAgeSeconds} s in the past`)
    : undefined;
}
