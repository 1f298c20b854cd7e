/** A JSON object of attributes. */
export interface Properties {
  readonly [name: string]: unknown;
}

/** Who wants to act, or what is acted upon (AuthZEN §5.1, §5.2). */
export interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties?: Properties;
}

/** What is to be done (AuthZEN §5.3). */
export interface Action {
  readonly name: string;
  readonly properties?: Properties;
}

/** A user as an access token proves it: an extension of cedar-pdp, which the standard has no place for. */
export interface TokenSubject {
  readonly token: string;
  /** Signed posture assertion of the device that the subject uses. */
  readonly device_assertion?: string;
}

/** May this subject do this to that resource? */
export interface Question {
  readonly subject: Entity | TokenSubject;
  readonly action: Action;
  readonly resource: Entity;
  readonly context?: Properties;
}

/** Why there is no decision. Whatever it is, nothing is allowed. */
export type Failure =
  /** The decision point did not answer before the deadline, or the caller gave up. */
  | 'timeout'
  /** It could not be reached, or was not able to answer. */
  | 'unavailable'
  /** It knows no such question: a mistake in the application. */
  | 'bad_question'
  /** We are not who may ask this, or have not proven who we are. */
  | 'not_allowed_to_ask'
  /** What came back is not an answer of this API. */
  | 'bad_answer';

/** What was decided. Only `allowed: true` lets anything happen. */
export interface Answer {
  readonly allowed: boolean;
  /** `permitted`, or why not, as one of a closed set of words of the decision point. Of a failure: the {@link Failure}. */
  readonly reason: string;
  /** Words on a deny that may be shown to the subject. */
  readonly message?: string;
  /** What the subject could do about a deny: authenticate, or authenticate more strongly (RFC 9470). */
  readonly advice?: { readonly kind: 'authenticate' | 'step_up'; readonly acrValues?: readonly string[] };
  /** Id of the record in the decision log. */
  readonly decisionId?: string;
  /** Until when the same question has the same answer, unless something is revoked. */
  readonly cacheableUntil?: Date;
  /** Present: nothing was decided. */
  readonly failure?: Failure;
  /** Of a failure: what happened, for operators. */
  readonly detail?: string;
}
