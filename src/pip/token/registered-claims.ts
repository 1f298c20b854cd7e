import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { Issuer } from './issuer.ts';
import { oneOf, printable } from '../printable.ts';

type Payload = Readonly<Record<string, unknown>>;

/** What the registered claims of a token say, once found right. */
export type RegisteredClaims = Pick<VerifiedToken, 'subject' | 'audiences' | 'issuedAt' | 'expiresAt'>;

/**
 * Checks the registered claims (RFC 7519 §4.1) of a token whose signature is right, at `now` (Unix ms): `aud`, `exp` and `sub`
 * are required, `nbf` and `iat` may not lie ahead, with the issuer's skew allowed on every time. Where the issuer's tokens have a
 * maximum age, `iat` is required and the token ends with that age, if not before.
 */
export function checkRegisteredClaims(
  issuer: Issuer,
  payload: Payload,
  now: number,
): RegisteredClaims | Refusal {
  const audiences = readAudiences(payload['aud']);
  if (audiences === undefined)
    return refuse('token_audience_wrong', 'audience is missing or not made of strings');
  if (!audiences.some((audience) => issuer.audiences.includes(audience))) {
    const seen = audiences.slice(0, 4).map(printable).join(', ') || 'empty';
    return refuse('token_audience_wrong', `audience is ${seen}, expected ${oneOf(issuer.audiences)}`);
  }
  const times = readTimes(payload);
  if (times === undefined)
    return refuse('token_claims_refused', "'exp' is missing, or a time is not a number of seconds");
  const untimely = timeRefusal(times, now / 1000, issuer) ?? ageRefusal(times, now / 1000, issuer);
  if (untimely !== undefined) return untimely;
  const { sub } = payload;
  if (typeof sub !== 'string' || !/^[ -~]{1,255}$/.test(sub)) {
    return refuse('token_claims_refused', "'sub' is not 1 to 255 printable ASCII characters");
  }
  const { exp, iat } = times;
  return {
    subject: sub,
    audiences,
    expiresAt: Math.floor(Math.min(exp, (iat ?? exp) + issuer.maxAgeSeconds)),
    ...(iat !== undefined && { issuedAt: Math.floor(iat) }),
  };
}

function readAudiences(aud: unknown): readonly string[] | undefined {
  if (typeof aud === 'string') return [aud];
  return Array.isArray(aud) && aud.every((audience) => typeof audience === 'string') ? aud : undefined;
}

interface Times {
  readonly exp: number;
  readonly nbf?: number;
  readonly iat?: number;
}

function readTimes(payload: Payload): Times | undefined {
  const { exp, nbf, iat } = payload;
  if (!isTime(exp) || ![nbf, iat].every((time) => time === undefined || isTime(time))) return undefined;
  return { exp, ...(isTime(nbf) && { nbf }), ...(isTime(iat) && { iat }) };
}

/** A NumericDate (RFC 7519 §2), which may have a fraction. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

function timeRefusal({ exp, nbf, iat }: Times, now: number, issuer: Issuer): Refusal | undefined {
  const { skewSeconds: skew } = issuer;
  if (now >= exp + skew) return refuse('token_expired', `expired ${Math.floor(now - exp)} s ago`);
  if (nbf !== undefined && nbf > now + skew) {
    const wait = Math.ceil(nbf - now);
    return refuse(
      'token_not_yet_valid',
      `valid only in ${wait} s: the clocks differ by more than ${skew} s, or it is for later`,
    );
  }
  if (iat !== undefined && iat > now + skew) {
    const ahead = Math.ceil(iat - now);
    return refuse(
      'token_not_yet_valid',
      `issued ${ahead} s in the future: the clocks differ by more than ${skew} s`,
    );
  }
  return undefined;
}

function ageRefusal({ iat }: Times, now: number, issuer: Issuer): Refusal | undefined {
  const { maxAgeSeconds, skewSeconds } = issuer;
  if (maxAgeSeconds === Number.POSITIVE_INFINITY) return undefined;
  if (iat === undefined) return refuse('token_claims_refused', "'iat' is missing, and the age is limited");
  if (now < iat + maxAgeSeconds + skewSeconds) return undefined;
  const age = Math.floor(now - iat);
  return refuse('token_expired', `issued ${age} s ago, and older than ${maxAgeSeconds} s is too old here`);
}
