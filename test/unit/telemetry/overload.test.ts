import { expect, test } from 'vitest';
import { type Deny, denyFor, refuse } from '../../../src/pdp/decision.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';
import { createMetrics } from '../../../src/telemetry.ts';
import { registerOverload } from '../../../src/telemetry/overload.ts';

const OVERLOADED = denyFor(refuse('overloaded'));

function turnedAway(surface: DecisionTrace['surface'], decision: Deny = OVERLOADED): DecisionTrace {
  const envelope = { id: 'd-1', surface, pep: { address: 'a' }, receivedAt: 0, startedAt: 0 };
  return { ...envelope, decision, turnedAway: true, stage: 'decode', timings: {}, latencyUs: 1 };
}

test('checks that were turned away are counted as checks, each once, by surface and reason', async () => {
  const metrics = createMetrics();
  for (let n = 0; n < 3; n++) metrics.turnedAway(turnedAway('ext_authz'));
  metrics.turnedAway(turnedAway('check'));
  metrics.turnedAway(turnedAway('check', denyFor(refuse('audit_unavailable'))));
  const labels = (surface: string, reason: string) =>
    `pdp_checks_total{surface="${surface}",decision="DENY",reason="${reason}",enforced="true",cached="false"}`;
  await metrics.registry.metrics();
  metrics.turnedAway(turnedAway('ext_authz'));
  const text = await metrics.registry.metrics();
  expect(text).toContain(`${labels('ext_authz', 'overloaded')} 4\n`);
  expect(text).toContain(`${labels('check', 'overloaded')} 1\n`);
  expect(text).toContain(`${labels('check', 'audit_unavailable')} 1\n`);
});

test('calls shed by surface, whether some are being shed and how long calls waited are told', async () => {
  const { registry } = createMetrics();
  const shed = new Map([['ext_authz', 7]]);
  registerOverload({ shed: () => shed, shedding: () => true, waitedMs: () => 12.5 }, [registry]);
  await registry.metrics();
  shed.set('authzen', 1);
  const text = await registry.metrics();
  expect(text).toContain('pdp_calls_shed_total{surface="ext_authz"} 7\n');
  expect(text).toContain('pdp_calls_shed_total{surface="authzen"} 1\n');
  expect(text).toContain('pdp_shedding 1\n');
  expect(text).toContain('pdp_call_wait_seconds 0.0125\n');
});
