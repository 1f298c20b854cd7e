/** Why a record cannot be replayed. */
export const NOT_REPLAYABLE = [
  'erased',
  'blob_missing',
  'blob_changed',
  'truncated',
  'inputs_missing',
  'engine_unavailable',
  'policies_missing',
  'policies_changed',
  'origin_missing',
  'unknown_version',
  'malformed',
] as const;

/** A reason for which a record cannot be replayed. */
export type NotReplayableWhy = (typeof NOT_REPLAYABLE)[number];

/** Each in words, for people. */
export const WHY_WORDS = {
  erased: 'a value that the decision saw was erased',
  blob_missing: 'a value that the decision saw is not in the pack of its segment',
  blob_changed: 'a value in the pack is not what its digest says',
  truncated: 'the record was cut to fit a line',
  inputs_missing: 'the record holds neither a question nor the decision whose answer it reused',
  engine_unavailable: 'another version of the engine decided than the one installed here',
  policies_missing: 'the policies are not in the pack of the segment',
  policies_changed: 'the policies in the pack are not those that the record names',
  origin_missing: 'the decision whose answer was reused is not in the log any more',
  unknown_version: 'the record has a version that is not known here',
  malformed: 'the line is no decision record',
} as const satisfies Record<NotReplayableWhy, string>;

/**
 * How an outcome was found again: `cedar`: evaluated; `memo`: an equal question was evaluated in this run; `reuse`: the answer of the decision
 * that the record says was reused; `stage_result`: nothing was evaluated, the record is what the closed table gives for its reason.
 */
export const MEANS = ['cedar', 'memo', 'reuse', 'stage_result'] as const;

/** A way in which an outcome is found again. */
export type Means = (typeof MEANS)[number];

/** The first field in which a record and its replay differ. */
export interface Difference {
  readonly field: string;
  readonly recorded: string;
  readonly replayed: string;
}

/** A record comes out as it was recorded. */
export interface Match {
  readonly verdict: 'MATCH';
  readonly by: Means;
}

/** A record comes out otherwise than it was recorded. */
export interface Mismatch extends Difference {
  readonly verdict: 'MISMATCH';
  readonly by: Means;
}

/** A record that cannot be evaluated again: nothing is said of whether it would come out the same. */
export interface NotReplayable {
  readonly verdict: 'NOT_REPLAYABLE';
  readonly why: NotReplayableWhy;
  /** What is missing or wrong: a digest, a version, a decision id. */
  readonly about?: string;
}

/** What replay says of one record. */
export type Verdict = Match | Mismatch | NotReplayable;

/** A {@link NotReplayable}. */
export function notReplayable(why: NotReplayableWhy, about?: string): NotReplayable {
  return { verdict: 'NOT_REPLAYABLE', why, ...(about !== undefined && { about }) };
}
