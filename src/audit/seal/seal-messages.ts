import type { ControlFields, ControlKind } from '../record/control-record.ts';
import type { RetentionRules } from './retention.ts';

/** Has a control record appended; resolves when it is in the log, rejects when it is not. */
export type Announce = (kind: ControlKind, fields: ControlFields) => Promise<void>;

/** How a log is sealed. */
export interface SealSettings {
  readonly dir: string;
  /** Name of the log. */
  readonly origin: string;
  /** File of the long-lived key. */
  readonly identityFile: string;
  /** Life of a key that signs, in ms. */
  readonly epochMs: number;
  /** Pause between checkpoints in ms. */
  readonly checkpointMs: number;
  /** Whether closed segments are compressed. */
  readonly compress: boolean;
  readonly retention: RetentionRules;
  /** Names of the configured sinks: what they have not delivered is kept. */
  readonly sinks: readonly string[];
}

/** How it stands with the sealing. */
export interface SealStatus {
  /** Records that are sealed. */
  readonly size: number;
  /** Unix ms of the newest checkpoint; 0: none was published. */
  readonly time: number;
  /** Whether the last attempt to publish a checkpoint succeeded. */
  readonly sealing: boolean;
  /** What is wrong, for operators. */
  readonly problems: readonly string[];
}

/** What the sealing thread is started with. */
export interface SealWorkerData {
  readonly settings: SealSettings;
  /** Of the writer's `CommitPosition`. */
  readonly committed: SharedArrayBuffer;
}

/** What the sealing thread says. */
export type FromSealer =
  | {
      readonly kind: 'append';
      readonly id: number;
      readonly control: ControlKind;
      readonly fields: ControlFields;
    }
  | { readonly kind: 'status'; readonly status: SealStatus };

/** What it is told. */
export type ToSealer =
  { readonly kind: 'appended'; readonly id: number; readonly done: boolean } | { readonly kind: 'finish' };
