import { Counter, type Registry } from 'prom-client';

/** What self-replay has done since the start. */
export interface ReplayFigures {
  readonly match: number;
  readonly mismatch: number;
  readonly notReplayable: number;
  /** Runs that could not be made. */
  readonly failed: number;
}

/** Registers what is counted of self-replay, read at scrape time. */
export function watchSelfReplay(figures: () => ReplayFigures, registers: Registry[]): void {
  const records: Counter<'verdict'> = new Counter({
    name: 'pdp_self_replay_records_total',
    help: 'Recorded decisions that were made again from the log, by what came of it: match, mismatch, not_replayable.',
    labelNames: ['verdict'],
    registers,
    collect() {
      const { match, mismatch, notReplayable } = figures();
      records.reset();
      records.inc({ verdict: 'match' }, match);
      records.inc({ verdict: 'mismatch' }, mismatch);
      records.inc({ verdict: 'not_replayable' }, notReplayable);
    },
  });
  const failures: Counter = new Counter({
    name: 'pdp_self_replay_failures_total',
    help: 'Runs of self-replay that could not be made.',
    registers,
    collect() {
      failures.reset();
      failures.inc(figures().failed);
    },
  });
}
