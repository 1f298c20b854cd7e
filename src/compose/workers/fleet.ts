import type { Readiness, Rollout } from '../../api/ops/ops.ts';
import type { RevocationAdmin } from '../../api/ops/revocations.ts';
import type { RevocationRouteSource } from '../revocation-admin.ts';
import { PdpError, messageOf } from '../../pdp/errors.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { AnswerTo } from './asking.ts';
import type { ProcessControl, Question } from './control.ts';
import {
  type WorkerReadiness,
  mergedEventStreams,
  mergedReadiness,
  mergedRevocations,
  mergedShadow,
} from './merged.ts';
import { EndedCounts, type ReportedMetric, mergedMetrics } from './merged-metrics.ts';
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
  readonly #ended = new EndedCounts();
  #changing: Promise<unknown> = Promise.resolve();

  constructor(workers: readonly AskedWorker[]) {
    this.#workers = workers;
  }

  /** A worker ended: what it had counted is not lost. */
  lost(worker: number): void {
    this.#ended.end(worker);
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
    const reports = answersOf(await this.#askAll('metrics', []));
    for (const [worker, report] of reports) this.#ended.show(worker, report);
    const answered = new Set(reports.map(([worker]) => worker));
    return await mergedMetrics([own, ...reports.map(([, report]) => report), ...this.#ended.rest(answered)]);
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

  #changeAll(change: 'promote' | 'rollback', undo: 'promote' | 'rollback', digest: string | undefined) {
    const changed = this.#changing.then(() => this.#changeEach(change, undo, digest));
    // One after the other: two changes at once could leave workers with different policies.
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #changeEach(
    change: 'promote' | 'rollback',
    undo: 'promote' | 'rollback',
    digest: string | undefined,
  ) {
    const common = await this.#allAgree();
    const agreed = digest ?? digestFor(change, common);
    const done: { readonly worker: AskedWorker; readonly activation: object }[] = [];
    for (const worker of this.#workers) {
      try {
        const activation = await worker.ask(change, [agreed], CHANGE_MS);
        done.push({ worker, activation });
      } catch (error) {
        await this.#undo(
          undo,
          done.map((one) => one.worker),
          { worker, error },
        );
        throw error;
      }
    }
    return done[0]?.activation ?? {};
  }

  async #undo(
    undo: 'promote' | 'rollback',
    done: readonly AskedWorker[],
    { worker, error }: { readonly worker: AskedWorker; readonly error: unknown },
  ): Promise<void> {
    const changed: number[] = [];
    // One after the other: they remember what is in force in one file.
    for (const one of done)
      await one.ask(undo, [undefined], CHANGE_MS).catch(() => void changed.push(one.number));
    if (changed.length === 0) return;
    const words = `worker ${worker.number} did not change (${messageOf(error)}), and it could not be undone in worker ${changed.join(', ')}: they have different policies in force`;
    throw new PdpError('policies_unavailable', words, { cause: error });
  }

  /** What all workers have. Throws where one does not run, or has other policies than the rest: then a change would not be one change. */
  async #allAgree(): Promise<object> {
    const outcomes = await this.#askAll('policies', []);
    for (const outcome of outcomes)
      if ('problem' in outcome)
        throw new PdpError(
          'policies_unavailable',
          `nothing was changed: worker ${outcome.worker.number}: ${outcome.problem}`,
        );
    const all = answersOf(outcomes).map(([, policies]) => policies);
    const seen = new Set(all.map(fingerprint));
    if (seen.size > 1)
      throw new PdpError(
        'policies_unavailable',
        'nothing was changed: the workers have not loaded the same policies yet; try again in a moment',
      );
    return all[0] ?? {};
  }
}

/** What a change without a digest means, so that it means the same to each worker, whatever it loads meanwhile. */
function digestFor(change: 'promote' | 'rollback', policies: object): string | undefined {
  const { rollback_to: back, slots } = policies as Readonly<Record<string, unknown>>;
  if (change === 'rollback') return typeof back === 'string' ? back : undefined;
  const candidates = isRecord(slots) ? Object.values(slots).filter(isRecord) : [];
  const waiting = candidates.find(({ enforced }) => enforced === false)?.['digest'];
  return typeof waiting === 'string' ? waiting : undefined;
}

function answersOf<Q extends Question>(outcomes: readonly Outcome<Q>[]): readonly [number, AnswerTo<Q>][] {
  return outcomes.flatMap((outcome): [number, AnswerTo<Q>][] =>
    'problem' in outcome ? [] : [[outcome.worker.number, outcome.value]],
  );
}

function nobody(): PdpError {
  return new PdpError('state_unavailable', 'no worker runs now');
}

/** Which policies are in which slot; when they were loaded is each worker's own. */
function fingerprint(policies: object): string {
  return JSON.stringify(policies, (key, value: unknown) =>
    key === 'loaded_at' || key === 'age_s' ? undefined : value,
  );
}
