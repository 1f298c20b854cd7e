import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { policiesText } from '../../../bench/load/policies.ts';
import { otherFigures } from '../../../bench/load/reach-files.ts';
import { SOAK_REQUESTS, reachTable } from '../../../bench/load/reach.ts';
import { surprises } from '../../../bench/load/report.ts';
import { requestMaker } from '../../../bench/load/requests.ts';
import type { Measured, ScenarioResult } from '../../../bench/load/scenario.ts';
import { SCENARIOS, planned } from '../../../bench/load/scenarios.ts';
import { denialsBetween, gauge, readStages, stageBudget } from '../../../bench/load/stages.ts';
import { seeded, zipf } from '../../../bench/load/zipf.ts';

function page(values: Readonly<Record<string, readonly [sum: number, within10us: number, count: number]>>) {
  return Object.entries(values)
    .flatMap(([stage, [sum, low, count]]) => [
      `pdp_stage_duration_seconds_bucket{le="0.00001",stage="${stage}"} ${low}`,
      `pdp_stage_duration_seconds_bucket{le="0.001",stage="${stage}"} ${count}`,
      `pdp_stage_duration_seconds_bucket{le="+Inf",stage="${stage}"} ${count}`,
      `pdp_stage_duration_seconds_sum{stage="${stage}"} ${sum}`,
      `pdp_stage_duration_seconds_count{stage="${stage}"} ${count}`,
    ])
    .join('\n');
}

describe('the stage budget', () => {
  it('is what the histograms grew by, the most costly stage first', () => {
    const before = page({ decode: [1, 5, 10], evaluate: [2, 0, 10] });
    const after = page({ decode: [1.0001, 14, 20], evaluate: [2.003, 0, 20], record: [0, 0, 0] });
    const budget = stageBudget(before, after);
    expect(budget.map(({ stage, calls }) => [stage, calls])).toEqual([
      ['evaluate', 10],
      ['decode', 10],
    ]);
    expect(budget[0]?.mean).toBeCloseTo(300);
    expect(budget[0]?.share).toBeCloseTo(3 / 3.1);
    expect([budget[1]?.p50, budget[1]?.p99].map((us) => Math.round(us ?? 0))).toEqual([10, 1000]);
  });

  it('counts a stage that was not there before from zero', () => {
    expect(stageBudget('', page({ decode: [1e-6, 1, 1] }))).toMatchObject([
      { stage: 'decode', calls: 1, share: 1 },
    ]);
  });

  it('reads nothing out of anything else', () => {
    fc.assert(fc.property(fc.string(), (text) => readStages(text).size === 0));
  });

  it('counts denials by reason, whatever their other labels', () => {
    const line = (surface: string, reason: string, count: number) =>
      `pdp_checks_total{surface="${surface}",decision="DENY",reason="${reason}"} ${count}`;
    const before = [line('a', 'policy', 3), line('a', 'timeout', 2)].join('\n');
    const permitted = 'pdp_checks_total{decision="ALLOW",reason="policy"} 9';
    const after = [line('a', 'policy', 5), line('b', 'policy', 4), line('a', 'timeout', 2), permitted].join(
      '\n',
    );
    expect(denialsBetween(before, after)).toEqual({ policy: 6 });
  });

  it('reads a gauge with and without labels, and not one whose name only begins so', () => {
    const text = 'heap_bytes_total 1\nheap_bytes 5e6\nspace{kind="new"} 7';
    expect([gauge(text, 'heap_bytes'), gauge(text, 'space'), gauge(text, 'none')]).toEqual([5e6, 7, 0]);
  });
});

