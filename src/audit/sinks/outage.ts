import type { Log } from '../../pdp/log.ts';
import { faultText } from './fault-text.ts';

const SAY_AGAIN_MS = 60_000;

/** Says that a sink cannot deliver: at once, once a minute while it lasts, and when it is over. */
export class Outage {
  readonly #sink: string;
  readonly #logger: Log;
  #failures = 0;
  #saidAt = Number.NEGATIVE_INFINITY;
  #said = '';

  constructor(sink: string, logger: Log) {
    this.#sink = sink;
    this.#logger = logger;
  }

  /** One more failure; `serious`: it will not mend itself. Gives how many there were in a row. */
  failed(error: unknown, serious: boolean): number {
    this.#failures += 1;
    const problem = faultText(error);
    const now = performance.now();
    if (problem === this.#said && now - this.#saidAt < SAY_AGAIN_MS) return this.#failures;
    this.#said = problem;
    this.#saidAt = now;
    this.#logger[serious ? 'error' : 'warn'](
      { sink: this.#sink, problem, failures: this.#failures },
      'a sink of the decision log does not deliver; it is tried again, nothing is dropped',
    );
    return this.#failures;
  }

  /** Something was delivered. */
  over(): void {
    if (this.#failures > 0)
      this.#logger.info(
        { sink: this.#sink, failures: this.#failures },
        'a sink of the decision log delivers again',
      );
    this.#failures = 0;
    this.#said = '';
  }
}
