import type { Readiness, Rollout } from '../../api/ops/ops.ts';
import type { RevocationAdmin } from '../../api/ops/revocations.ts';
import type { EventStreams } from '../event-streams.ts';
import type { RevocationRouteSource } from '../revocation-admin.ts';
import type { Metrics } from '../../telemetry.ts';
import type { ReportedMetric } from './merged-metrics.ts';

/** What a process can be asked and told from outside of its decisions; the primary asks its workers for it. */
export interface ProcessControl {
  readiness(): Readiness;
  metrics(): Promise<readonly ReportedMetric[]>;
  policies: Rollout['policies'];
  shadow: Rollout['shadow'];
  promote: Rollout['promote'];
  rollback: Rollout['rollback'];
  listRevocations: RevocationAdmin['list'];
  changeRevocation: RevocationAdmin['change'];
  isShutOff: RevocationRouteSource['isShutOff'];
  eventStreams(): object;
}

/** The names of what a process can be asked. */
export type Question = keyof ProcessControl;

/** What the control is made of. */
export interface ControlParts {
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly rollout: Rollout;
  readonly revocation: RevocationRouteSource;
  readonly events: EventStreams;
}

/** Gathers in one place what the ops surface does, for a process that has none of its own. */
export function createControl(parts: ControlParts): ProcessControl {
  const { readiness, metrics, rollout, revocation, events } = parts;
  return {
    readiness,
    metrics: async () => (await metrics.registry.getMetricsAsJSON()) as unknown as readonly ReportedMetric[],
    policies: () => rollout.policies(),
    shadow: () => rollout.shadow(),
    promote: (digest) => rollout.promote(digest),
    rollback: (digest) => rollout.rollback(digest),
    listRevocations: (limit, after) => revocation.admin.list(limit, after),
    changeRevocation: (change, by) => revocation.admin.change(change, by),
    isShutOff: (workload) => revocation.isShutOff(workload),
    eventStreams: () => events.report(),
  };
}