describe('zipf', () => {
  it('draws the same ranks for the same seed, all of them within bounds', () => {
    const draw = () => {
      const next = zipf(50, 1.1, seeded(3));
      return Array.from({ length: 500 }, next);
    };
    expect(draw()).toEqual(draw());
    expect(draw().every((rank) => Number.isInteger(rank) && rank >= 0 && rank < 50)).toBe(true);
  });

  it('draws a rank as often as its weight says', () => {
    const next = zipf(3, 1, seeded(1));
    const seen = [0, 0, 0];
    for (let n = 0; n < 60_000; n++) {
      const rank = next();
      seen[rank] = (seen[rank] ?? 0) + 1;
    }
    const share = seen.map((count) => count / 60_000);
    [6 / 11, 3 / 11, 2 / 11].forEach((want, rank) => expect(share[rank]).toBeCloseTo(want, 1));
  });

  it('takes the ends of its source', () => {
    expect([zipf(4, 1, () => 0)(), zipf(4, 1, () => 1 - Number.EPSILON)(), zipf(1, 2, () => 0.5)()]).toEqual([
      0, 3, 0,
    ]);
    expect(() => zipf(0, 1, Math.random)).toThrow('at least one rank');
  });
});

describe('the scenarios', () => {
  it('are those that the issue names', () => {
    const wanted = [
      'hot',
      'warm',
      'cold',
      'deny',
      'malformed',
      'policies-10',
      'policies-1000',
      'policies-10000',
    ];
    const modes = ['audit-async', 'audit-written', 'audit-synced', 'mixed', 'mesh', 'evaluated'];
    expect(new Set(SCENARIOS)).toEqual(new Set([...wanted, ...modes]));
    expect(() => planned(['tepid'], requestMaker(), true)).toThrow("no scenario 'tepid'");
  });

  it('give both servers the same requests, each from the first one on', () => {
    const [warm] = planned(['warm'], requestMaker(), true);
    const [noop, pdp] = [warm?.requestsFor('noop'), warm?.requestsFor('pdp')];
    const first = noop?.(0).bytes;
    expect(noop?.(1).bytes).not.toEqual(first);
    expect(pdp?.(0).bytes).toEqual(first);
  });

  it('serve exactly as many policies as they say', () => {
    for (const count of [1, 10, 1000]) {
      const ids = policiesText(count).match(/@id\("[^"]+"\)/g) ?? [];
      expect([ids.length, new Set(ids).size]).toEqual([count, count]);
    }
  });
});

const measured = (throughput: number, us: number, denied = 0): Measured => ({
  throughput,
  throughputs: [throughput],
  cpuUs: 1e6 / throughput,
  curve: [],
  allowed: 5,
  denied,
  failed: 0,
  latency: { p50: us, p90: us, p99: us, p999: us },
  generatorBusy: 0,
});
const result = (name: string, pdp: Measured): ScenarioResult => ({
  name,
  description: '',
  rate: 5,
  othersBusy: 0,
  answerBytes: 2,
  expect: 'allow',
  stages: [],
  denials: { timeout: 7 },
  noop: measured(1000, 100),
  pdp,
});

describe('the table of numbers to reach', () => {
  it('has nothing to say of what was not measured', () => {
    expect(new Set(reachTable({ scenarios: [] }).map(({ verdict }) => verdict))).toEqual(
      new Set(['not measured']),
    );
  });

  it('tells what was reached from what was not', () => {
    const figure = (value: number) => ({ value, commit: 'c' });
    const good = reachTable({
      scenarios: [
        result('hot', measured(750, 130)),
        result('cold', measured(500, 999)),
        result('evaluated', measured(500, 999)),
        result('policies-10', measured(300, 9)),
        result('policies-10000', measured(200, 9)),
      ],
      startMs: { one: 999, all: 999 },
      peers: (_scenario, peer) => figure(peer === 'cerbos' ? 6 : 4),
      overload: figure(3),
      overloadHot: figure(3),
      reload: figure(2),
      reloadOneCore: figure(2),
      replay: figure(5000),
      replayMemoised: figure(50_000),
      memory: { ...figure(1.1), requests: SOAK_REQUESTS },
    });
    expect(good.filter(({ verdict }) => verdict !== 'reached')).toEqual([]);
    const bad = reachTable({
      scenarios: [
        result('hot', measured(740, 1001)),
        result('cold', measured(500, 1000)),
        result('evaluated', measured(500, 1000)),
      ],
      startMs: { one: 1000, all: 1000 },
      peers: (_scenario, peer) => figure(peer === 'cerbos' ? 5.9 : 3.9),
      overload: figure(3.1),
      overloadHot: figure(3.1),
      reload: figure(2.1),
      reloadOneCore: figure(2.1),
      replay: figure(4999),
      replayMemoised: figure(49_999),
      memory: { ...figure(1.2), requests: SOAK_REQUESTS },
    });
    expect(bad.filter(({ verdict }) => verdict !== 'not reached').map(({ what }) => what)).toEqual([
      '10 000 policies against 10, cold',
    ]);
  });

  it('counts no figure as reached whose answers were not the expected ones', () => {
    const rows = reachTable({ scenarios: [result('cold', measured(500, 10, 1))] });
    expect(rows.find(({ what }) => what.startsWith('cold'))).toMatchObject({
      verdict: 'not reached',
      figure: expect.stringContaining('16.7 % of the answers'),
    });
  });

  it('takes no short soak for an answer', () => {
    const memory = { value: 1, commit: 'c', requests: SOAK_REQUESTS - 1 };
    expect(reachTable({ scenarios: [], memory }).find(({ what }) => what.includes('memory'))).toMatchObject({
      verdict: 'not measured',
      figure: expect.stringContaining('too few'),
    });
  });

  it('reads the other benches, and takes damaged files for absent ones', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-figures-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'soak.json'), '{"commit":');
    writeFileSync(join(folder, 'reload.json'), '{"commit":"a","figures":[{"title":"","ratio":1.5}]}');
    writeFileSync(join(folder, 'peers.json'), '{"commit":"b","ratios":{"mesh":{"cerbos":7}}}');
    const figures = otherFigures(folder);
    expect(figures.peers?.('mesh', 'cerbos')).toEqual({ commit: 'b', value: 7, older: true });
    expect(figures.peers?.('user', 'cerbos')).toBeUndefined();
    expect(figures).toMatchObject({
      reload: { commit: 'a', value: 1.5 },
      memory: undefined,
      replay: undefined,
    });
  });
});

