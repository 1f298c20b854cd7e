import type { Logger } from 'pino';
import { SYSTEM_CLOCK } from './core.ts';
import type { Config } from '../config.ts';
import type { Observer } from '../pdp/ports.ts';
import { createRefusedEvidenceLog } from '../refused-evidence-log.ts';
import { type Tracing, startTracing } from '../telemetry.ts';

/** Starts traces, where they are configured; `stack` ends them. */
export async function openTracing(
  { otlp_url: otlpUrl, service_name: serviceName }: Config['telemetry'],
  stack: AsyncDisposableStack,
): Promise<Tracing | undefined> {
  const tracing = await startTracing({ otlpUrl, serviceName });
  return tracing && stack.use(tracing);
}

/** Tells `others` of each check, and operators what evidence was refused; each check, where the log is at that level. */
export function observerOf(others: readonly Observer[], log: Logger, stack: AsyncDisposableStack): Observer {
  const refusals = stack.use(createRefusedEvidenceLog({ clock: SYSTEM_CLOCK, log }));
  const observers = [...others, refusals];
  return {
    turnedAway(trace) {
      for (const other of observers) other.turnedAway?.(trace);
    },
    checked(trace) {
      for (const other of observers) other.checked(trace);
      const { id, decision, stage } = trace;
      if (!log.isLevelEnabled('debug')) return;
      log.debug(
        {
          decision_id: id,
          decision: decision.verdict,
          reason: decision.reason,
          stage,
          policies: decision.policies,
        },
        'check',
      );
    },
  };
}
