import type { Readiness, Rollout } from '../../api/ops/ops.ts';
import type { RevocationAdmin } from '../../api/ops/revocations.ts';
import type { RevocationRouteSource } from '../revocation-admin.ts';
import { PdpError, messageOf } from '../../pdp/errors.ts';
import type { AnswerTo } from './asking.ts';
import type { ProcessControl, Question } from './control.ts';
import {
  type WorkerReadiness,
  mergedEventStreams,
  mergedReadiness,
  mergedRevocations,
  mergedShadow,
} from './merged.ts';
import { NOT_READY, type ReportedMetric, WorkerCounts, mergedMetrics } from './merged-metrics.ts';
import { type Change, type Slots, digestFor, inForce, slotsIn, slotsText } from './policy-slots-of.ts';
import type { WorkerSlot } from './worker-slot.ts';

/** How long a look at a worker may take, in ms. */
const LOOK_MS = 2000;
/** How long a change in a worker may take, in ms; it waits for the decision log, and for Redis. */
const CHANGE_MS = 15_000;

/** A worker, as far as it is asked. */
export type AskedWorker = Pick<WorkerSlot, 'number' | 'pid' | 'ask'>;

type Outcome<Q extends Question> =
  | { readonly worker: AskedWorker; readonly value: AnswerTo<Q> }
  | { readonly worker: AskedWorker; readonly problem: string };

/** All workers as if they were one process: what the ops surface of the primary asks. */
export class Fleet implements RevocationRouteSource {
  readonly #workers: readonly AskedWorker[];
  readonly #counts = new WorkerCounts();
  #changing: Promise<unknown> = Promise.resolve();

  constructor(workers: readonly AskedWorker[]) {
    this.#workers = workers;
  }

  /** A worker ended: what it had counted is not lost. */
  lost(worker: number): void {
    this.#counts.end(worker);
  }

  async readiness(own: {
    readonly problems: readonly string[];
    readonly warnings: readonly string[];
  }): Promise<Readiness> {
    const outcomes = await this.#askAll('readiness', []);
    const workers = outcomes.map((outcome): WorkerReadiness => ({
      worker: outcome.worker.number,
      pid: outcome.worker.pid,
      readiness: 'problem' in outcome ? { problem: outcome.problem } : outcome.value,
    }));
    return mergedReadiness(workers, own);
  }

