import { openLogWriter } from '../../../src/audit/log/log-writer.ts';
import { SinkThread } from '../../../src/audit/sinks/sink-thread.ts';
import type { SinkSettings } from '../../../src/audit/sinks/sink-settings.ts';

/** What the child is told on its command line, as JSON. */
export interface LogChildOptions {
  readonly dir: string;
  readonly log: string;
  readonly sinks: readonly SinkSettings[];
  /** Ms between bursts of ten records; 0: none are written. */
  readonly everyMs: number;
  readonly drainMs: number;
}

const options = JSON.parse(process.argv[2] ?? '') as LogChildOptions;
const say = (fields: object, message: string) =>
  process.stderr.write(`${JSON.stringify({ ...fields, message })}\n`);
const logger = { info: say, warn: say, error: say };
const sinks = new SinkThread({ ...options, logger });
const writer = await openLogWriter({
  dir: options.dir,
  log: options.log,
  durability: 'written',
  segmentBytes: 64 * 1024,
  plaintext: [],
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  logger,
});
sinks.start(writer.committed);
let count = 0;
const burst = (): void => {
  for (let i = 0; i < 10; i++)
    void writer.appendControl('search', {
      pid: process.pid,
      count: (count += 1),
      text: 'ü'.repeat(count % 200),
    });
};
const timer = options.everyMs > 0 ? setInterval(burst, options.everyMs) : undefined;
process.once('SIGTERM', () => {
  clearInterval(timer);
  void (async () => {
    await writer[Symbol.asyncDispose]();
    await sinks[Symbol.asyncDispose]();
    process.exitCode = 0;
    process.disconnect?.();
  })();
});
process.send?.('ready');
