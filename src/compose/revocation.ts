import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import type { SharedState } from '../pdp/shared-state.ts';
import { SharedRevocations } from '../pip/revocation/revocations.ts';
import { openShutOffFile } from '../pip/revocation/shut-off-file.ts';
import type { SubjectReader } from './subject-reader.ts';

/** What revocation works with. */
export interface RevocationParts {
  readonly shared: SharedState;
  readonly clock: Clock;
  readonly log: Log;
  /** Reads the subjects of `revocation.file`. */
  readonly readSubject: SubjectReader;
  /** Told of each effect that comes into force here, with the ms since it happened. */
  readonly onRevoked?: (lagMs: number) => void;
}

/** Follows the revocations of the shared state, and of a file where one is configured; `stack` stops that. Throws `InputError` for a bad file. */
export async function openRevocations(
  config: Config['revocation'],
  { shared, clock, log, readSubject, onRevoked }: RevocationParts,
  stack: AsyncDisposableStack,
): Promise<SharedRevocations> {
  const revocations = stack.use(
    new SharedRevocations({
      shared,
      clock,
      log,
      keepMs: config.keep_s * 1000,
      eventsMaxAgeMs: config.events_max_age_s * 1000,
      maxLagMs: config.max_lag_ms,
      denyAfterMs: config.on_lost === 'deny' ? config.deny_after_ms : undefined,
      ...(onRevoked && { onTaken: onRevoked }),
    }),
  );
  const { file } = config;
  if (file !== undefined)
    stack.use(
      await openShutOffFile({ file, log, readSubject, onRules: (rules) => revocations.setLocal(rules) }),
    );
  return revocations;
}
