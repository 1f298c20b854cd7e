import type { LogProblem } from './findings.ts';
import type { LogTrust } from './trust.ts';

/** How much the verdict on integrity is worth to somebody who does not trust the machine that the log is from. */
export interface Evidence {
  /** Where the identity key is from; `folder` proves only that the log agrees with itself. Absent: there is none. */
  readonly identityKey?: LogTrust['from'];
  /** Whether a checkpoint that was kept elsewhere was compared with: without one, a log that was rewritten as a whole by its keys' owner looks right. */
  readonly olderCheckpoint: boolean;
}

/** What verification found. */
export interface VerifyReport {
  /** Whether the lines are those that were signed. `not_checked`: nothing is signed, or there is nothing to check it with. */
  readonly integrity: 'ok' | 'failed' | 'not_checked';
  /** Whether every record is there, whole, once, and in order, and the log itself admits no loss. */
  readonly completeness: 'ok' | 'failed';
  /** Name of the log. */
  readonly log?: string;
  readonly records: number;
  readonly byKind: Readonly<Record<string, number>>;
  readonly segments: number;
  readonly blobs: number;
  /** Indexes of the first and last record; absent in an empty log. */
  readonly firstIndex?: number;
  readonly lastIndex?: number;
  /** The newest checkpoint, where it is good. */
  readonly sealed?: {
    readonly size: number;
    /** Base64. */
    readonly root: string;
    /** Unix ms. */
    readonly time: number;
  };
  /** Records after the newest checkpoint. */
  readonly unsealed: number;
  /** Checkpoints that the records were compared with. */
  readonly checkpoints: number;
  readonly evidence: Evidence;
  /** Records that the log says were lost. */
  readonly lost: number;
  /** Lines of the access log that were compared. */
  readonly reconciled: number;
  /** The first hundred of each severity, for each question. */
  readonly problems: readonly LogProblem[];
  readonly problemCount: number;
}
