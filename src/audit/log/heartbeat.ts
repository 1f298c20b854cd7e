import type { Log } from '../../pdp/log.ts';
import type { LogWriter } from './log-writer.ts';

/**
 * Appends a `heartbeat` record every `everyMs`: a log without one for longer was not running, or lost some. Says how long the run has
 * lasted, and how many records it has lost.
 */
export function startHeartbeat(
  writer: Pick<LogWriter, 'appendControl' | 'lost'>,
  everyMs: number,
  log: Log,
): Disposable {
  const started = performance.now();
  const timer = setInterval(() => {
    const uptime = Math.floor((performance.now() - started) / 1000);
    writer
      .appendControl('heartbeat', { uptime_s: uptime, lost: writer.lost })
      .catch((error: unknown) => log.warn({ err: error }, 'a heartbeat is not in the decision log'));
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
