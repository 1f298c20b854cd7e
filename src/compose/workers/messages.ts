import type { Config } from '../../config.ts';
import type { DenyReason } from '../../pdp/decision.ts';
import type { Question } from './control.ts';

/** What the primary says to a worker. */
export type ToWorker =
  /** `config` is that of the primary, so that a worker that starts again later does not read another one. */
  | {
      readonly type: 'start';
      readonly number: number;
      readonly config: Config;
      readonly opsAddress: string;
      readonly file: string | undefined;
    }
  | {
      readonly type: 'ask';
      readonly id: number;
      readonly question: Question;
      readonly given: readonly unknown[];
    }
  | { readonly type: 'reload' }
  | { readonly type: 'stop' };

/** What a worker says to the primary. */
export type FromWorker =
  /** It serves; `banner` is what a single process would print. */
  | { readonly type: 'started'; readonly addresses: StartedAt; readonly banner: string }
  /** It cannot start; `input`: for something that people wrote wrong. */
  | { readonly type: 'failed'; readonly message: string; readonly input: boolean }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'refusal'; readonly id: number; readonly error: ToldError };

/** Where a worker listens. */
export interface StartedAt {
  readonly grpc: string;
  readonly http?: string;
}

/** An error as it goes from one process to another. */
export interface ToldError {
  readonly message: string;
  /** Of a `PdpError`. */
  readonly reason?: DenyReason;
  /** Of an `OpsRefusal`. */
  readonly status?: number;
}
