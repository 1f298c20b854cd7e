import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import {
  type InformationPoint,
  questionTimes,
  registerInformationPoints,
  registerThreatLists,
} from '../../../src/telemetry/information-points.ts';

test('lookups and breakers are read when metrics are', async () => {
  const registry = new Registry();
  let points: readonly InformationPoint[] = [
    { name: 'posture', breaker: 'open', lookups: { fresh: 7, stale: 0, rejected: 2 } },
    { name: 'directory', breaker: 'closed', lookups: { fresh: 1 } },
  ];
  registerInformationPoints(() => points, [registry]);
  const text = await registry.metrics();
  expect(text).toContain('pdp_information_point_lookups_total{source="posture",outcome="fresh"} 7');
  expect(text).toContain('pdp_information_point_lookups_total{source="posture",outcome="rejected"} 2');
  expect(text).toContain('pdp_information_point_lookups_total{source="directory",outcome="fresh"} 1');
  expect(text).toContain('pdp_information_point_breaker_state{source="posture"} 2');
  expect(text).toContain('pdp_information_point_breaker_state{source="directory"} 0');
  points = [{ name: 'posture', breaker: 'half_open', lookups: { fresh: 8 } }];
  const later = await registry.metrics();
  expect(later).toContain('pdp_information_point_lookups_total{source="posture",outcome="fresh"} 8');
  expect(later).toContain('pdp_information_point_breaker_state{source="posture"} 1');
});

test('the time of each question is in seconds, by source', async () => {
  const registry = new Registry();
  const asked = questionTimes([registry]);
  asked('posture', 1.5);
  asked('posture', 500);
  const text = await registry.metrics();
  expect(text).toContain('pdp_information_point_fetch_duration_seconds_count{source="posture"} 2');
  expect(text).toContain('pdp_information_point_fetch_duration_seconds_sum{source="posture"} 0.5015');
  expect(text).toContain(
    'pdp_information_point_fetch_duration_seconds_bucket{le="0.002",source="posture"} 1',
  );
});

test('when threat lists were last confirmed is in seconds, by source and list', async () => {
  const registry = new Registry();
  let confirmedAt = 0;
  registerThreatLists(() => [{ source: 'intel', list: 'tor', confirmedAt }], [registry]);
  const line = 'pdp_threat_list_confirmed_timestamp_seconds{source="intel",list="tor"}';
  expect(await registry.metrics()).toContain(`${line} 0\n`);
  confirmedAt = 1_790_000_000_500;
  expect(await registry.metrics()).toContain(`${line} 1790000000.5\n`);
});
