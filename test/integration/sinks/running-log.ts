import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';
import { segmentsOf } from '../../../src/audit/log/segments.ts';
import type { SinkSettings, SinkTarget } from '../../../src/audit/sinks/sink-settings.ts';
import { eventually } from '../../support/eventually.ts';
import { killProcess } from '../../support/kill-process.ts';
import type { LogChildOptions } from './log-child.ts';

const CHILD = fileURLToPath(new URL('log-child.ts', import.meta.url));

/** Origin name of the logs of these tests. */
export const LOG = 'example.com/pdp/sinks';

/** The subject alternative name 127.0.0.1, encoded (RFC 5280 section 4.2.1.6, iPAddress). */
export const LOOPBACK_NAME = Buffer.from([0x87, 4, 127, 0, 0, 1]);

/** Rules that let tests go on quickly. */
export const QUICK = {
  from: 'start',
  maxRecords: 50,
  maxBytes: 64 * 1024,
  maxWaitMs: 10,
  timeoutMs: 1000,
  retryMinMs: 10,
  retryMaxMs: 100,
} as const;

/** A sink of that name with quick rules. */
export function quickSink(
  name: string,
  target: SinkTarget,
  changes: Partial<SinkSettings> = {},
): SinkSettings {
  return { ...target, ...QUICK, name, ...changes } as SinkSettings;
}

/** A log with sinks in a process of its own that can be killed. */
export class RunningLog {
  readonly dir = mkdtempSync(join(tmpdir(), 'pdp-sinks-'));
  readonly #sinks: readonly SinkSettings[];
  #child: ChildProcess | undefined;
  output = '';

  constructor(...sinks: SinkSettings[]) {
    this.#sinks = sinks;
    onTestFinished(async () => {
      await this.kill();
      rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
    });
  }

  /** Starts it; it then writes a burst of ten records every so many ms (0: none). Its sinks have `drainMs` for the rest when it is stopped. */
  async start(everyMs = 5, drainMs = 10_000): Promise<void> {
    const options: LogChildOptions = { dir: this.dir, log: LOG, sinks: this.#sinks, everyMs, drainMs };
    const child = fork(CHILD, [JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#child = child;
    await once(child, 'message');
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    if (this.#child) await killProcess(this.#child);
  }

  /** Ends it in order; its exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    return child.exitCode;
  }

  /** Whole lines of the log so far; the position is the index. */
  lines(): readonly string[] {
    return segmentsOf(this.dir, readdirSync(this.dir)).flatMap(({ path, compressed }) => {
      const bytes = readFileSync(path);
      return (compressed ? gunzipSync(bytes) : bytes).toString().split('\n').slice(0, -1);
    });
  }

  /** The cursor of a sink; -1: none. */
  cursor(name: string): number {
    try {
      return Number(JSON.parse(readFileSync(join(this.dir, 'cursors', `${name}.json`), 'utf8')).index);
    } catch {
      return -1;
    }
  }

  /** Awaits that the log grows. */
  async written(count: number): Promise<void> {
    const before = this.lines().length;
    await eventually('the log grows', () => (this.lines().length >= before + count ? true : undefined));
  }

  /** Awaits that a sink delivers. */
  async delivered(name: string, count: number): Promise<void> {
    const before = this.cursor(name);
    await eventually(`the sink ${name} delivers`, () =>
      this.cursor(name) >= before + count ? true : undefined,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.output}`, { cause: error });
    });
  }
}
