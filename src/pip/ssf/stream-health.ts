import { printable } from '../printable.ts';

/** Status of a stream at its transmitter (SSF 1.0 §8.1.2); `unknown` until it was told. */
export type StreamStatus = 'enabled' | 'paused' | 'disabled' | 'unknown';

/** Steps of a stream that can fail, each with one problem at most. */
export type StreamStep = 'set-up' | 'poll' | 'verification';

/** How it stands with one stream, for operators. */
export interface StreamReport {
  readonly name: string;
  readonly delivery: 'push' | 'poll';
  readonly issuer: string;
  readonly status: StreamStatus;
  readonly stream_id?: string;
  /** Unix ms. */
  readonly last_event_at?: number;
  /** Unix ms; polls only. */
  readonly last_poll_at?: number;
  /** Unix ms at which a verification event last came that had been asked for. */
  readonly verified_at?: number;
  readonly events_delivered?: readonly string[];
  readonly problems: readonly string[];
}

/** Collects how it stands with one stream. */
export class StreamHealth {
  readonly #identity: Pick<StreamReport, 'name' | 'delivery' | 'issuer'>;
  readonly #problems = new Map<StreamStep, string>();
  #status: StreamStatus = 'unknown';
  #reason: string | undefined;
  #streamId: string | undefined;
  #lastEventAt: number | undefined;
  #lastPollAt: number | undefined;
  #verifiedAt: number | undefined;
  #delivered: readonly string[] | undefined;

  constructor(identity: Pick<StreamReport, 'name' | 'delivery' | 'issuer'>) {
    this.#identity = identity;
  }

  get name(): string {
    return this.#identity.name;
  }

  /** `id` of the stream at its transmitter, where it is known. */
  get streamId(): string | undefined {
    return this.#streamId;
  }

  get lastEventAt(): number | undefined {
    return this.#lastEventAt;
  }

  get verifiedAt(): number | undefined {
    return this.#verifiedAt;
  }

  /** `problem` in an operator's words; absent: the step is well. Says whether that is news. */
  step(step: StreamStep, problem?: string): boolean {
    const before = this.#problems.get(step);
    if (problem === undefined) this.#problems.delete(step);
    else this.#problems.set(step, problem);
    return before !== problem;
  }

  /** The transmitter says how it stands with the stream. */
  told(status: StreamStatus, reason?: string): void {
    this.#status = status;
    this.#reason = reason;
  }

  configured(streamId: string, delivered?: readonly string[]): void {
    this.#streamId = streamId;
    this.#delivered = delivered;
  }

  event(at: number): void {
    this.#lastEventAt = at;
  }

  polled(at: number): void {
    this.#lastPollAt = at;
  }

  verified(at: number): void {
    this.#verifiedAt = Math.max(at, this.#verifiedAt ?? 0);
  }

  /** What is amiss, in an operator's words. */
  warnings(): readonly string[] {
    const { name } = this.#identity;
    const stopped = this.#status === 'paused' || this.#status === 'disabled';
    const because = this.#reason === undefined ? '' : ` (${printable(this.#reason)})`;
    return [
      ...(stopped ? [`the event stream '${name}' is ${this.#status}${because}`] : []),
      ...[...this.#problems].map(([step, problem]) => `the event stream '${name}' (${step}): ${problem}`),
    ];
  }

  report(): StreamReport {
    return {
      ...this.#identity,
      status: this.#status,
      ...(this.#streamId !== undefined && { stream_id: this.#streamId }),
      ...(this.#lastEventAt !== undefined && { last_event_at: this.#lastEventAt }),
      ...(this.#lastPollAt !== undefined && { last_poll_at: this.#lastPollAt }),
      ...(this.#verifiedAt !== undefined && { verified_at: this.#verifiedAt }),
      ...(this.#delivered && { events_delivered: this.#delivered }),
      problems: this.warnings(),
    };
  }
}
