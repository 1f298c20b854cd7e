/** A line of the log on its way to a receiver. */
export interface LogLine {
  readonly index: number;
  /** The exact bytes, without line feed. */
  readonly bytes: Buffer;
}

/** A receiver of the decision log. */
export interface Sink {
  /**
   * Sends lines, in order, and resolves once the receiver has confirmed all of them; rejects with a {@link DeliveryError} where it is known
   * why not. Whatever is not confirmed is sent again, so that a receiver may get a line more than once. Gives up when `signal` is aborted.
   */
  deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void>;
  /** Lets go of connections. The next delivery opens new ones and reads certificates and secrets again. */
  close(): Promise<void>;
}

/**
 * Why lines were not delivered: the receiver cannot be had now (`unavailable`), it does not want them as they are or does not know us
 * (`refused`), or they are more than it takes at once (`too_large`).
 */
export type DeliveryFault = 'unavailable' | 'refused' | 'too_large';

/** Lines were not delivered, or it is not known whether they were. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  readonly fault: DeliveryFault;
  /** Ms for which the receiver asked to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(fault: DeliveryFault, message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options);
    this.fault = fault;
    this.retryAfterMs = options.retryAfterMs;
  }
}
