import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpStatusOf } from '../../../../src/api/status.ts';
import type { CurrentFacts } from '../../../../src/audit/diff/current-facts.ts';
import { type DiffReport, diffLog } from '../../../../src/audit/diff/diff-log.ts';
import type { Diffed } from '../../../../src/audit/diff/diff-record.ts';
import { Judge } from '../../../../src/audit/diff/judge.ts';
import { type DiffFilter, DiffWalk } from '../../../../src/audit/diff/walk.ts';
import { logSegments } from '../../../../src/audit/read/log-folder.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import type { PolicyTexts } from '../../../../src/pdp/policy-source.ts';
import { type DecisionLog, type DecisionLogOptions, openDecisionLog } from '../../../support/decision-log.ts';
import { policyTexts } from '../../../support/snapshot.ts';

/** A recorded log in a folder of its own. */
export interface RecordedLog extends AsyncDisposable {
  readonly dir: string;
  /** What becomes of each decision, in the order of the log. */
  diffs(next: PolicySnapshot, facts?: CurrentFacts, filter?: DiffFilter): Promise<readonly Diffed[]>;
  /** The whole report. */
  report(next: PolicySnapshot, facts?: CurrentFacts, filter?: DiffFilter): Promise<DiffReport>;
}

/** Has questions decided and recorded by the real stages; `run` asks them. */
export async function recordLog(
  options: DecisionLogOptions,
  run: (log: DecisionLog) => Promise<void>,
): Promise<RecordedLog> {
  const dir = await mkdtemp(join(tmpdir(), 'pdp-diff-'));
  {
    await using log = await openDecisionLog(dir, options);
    await run(log);
  }
  return recordedLog(dir);
}

/** A log that was recorded in a folder, which disposing removes. */
export function recordedLog(dir: string): RecordedLog {
  const parts = { httpStatus: httpStatusOf, engine: engineName() };
  return {
    dir,
    async diffs(next, facts, filter) {
      const found: Diffed[] = [];
      const walk = new DiffWalk({ ...parts, memo: 1000 }, new Judge(next, facts), {
        diffed: (diffed) => void found.push(diffed),
        unreadable: (why) => {
          throw new Error(`unreadable: ${why.why}`);
        },
        aside: () => undefined,
      });
      const segments = logSegments(dir);
      for (const at of segments.keys()) await walk.segment(segments, at, filter);
      return found.toSorted((one, other) => one.record.index - other.record.index);
    },
    report: (next, facts, filter) =>
      diffLog(dir, { ...parts, next, ...(facts && { facts }), ...(filter && { filter }) }),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true, maxRetries: 20 }),
  };
}

/** A snapshot of texts that are like the usual ones but for some. */
export function snapshotWith(policies: string, changes: Partial<PolicyTexts> = {}): PolicySnapshot {
  return compileSnapshot({ ...policyTexts(policies), ...changes }, 0).snapshot;
}

/** One line for each: bucket, reason then and now, what is missing. */
export function told(diffs: readonly Diffed[]): readonly string[] {
  return diffs.map(({ bucket, open, differences, error }) =>
    [bucket, open?.why, ...(open?.about ?? []), ...differences, error]
      .filter((word) => word !== undefined)
      .join(' '),
  );
}
