import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import {
  mergedEventStreams,
  mergedReadiness,
  mergedRevocations,
  mergedShadow,
} from '../../../../src/compose/workers/merged.ts';
import {
  type ReportedMetric,
  WorkerCounts,
  mergedMetrics,
} from '../../../../src/compose/workers/merged-metrics.ts';
import { RestartPause } from '../../../../src/compose/workers/restart-pause.ts';

const OWN = { problems: [], warnings: [] };
const READY = { ready: true, problems: [], details: { snapshot: 'sha256:a' } };

test('ready is who has all workers ready, and each problem says of which worker it is', () => {
  const workers = [
    { worker: 1, pid: 11, readiness: READY },
    { worker: 2, pid: 12, readiness: { ...READY, problems: ['no keys'], warnings: ['old'] } },
    { worker: 3, pid: undefined, readiness: { problem: 'it does not run' } },
  ];
  expect(mergedReadiness(workers, OWN)).toEqual({
    ready: false,
    problems: ['worker 2: no keys', 'worker 3: it does not run'],
    warnings: ['worker 2: old'],
    details: { snapshot: 'sha256:a', workers: 3, worker_1_pid: 11, worker_2_pid: 12 },
  });
  expect(mergedReadiness(workers.slice(0, 1), OWN).ready).toBe(true);
  expect(mergedReadiness(workers.slice(0, 1), { ...OWN, problems: ['shutting down'] }).ready).toBe(false);
});

test('workers with different policies in force are told of', () => {
  const other = { ...READY, details: { snapshot: 'sha256:b' } };
  const merged = mergedReadiness(
    [
      { worker: 1, pid: 1, readiness: READY },
      { worker: 2, pid: 2, readiness: other },
    ],
    OWN,
  );
  expect(merged.warnings).toEqual(['the workers have different policies in force']);
});

async function report(checks: number, lag: number, ready: number): Promise<readonly ReportedMetric[]> {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: 'pdp_checks_total', help: 'h', labelNames: ['decision'], registers }).inc(
    { decision: 'ALLOW' },
    checks,
  );
  new Gauge({ name: 'pdp_shared_state_lag_seconds', help: 'h', registers }).set(lag);
  new Gauge({ name: 'pdp_ready', help: 'h', registers }).set(ready);
  new Gauge({ name: 'pdp_checks_in_flight', help: 'h', registers }).set(checks);
  const times = new Histogram({ name: 'pdp_check_duration_seconds', help: 'h', buckets: [1], registers });
  for (let n = 0; n < checks; n++) times.observe(0.5);
  return (await registry.getMetricsAsJSON()) as unknown as readonly ReportedMetric[];
}

test('counters, histograms and amounts are added up; of readiness and lag the worst counts', async () => {
  const { body } = await mergedMetrics([await report(2, 1, 1), await report(3, 5, 0)]);
  expect(body).toMatch(/^pdp_checks_total\{decision="ALLOW"\} 5$/m);
  expect(body).toMatch(/^pdp_checks_in_flight 5$/m);
  expect(body).toMatch(/^pdp_shared_state_lag_seconds 5$/m);
  expect(body).toMatch(/^pdp_ready 0$/m);
  expect(body).toMatch(/^pdp_check_duration_seconds_count 5$/m);
});

test('what a worker had counted stays when it ends, once, however many end, and its amounts do not', async () => {
  const counts = new WorkerCounts();
  for (const checks of [2, 3, 4]) {
    counts.show(1, await report(checks, 0, 1));
    counts.end(1);
  }
  counts.end(1);
  counts.show(1, await report(10, 0, 1));
  const { body } = await mergedMetrics(counts.all());
  expect(body).toMatch(/^pdp_checks_total\{decision="ALLOW"\} 19$/m);
  expect(body).toMatch(/^pdp_check_duration_seconds_count 19$/m);
  expect(body).toMatch(/^pdp_check_duration_seconds_bucket\{le="1"\} 19$/m);
  expect(body).toMatch(/^pdp_checks_in_flight 10$/m);
});

const NONE = { unchanged: 0, reclassified: 0, would_gain: 0, would_lose: 0, failed: 0 };
const ROW = {
  outcome: 'would_lose' as const,
  principal: 'p',
  action: 'a',
  resource_type: 'r',
  policies: [],
  was: 'ALLOW',
  would_be: 'DENY',
};

test('shadow evaluation is that of all workers, of one pair of snapshots', () => {
  const base = { candidate: 'c', active: 'a', skipped: 1, truncated: false };
  const one = {
    ...base,
    since: '2026-01-02T00:00:00Z',
    compared: 3,
    outcomes: { ...NONE, would_lose: 2, unchanged: 1 },
    rows: [{ ...ROW, count: 2, example: 'x' }],
  };
  const two = {
    ...base,
    since: '2026-01-01T00:00:00Z',
    compared: 2,
    outcomes: { ...NONE, would_lose: 1, unchanged: 1 },
    rows: [{ ...ROW, count: 1, example: 'y' }],
  };
  const stale = { ...one, active: 'another', compared: 1000 };
  expect(mergedShadow([one, two, stale])).toEqual({
    ...base,
    skipped: 2,
    since: '2026-01-01T00:00:00Z',
    compared: 5,
    outcomes: { ...NONE, would_lose: 3, unchanged: 2 },
    rows: [{ ...ROW, count: 3, example: 'y' }],
  });
  expect(mergedShadow([])).toBeUndefined();
});

test('of a revocation all workers tell together what they have refused', () => {
  const rule = { effect: 'shut_off', subjects: [{ kind: 'user', id: 'u' }], at: 't', source: 'admin' };
  const other = { ...rule, at: 'later' };
  const merged = mergedRevocations([
    {
      in_force: 2,
      revocations: [
        { ...rule, refused: 1 },
        { ...other, refused: 0 },
      ],
    },
    { in_force: 1, revocations: [{ ...rule, refused: 2, last_refused: '2026-01-01' }] },
  ]);
  expect(merged).toEqual({
    in_force: 2,
    revocations: [
      { ...rule, refused: 3, last_refused: '2026-01-01' },
      { ...other, refused: 0 },
    ],
  });
});

test('of a stream of events the problems of all workers are told', () => {
  const stream = { name: 'idp', status: 'enabled' };
  const merged = mergedEventStreams([
    [1, [{ ...stream, problems: [] }]],
    [2, [{ ...stream, problems: ['silent'] }]],
  ]);
  expect(merged).toEqual([{ ...stream, problems: ['worker 2: silent'] }]);
});

test('a worker that keeps ending is started ever later, up to ten seconds, and at once again after it served', () => {
  const pause = new RestartPause();
  const pauses = Array.from({ length: 9 }, () => pause.next(0));
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(pause.next(29_999)).toBe(10_000);
  expect(pause.next(30_000)).toBe(100);
});