  /** The metrics of all workers and `own`, those of the primary, as one set. */
  async metrics(own: readonly ReportedMetric[]): Promise<{ contentType: string; body: string }> {
    const answered = await Promise.all(this.#workers.map((worker) => this.#showCounts(worker)));
    const unready = answered.includes(false) ? NOT_READY : [];
    return await mergedMetrics([own, unready, ...this.#counts.all()]);
  }

  /** Takes note at once: a worker may end while others are waited for, and must be counted once. */
  async #showCounts(worker: AskedWorker): Promise<boolean> {
    try {
      this.#counts.show(worker.number, await worker.ask('metrics', [], LOOK_MS));
      return true;
    } catch {
      return false;
    }
  }

  /** Policy rollout on all workers: all of them change, or none does. */
  get rollout(): Rollout {
    return {
      policies: () => this.#first('policies', []),
      shadow: async () => {
        const reports = answersOf(await this.#askAll('shadow', []));
        return mergedShadow(reports.flatMap(([, report]) => (report ? [report] : [])));
      },
      promote: (digest) => this.#changeAll('promote', 'rollback', digest),
      rollback: (digest) => this.#changeAll('rollback', 'promote', digest),
    };
  }

  /** One worker writes a change to the shared state, and all of them read it there. */
  readonly admin: RevocationAdmin = {
    list: async (limit, after) => {
      const pages = answersOf(await this.#askAll('listRevocations', [limit, after]));
      if (pages.length === 0) throw nobody();
      return mergedRevocations(pages.map(([, page]) => page));
    },
    change: (change, by) => this.#first('changeRevocation', [change, by], CHANGE_MS),
  };

  async isShutOff(...given: Parameters<ProcessControl['isShutOff']>): Promise<boolean> {
    return await this.#first('isShutOff', given);
  }

  async eventStreams(): Promise<object> {
    return mergedEventStreams(answersOf(await this.#askAll('eventStreams', [])));
  }

  async #askAll<Q extends Question>(
    question: Q,
    given: Parameters<ProcessControl[Q]>,
  ): Promise<readonly Outcome<Q>[]> {
    return await Promise.all(
      this.#workers.map(async (worker): Promise<Outcome<Q>> => {
        try {
          return { worker, value: await worker.ask(question, given, LOOK_MS) };
        } catch (error) {
          return { worker, problem: messageOf(error) };
        }
      }),
    );
  }

  /** The answer of the first worker that runs. One that began may have done what was asked, so nobody else is asked then. */
  async #first<Q extends Question>(
    question: Q,
    given: Parameters<ProcessControl[Q]>,
    withinMs = LOOK_MS,
  ): Promise<AnswerTo<Q>> {
    const outcomes = await this.#askAll('readiness', []);
    const found = outcomes.find((outcome) => 'value' in outcome && outcome.value.ready);
    const any = found ?? outcomes.find((outcome) => 'value' in outcome);
    if (!any) throw nobody();
    return await any.worker.ask(question, given, withinMs);
  }

  #changeAll(change: Change, undo: Change, digest: string | undefined): Promise<object> {
    const changed = this.#changing.then(() => this.#changeEach(change, undo, digest));
    // One after the other: two changes at once could leave workers with different policies.
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #changeEach(change: Change, undo: Change, digest: string | undefined): Promise<object> {
    const common = await this.#allAgree(change);
    const agreed = digest ?? digestFor(change, common);
    const asked: AskedWorker[] = [];
    const activations: object[] = [];
    for (const worker of this.#workers) {
      asked.unshift(worker);
      try {
        activations.push(await worker.ask(change, [agreed], CHANGE_MS));
      } catch (error) {
        await this.#undo(undo, inForce(common), asked, error);
        throw error;
      }
    }
    return activations[0] ?? {};
  }

  /**
   * Puts back in force what was in all that were `asked`, the one that failed first: it may have changed and not been able to say so. Whoever
   * has not changed refuses to put back what it never put out of force.
   */
  async #undo(
    undo: Change,
    before: string | undefined,
    asked: readonly AskedWorker[],
    error: unknown,
  ): Promise<void> {
    const left: number[] = [];
    // One after the other: they remember what is in force in one file.
    for (const [index, one] of asked.entries()) {
      // What does not answer now does as it is told when it turns to it.
      await one.ask(undo, [before], index === 0 ? LOOK_MS : CHANGE_MS).catch(() => undefined);
      if (await this.#hasOther(one, before, index > 0)) left.push(one.number);
    }
    if (left.length === 0) return;
    const words = `worker ${asked[0]?.number} did not change (${messageOf(error)}), and it could not be undone in worker ${left.join(', ')}: they have different policies in force`;
    throw new PdpError('policies_unavailable', words, { cause: error });
  }

  /** Whether a worker has something else in force than it had; `silence`: what it means that it does not answer. */
  async #hasOther(worker: AskedWorker, before: string | undefined, silence: boolean): Promise<boolean> {
    try {
      return inForce(slotsIn(await worker.ask('policies', [], LOOK_MS))) !== before;
    } catch {
      return silence;
    }
  }

  /** What all workers have. Throws where one does not run, or has other policies than the rest: then a change would not be one change. */
  async #allAgree(change: Change): Promise<Slots> {
    const outcomes = await this.#askAll('policies', []);
    for (const outcome of outcomes)
      if ('problem' in outcome)
        throw new PdpError(
          'policies_unavailable',
          `nothing was changed: worker ${outcome.worker.number}: ${outcome.problem}`,
        );
    const all = answersOf(outcomes).map(([, policies]) => slotsIn(policies));
    const [first] = all;
    const seen = new Set(all.map((slots) => slotsText(slots, change)));
    if (seen.size > 1 || !first)
      throw new PdpError(
        'policies_unavailable',
        'nothing was changed: the workers have not loaded the same policies yet; try again in a moment',
      );
    return first;
  }
}

function answersOf<Q extends Question>(outcomes: readonly Outcome<Q>[]): readonly [number, AnswerTo<Q>][] {
  return outcomes.flatMap((outcome): [number, AnswerTo<Q>][] =>
    'problem' in outcome ? [] : [[outcome.worker.number, outcome.value]],
  );
}

function nobody(): PdpError {
  return new PdpError('state_unavailable', 'no worker runs now');
}
