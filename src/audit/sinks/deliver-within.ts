import { DeliveryError, type LogLine, type Sink } from './sink.ts';

/**
 * Delivers, and gives up after `timeoutMs` or when `end` is aborted, whether the sink listens or not. Rejects with a `DeliveryError`, or with
 * what the sink rejects with.
 */
export async function deliverWithin(
  sink: Sink,
  lines: readonly LogLine[],
  timeoutMs: number,
  end: AbortSignal | undefined,
): Promise<void> {
  const abort = new AbortController();
  const gaveUp = Promise.withResolvers<never>();
  const giveUp = () => {
    gaveUp.reject(new DeliveryError('unavailable', `no confirmation within ${timeoutMs} ms`));
    abort.abort();
  };
  const timer = setTimeout(giveUp, timeoutMs);
  end?.addEventListener('abort', giveUp, { once: true });
  if (end?.aborted === true) giveUp();
  try {
    await Promise.race([sink.deliver(lines, abort.signal), gaveUp.promise]);
  } finally {
    clearTimeout(timer);
    end?.removeEventListener('abort', giveUp);
  }
}
