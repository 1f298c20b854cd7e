import type { Clock } from './ports.ts';

const LINE_EVERY_MS = 1000;

interface Said<T> {
  at: number;
  unsaid: number;
  last: T;
}

/**
 * For log lines that anybody who reaches us can cause: one line a second for each key, with the number of those that had none. What was
 * left out follows when its second is over, and at the end. Keys come from a closed set: that bounds what is kept.
 */
export class LineLimiter<K extends string, T> implements Disposable {
  readonly #clock: Clock;
  readonly #write: (line: T, unsaid: { readonly more_since_last_line?: number }) => void;
  readonly #said = new Map<K, Said<T>>();
  #timer: NodeJS.Timeout | undefined;

  /** `write` must not throw. */
  constructor(clock: Clock, write: (line: T, unsaid: { readonly more_since_last_line?: number }) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  /** Says a line, or counts it. */
  tell(key: K, line: T): void {
    const now = this.#clock.monotonic();
    const said = this.#said.get(key);
    if (said && now - said.at < LINE_EVERY_MS) {
      said.unsaid += 1;
      said.last = line;
      this.#wait();
      return;
    }
    this.#said.set(key, { at: now, unsaid: 0, last: line });
    this.#write(line, moreOf(said?.unsaid ?? 0));
  }

  /** Says what is still unsaid. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flush(0);
  }

  #wait(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flush(LINE_EVERY_MS);
    }, LINE_EVERY_MS).unref();
  }

  #flush(olderThan: number): void {
    const now = this.#clock.monotonic();
    for (const said of this.#said.values()) {
      if (said.unsaid === 0) continue;
      if (now - said.at < olderThan) {
        this.#wait();
        continue;
      }
      const { unsaid, last } = said;
      Object.assign(said, { at: now, unsaid: 0 });
      this.#write(last, moreOf(unsaid - 1));
    }
  }
}

function moreOf(unsaid: number): { readonly more_since_last_line?: number } {
  return unsaid > 0 ? { more_since_last_line: unsaid } : {};
}
