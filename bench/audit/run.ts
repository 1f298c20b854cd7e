// How fast a decision log is verified and replayed, and that all of it is a match: `npm run bench:audit`, or `npm run bench:audit -- 20000` for fewer
// records (then nothing is published).
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { httpStatusOf } from '../../src/api/status.ts';
import { replayLog } from '../../src/audit/replay/replay-log.ts';
import { SegmentReplay } from '../../src/audit/replay/replay-segment.ts';
import { type Tally, count, emptyTally, recordsIn } from '../../src/audit/replay/tally.ts';
import { logSegments } from '../../src/audit/read/log-folder.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { engineName } from '../../src/pdp/cedar-module.ts';
import { describeMachine } from '../load/report.ts';
import { type AuditBench, type ReplayFigures, markdownReport } from './report.ts';
import { writeLog } from './write-log.ts';

const RECORDS = 1_000_000;
const OUT = fileURLToPath(new URL('../', import.meta.url));

/** Replays the log, and fails where not all of it is a match. */
async function measureReplay(dir: string, jobs: number, memo: boolean): Promise<ReplayFigures> {
  const report = await replayLog(dir, { httpStatus: httpStatusOf, engine: engineName(), jobs, memo });
  const how = `replay with ${jobs} threads, memory ${memo ? 'on' : 'off'}`;
  return figures(
    report.tally,
    { jobs: report.jobs, memo, warm: false, seconds: report.durationMs / 1000 },
    how,
  );
}

/** The same on one thread when each question has been evaluated before: what remembered questions cost. */
async function measureWarm(dir: string): Promise<ReplayFigures> {
  let tally = emptyTally();
  const options = { httpStatus: httpStatusOf, engine: engineName(), memo: 500_000 };
  const replay = new SegmentReplay(options, (record, verdict) => count(tally, record, verdict));
  const segments = logSegments(dir);
  const all = async (): Promise<void> => {
    for (const at of segments.keys()) await replay.segment(segments, at);
  };
  await all();
  tally = emptyTally();
  const started = performance.now();
  await all();
  const seconds = (performance.now() - started) / 1000;
  return figures(tally, { jobs: 1, memo: true, warm: true, seconds }, 'replay of known questions');
}

function figures(
  tally: Tally,
  run: Pick<ReplayFigures, 'jobs' | 'memo' | 'warm' | 'seconds'>,
  how: string,
): ReplayFigures {
  if (tally.mismatch + tally.notReplayable > 0 || tally.match === 0)
    throw new Error(`not all is a match: ${JSON.stringify({ ...tally, timeline: undefined })}`);
  const { cedar, memo: remembered, reuse, stage_result: stageResults } = tally.by;
  process.stderr.write(`${how}: ${run.seconds.toFixed(1)} s\n`);
  return { ...run, records: recordsIn(tally), cedar, remembered, reuse, stageResults };
}

async function measureVerify(dir: string): Promise<{ readonly seconds: number; readonly records: number }> {
  const started = performance.now();
  const { integrity, completeness, records } = await verifyLog(dir);
  if (integrity !== 'ok' || completeness !== 'ok')
    throw new Error(`verify says ${integrity}, ${completeness}`);
  const seconds = (performance.now() - started) / 1000;
  process.stderr.write(`verify: ${seconds.toFixed(1)} s\n`);
  return { seconds, records };
}

function bytesIn(dir: string): number {
  const files = readdirSync(dir).filter((name) => name.startsWith('segment-'));
  return files.reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
}

const wanted = Number(process.argv[2] ?? RECORDS);
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-audit-'));
try {
  const [dir, keys] = [join(folder, 'log'), join(folder, 'keys')];
  for (const path of [dir, keys]) mkdirSync(path);
  const written = await writeLog(dir, wanted, keys);
  process.stderr.write(`${written.records} records in ${written.seconds.toFixed(1)} s\n`);
  const bytes = bytesIn(dir);
  const verified = await measureVerify(dir);
  const replays = [
    await measureReplay(dir, 1, false),
    await measureReplay(dir, 1, true),
    await measureWarm(dir),
    await measureReplay(dir, 2, true),
  ];
  const command = ['npm run bench:audit', ...process.argv.slice(2)].join(' ');
  const report: AuditBench = { ...describeMachine(), command, written, bytes, verified, replays };
  const markdown = markdownReport(report);
  process.stdout.write(markdown);
  if (wanted === RECORDS) {
    const path = join(OUT, 'AUDIT.md');
    const style = await resolveConfig(path);
    writeFileSync(path, await format(markdown, { ...style, parser: 'markdown' }));
    const json = await format(JSON.stringify(report), { ...style, parser: 'json' });
    writeFileSync(join(OUT, 'audit.json'), json);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
