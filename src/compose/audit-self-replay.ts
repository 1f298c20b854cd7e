import type { Config } from '../config.ts';
import { httpStatusOf } from '../api/status.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { SelfReplay } from '../audit/replay/self-replay.ts';
import { statusTable } from '../audit/replay/status-table.ts';
import { engineName } from '../pdp/cedar-module.ts';
import type { Log } from '../pdp/log.ts';

/** Begins to replay samples of what is written; `undefined`: it is turned off. */
export function startSelfReplay({ audit }: Config, writer: LogWriter, log: Log): SelfReplay | undefined {
  const { sample, max_per_run: maxPerRun, interval_s: intervalS } = audit.self_replay;
  if (sample === 0) return undefined;
  const settings = {
    dir: audit.dir,
    status: statusTable(httpStatusOf),
    engine: engineName(),
    sample,
    maxPerRun,
    intervalMs: intervalS * 1000,
  };
  return new SelfReplay({ settings, writer, log });
}
