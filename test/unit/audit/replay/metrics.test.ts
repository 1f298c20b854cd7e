import { expect, it } from 'vitest';
import { Registry } from 'prom-client';
import { watchSelfReplay } from '../../../../src/telemetry/self-replay.ts';

it('counts of self-replay are those at the time of the scrape', async () => {
  const registry = new Registry();
  let figures = { match: 0, mismatch: 0, notReplayable: 0, damaged: 0, failed: 0 };
  watchSelfReplay(() => figures, [registry]);
  expect(await registry.metrics()).toContain('pdp_self_replay_records_total{verdict="mismatch"} 0');
  figures = { match: 7, mismatch: 1, notReplayable: 2, damaged: 0, failed: 3 };
  for (let scrape = 0; scrape < 2; scrape++) {
    const text = await registry.metrics();
    expect(text).toContain('pdp_self_replay_records_total{verdict="match"} 7');
    expect(text).toContain('pdp_self_replay_records_total{verdict="mismatch"} 1');
    expect(text).toContain('pdp_self_replay_records_total{verdict="not_replayable"} 2');
    expect(text).toContain('pdp_self_replay_failures_total 3');
  }
});
