import { Counter, Gauge, type Registry } from 'prom-client';

/** How it stands with the sealing of the decision log. */
export interface SealingFigures {
  /** Records that are sealed. */
  readonly size: number;
  /** Whether the last attempt to publish a checkpoint succeeded. */
  readonly sealing: boolean;
  /** How often its thread had to be started again. */
  readonly restarts: number;
  /** How far it is behind: records, and ms since the newest checkpoint. */
  lag(): { readonly records: number; readonly ms: number };
}

/** Registers what is measured of the sealing of the decision log, read at scrape time. */
export function watchSealing(sealer: SealingFigures, registers: Registry[]): void {
  const add = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  add('pdp_audit_sealed_records', 'Records of the decision log that a checkpoint covers.', () => sealer.size);
  add(
    'pdp_audit_unsealed_records',
    'Records of the decision log that no checkpoint covers yet.',
    () => sealer.lag().records,
  );
  add(
    'pdp_audit_checkpoint_age_seconds',
    'Since the newest checkpoint of the decision log; before the first one, since the start.',
    () => sealer.lag().ms / 1000,
  );
  add('pdp_audit_sealing', '1 while checkpoints of the decision log are published.', () =>
    Number(sealer.sealing),
  );
  const restarts: Counter = new Counter({
    name: 'pdp_audit_sealer_restarts_total',
    help: 'Starts of the thread that seals the decision log after it failed.',
    registers,
    collect() {
      restarts.reset();
      restarts.inc(sealer.restarts);
    },
  });
}
