import { Counter, type Registry } from 'prom-client';

/** Tells the metrics of changes of grants. */
export interface GrantMetrics {
  /** A change that was made here. Scopes are configured, so there are few. */
  grantChanged(change: string, scope: string): void;
}

/** Registers what is counted of grants. Taking one by breaking glass has a counter of its own, to alert on. */
export function grantMetrics(registers: Registry[]): GrantMetrics {
  const changes = new Counter({
    name: 'pdp_grant_changes_total',
    help: 'Changes of just-in-time grants that were made here: requested, broke_glass, approved, denied, revoked.',
    labelNames: ['change', 'scope'],
    registers,
  });
  const breakGlass = new Counter({
    name: 'pdp_break_glass_grants_total',
    help: 'Grants that were taken here in an emergency, without anybody having approved.',
    labelNames: ['scope'],
    registers,
  });
  return {
    grantChanged(change, scope) {
      changes.inc({ change, scope });
      if (change === 'broke_glass') breakGlass.inc({ scope });
    },
  };
}
