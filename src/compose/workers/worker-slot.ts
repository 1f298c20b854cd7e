import cluster, { type Worker } from 'node:cluster';
import type { Config } from '../../config.ts';
import { InputError, PdpError } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type AnswerTo, WorkerQuestions } from './asking.ts';
import type { ProcessControl, Question } from './control.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { watchHandovers } from './handovers.ts';
import { RestartPause } from './restart-pause.ts';

/** What every worker of a process is started with. */
export interface SlotParts {
  readonly config: Config;
  readonly opsAddress: string;
  /** The configuration file, for what is printed. */
  readonly file: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Told when a worker ends that was not asked to. Must not throw. */
  onLost(number: number): void;
}

/** What a worker said when it began to serve. */
export type Started = Extract<FromWorker, { readonly type: 'started' }>;

/** How often a worker is asked whether its event loop turns. */
const LOOK_MS = 1000;
/** A worker that has not turned its event loop for so long is ended and started again: its connections get no answer from it any more. */
const HUNG_MS = 15_000;

/** The place of one worker: its process, and the next one where that ends. */
export class WorkerSlot {
  readonly number: number;
  readonly #parts: SlotParts;
  readonly #pause = new RestartPause();
  #worker: Worker | undefined;
  #asker: WorkerQuestions | undefined;
  #started: PromiseWithResolvers<Started> | undefined;
  #servesSince: number | undefined;
  #restart: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #gone = Promise.resolve();
  #stopping = false;
  #begun = false;

  constructor(number: number, parts: SlotParts) {
    this.number = number;
    this.#parts = parts;
  }

  /** Process id; absent while there is no process. */
  get pid(): number | undefined {
    return this.#worker?.process.pid;
  }

  /** Starts it for the first time. Rejects where it cannot start: then the configuration is wrong, and trying again would not help. */
  async begin(): Promise<Started> {
    const started = await this.#start();
    this.#begun = true;
    return started;
  }

  /** See {@link WorkerQuestions.ask}; rejects at once where it does not serve. */
  async ask<Q extends Question>(
    question: Q,
    given: Parameters<ProcessControl[Q]>,
    withinMs: number,
  ): Promise<AnswerTo<Q>> {
    if (!this.#asker) throw new PdpError('state_unavailable', 'it does not run');
    return await this.#asker.ask(question, given, withinMs);
  }

  /** Has it look for changed policies. */
  reload(): void {
    this.#tell({ type: 'reload' });
  }

  /** Has it drain and end; ends it after `withinMs`. Resolves when it is gone. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    this.#tell({ type: 'stop' });
    const worker = this.#worker;
    const late = setTimeout(() => worker?.process.kill('SIGKILL'), withinMs);
    await this.#gone;
    clearTimeout(late);
  }

  #start(): Promise<Started> {
    const { config, opsAddress, file } = this.#parts;
    const worker = cluster.fork();
    const closeUnderway = watchHandovers(worker.process);
    const asker = new WorkerQuestions((message) => this.#tell(message));
    const started = Promise.withResolvers<Started>();
    // Of a later start nobody waits for the outcome.
    started.promise.catch(() => undefined);
    [this.#worker, this.#asker, this.#started] = [worker, asker, started];
    worker.on('message', (message: FromWorker) => this.#take(message));
    worker.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      worker.once('exit', (code, signal) => {
        closeUnderway();
        this.#ended(signal ?? code);
        resolve();
      });
    });
    this.#tell({ type: 'start', number: this.number, config, opsAddress, file });
    this.#lookSoon(worker);
    return started.promise;
  }

  #take(message: FromWorker): void {
    const { log, clock } = this.#parts;
    if (message.type === 'started') {
      this.#servesSince = clock.monotonic();
      log.info({ worker: this.number, pid: this.pid }, 'a worker serves');
      this.#started?.resolve(message);
    } else if (message.type === 'failed') {
      log.error({ worker: this.number, problem: message.message }, 'a worker cannot start');
      this.#started?.reject(failureOf(message));
    } else this.#asker?.take(message);
  }

  #ended(how: number | string): void {
    const { log, clock } = this.#parts;
    clearTimeout(this.#watch);
    this.#asker?.end();
    const servedMs = this.#servesSince === undefined ? 0 : clock.monotonic() - this.#servesSince;
    [this.#worker, this.#asker, this.#servesSince] = [undefined, undefined, undefined];
    this.#started?.reject(new Error(`worker ${this.number} ended with ${how} before it served`));
    if (this.#stopping) return;
    this.#parts.onLost(this.number);
    if (!this.#begun) return;
    const pauseMs = this.#pause.next(servedMs);
    log.error({ worker: this.number, ended: how, restart_in_ms: pauseMs }, 'a worker ended');
    this.#restart = setTimeout(() => void this.#start().catch(() => undefined), pauseMs);
  }

  #lookSoon(worker: Worker): void {
    this.#watch = setTimeout(() => void this.#look(worker), LOOK_MS).unref();
  }

  /** Only one that serves is ended: to start may take as long as it does. */
  async #look(worker: Worker): Promise<void> {
    const serves = this.#servesSince !== undefined;
    try {
      if (serves) await this.ask('readiness', [], HUNG_MS);
      if (this.#worker === worker) this.#lookSoon(worker);
    } catch {
      if (this.#worker !== worker || this.#stopping) return;
      this.#parts.log.error({ worker: this.number, hung_ms: HUNG_MS }, 'a worker hangs, and is ended');
      worker.process.kill('SIGKILL');
    }
  }

  #tell(message: ToWorker): void {
    // One that is just ending cannot be told anything; what waits for it is told when it has ended.
    if (this.#worker?.isConnected()) this.#worker.send(message, () => undefined);
  }
}

function failureOf({ message, input }: Extract<FromWorker, { readonly type: 'failed' }>): Error {
  return input ? new InputError(message, []) : new Error(message);
}