describe('figures of other benches', () => {
  const found = (files: Readonly<Record<string, object>>) => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-figures-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const [name, content] of Object.entries(files))
      writeFileSync(join(folder, name), JSON.stringify(content));
    return otherFigures(folder);
  };

  it('count as replayed without memory only what was evaluated', () => {
    const run = { records: 1000, cedar: 100, seconds: 2, jobs: 1, warm: false };
    const replays = [
      { ...run, memo: false },
      { ...run, memo: true, warm: true },
    ];
    expect(found({ 'audit.json': { commit: 'c', replays } })).toMatchObject({
      replay: { value: 50 },
      replayMemoised: { value: 500 },
    });
  });

  it('are none where the run was quick, or a soak had too few samples', () => {
    const figures = [{ scenario: 'warm', ratio: 1 }];
    expect(found({ 'overload.json': { commit: 'c', quick: true, figures } }).overload).toBeUndefined();
    expect(found({ 'overload.json': { commit: 'c', quick: false, figures } }).overload?.value).toBe(1);
    expect(found({ 'soak.json': { commit: 'c', requests: 1e7 } }).memory).toBeUndefined();
  });

  it('say so where other code is served by now', () => {
    const at = (commit: string) => found({ 'reload.json': { commit, figures: [{ ratio: 1 }] } }).reload;
    expect(at('4b825dc642cb6eb9a060e54bf8d69288fbee4904')).toMatchObject({ older: true });
    expect(at('not committed')).toMatchObject({ older: true });
    const row = (older: boolean) =>
      reachTable({ scenarios: [], reload: { value: 1, commit: 'c', older } }).find(({ what }) =>
        what.startsWith('reload'),
      );
    expect(row(true)?.figure).toBe('1.00 × (bench:reload, c, which served other code)');
    expect(row(false)?.figure).toBe('1.00 × (bench:reload, c)');
  });
});

describe('a report', () => {
  it('says so where answers were not the expected ones', () => {
    expect(surprises(result('hot', measured(1, 1)))).toBe('');
    expect(surprises(result('hot', measured(1, 1, 7)))).toContain(
      '7 answers were not the expected ones** (denied, warm-up included: timeout 7)',
    );
  });
});
