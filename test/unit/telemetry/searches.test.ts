import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/telemetry.ts';

test('a search is counted by what it was for, and its candidates by what came of them', async () => {
  const { registry, searched } = createMetrics();
  searched({
    id: 'd-1',
    found: 'resource',
    looked_at: 10,
    results: 6,
    undecided: 1,
    latency_us: 1500,
    trace_id: undefined,
    span_id: undefined,
  });
  const text = await registry.metrics();
  expect(text).toContain('pdp_searches_total{found="resource"} 1');
  expect(text).toContain('pdp_search_candidates_total{found="resource",outcome="result"} 6');
  expect(text).toContain('pdp_search_candidates_total{found="resource",outcome="no_result"} 3');
  expect(text).toContain('pdp_search_candidates_total{found="resource",outcome="undecided"} 1');
  expect(text).toContain('pdp_search_duration_seconds_count{found="resource"} 1');
});
