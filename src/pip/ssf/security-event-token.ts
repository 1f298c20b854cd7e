/** Codes by which a recipient refuses a SET (RFC 8935 §2.4, RFC 8936 §2.5); `invalid_state` is that of SSF 1.0 §8.1.4.1. */
export const SET_ERRORS = [
  'invalid_request',
  'invalid_key',
  'invalid_issuer',
  'invalid_audience',
  'authentication_failed',
  'access_denied',
  'invalid_state',
] as const;

/** One of {@link SET_ERRORS}. */
export type SetErrorCode = (typeof SET_ERRORS)[number];

/** Why a SET is refused, for its transmitter and for operators: words of ours, with nothing of the SET in them. */
export interface SetProblem {
  readonly err: SetErrorCode;
  readonly description: string;
}

/** Makes a {@link SetProblem}. */
export function setProblem(err: SetErrorCode, description: string): SetProblem {
  return { err, description };
}

/** A verified SET (RFC 8417) in the profile of SSF 1.0 §4.1: one event about one subject. */
export interface SecurityEventToken {
  readonly issuer: string;
  /** `jti`: together with the issuer it names this SET among all. */
  readonly id: string;
  /** Unix ms. */
  readonly issuedAt: number;
  /** URI of the type of the event. */
  readonly type: string;
  readonly event: Readonly<Record<string, unknown>>;
  /** The subject as it was sent: `sub_id`. Its shape is not looked at yet. */
  readonly subject: Readonly<Record<string, unknown>>;
}

/** What the check of a SET comes to. `unavailable`: it cannot be told now, through no fault of the SET. */
export type SetReading =
  { readonly set: SecurityEventToken } | { readonly problem: SetProblem } | { readonly unavailable: string };
