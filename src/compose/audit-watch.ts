import type { Registry } from 'prom-client';
import type { AuditLog } from './audit.ts';
import { watchSealing } from '../telemetry/audit.ts';
import { watchSelfReplay } from '../telemetry/self-replay.ts';
import { createSinkMetrics } from '../telemetry/sinks.ts';

/** Registers what is measured around the decision log: its sealing, its sinks, its self-replay. */
export function watchAuditLog({ sealer, sinks, selfReplay }: AuditLog, registers: Registry[]): void {
  createSinkMetrics(registers, () => sinks.report());
  watchSealing(sealer, registers);
  if (selfReplay) watchSelfReplay(() => selfReplay.figures, registers);
}

/** What operators should know of the decision log. */
export function auditWarnings({ sealer, selfReplay }: AuditLog): readonly string[] {
  return [...sealer.warnings(), ...(selfReplay?.warnings() ?? [])];
}
