/** What ends a verb before it is through. */
export interface Stop extends Disposable {
  readonly signal: AbortSignal;
}

/** Stops a verb in good order on SIGINT and SIGTERM, and where nobody reads its output any more (`| head`): what it has read is still recorded. */
export function stopOnInterrupt(): Stop {
  const controller = new AbortController();
  const stop = () => controller.abort();
  for (const name of SIGNALS) process.once(name, stop);
  process.stdout.on('error', stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, stop);
      // A stream that nobody reads tells it of every write: the listener stays where it was needed.
      if (!controller.signal.aborted) process.stdout.off('error', stop);
    },
  };
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
