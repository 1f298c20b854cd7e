import { InputError, messageOf } from '../../pdp/errors.ts';
import { answerTo } from './asking.ts';
import type { ProcessControl } from './control.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** The place of a worker in the process that keeps it. */
export interface WorkerSeat {
  /** From 1. */
  readonly number: number;
  /** Where the ops surface is, which the primary serves. */
  readonly opsAddress: string;
  /** Has what is asked over the ops surface answered from now on. */
  serve(control: ProcessControl): void;
}

/** What a worker does while it serves. */
export interface RunningWorker {
  readonly started: Omit<Extract<FromWorker, { readonly type: 'started' }>, 'type'>;
  reload(): void;
  stop(): Promise<void>;
}

type Start = Extract<ToWorker, { readonly type: 'start' }>;

/**
 * Runs as a worker: starts when the primary says so, answers what it asks, and drains when it says so, or on SIGTERM or SIGINT. Where the
 * primary is gone the process ends at once, for nothing could reach it any more. `run` starts what is served.
 */
export async function runAsWorker(
  run: (start: Start, seat: WorkerSeat, signal: AbortSignal) => Promise<RunningWorker>,
): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const start = Promise.withResolvers<Start>();
  const abandoned = new AbortController();
  const state: { control?: ProcessControl } = {};
  const running = Promise.withResolvers<RunningWorker>();
  // What was read at the start may be older than the change that this is about.
  const reload = () => void running.promise.then((worker) => worker.reload());
  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') start.resolve(message);
    else if (message.type === 'stop') stop.resolve();
    else if (message.type === 'reload') reload();
    else void answer(state.control, message);
  });
  // A signal to the whole group of processes reaches workers too.
  for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => stop.resolve());
  process.on('SIGHUP', reload);
  void stop.promise.then(() => abandoned.abort());
  try {
    const said = await Promise.race([start.promise, stop.promise]);
    if (!said) return;
    const { number, opsAddress } = said;
    const seat = { number, opsAddress, serve: (control: ProcessControl) => void (state.control = control) };
    const worker = await run(said, seat, abandoned.signal);
    running.resolve(worker);
    tell({ type: 'started', ...worker.started });
    await stop.promise;
    await worker.stop();
  } catch (error) {
    if (!abandoned.signal.aborted) await fail(error);
  } finally {
    // The end of the channel ends the process.
    process.disconnect();
  }
}

async function answer(
  control: ProcessControl | undefined,
  asked: Extract<ToWorker, { type: 'ask' }>,
): Promise<void> {
  if (control) return tell(await answerTo(control, asked));
  tell({ type: 'refusal', id: asked.id, error: { message: 'it is starting', reason: 'state_unavailable' } });
}

function tell(message: FromWorker): void {
  process.send?.(message, undefined, undefined, () => undefined);
}

/** Resolves when the primary has been told, or cannot be. */
async function fail(error: unknown): Promise<void> {
  const message: FromWorker = {
    type: 'failed',
    message: messageOf(error),
    input: error instanceof InputError,
  };
  await new Promise<void>((resolve) => {
    if (!process.send) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}
