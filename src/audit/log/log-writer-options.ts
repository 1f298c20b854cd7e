import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { ControlFields } from '../record/control-record.ts';
import type { ControlPrivacy } from '../privacy/control-privacy.ts';
import type { LogFs } from './log-fs.ts';

/**
 * When an append is done: at once (`async`: a crash of the process may lose the last records), when the bytes are with the
 * kernel (`written`: survives the process), or when they are on the medium (`synced`: survives the machine).
 */
export type Durability = 'async' | 'written' | 'synced';

/** What a log writer needs. */
export interface LogWriterOptions {
  /** Directory of the segments; made when it is not there. */
  readonly dir: string;
  /** Origin name of the log; every record carries it. */
  readonly log: string;
  readonly durability: Durability;
  readonly clock: Clock;
  readonly logger: Log;
  /** Names of the surfaces that take any caller, for the `boot` record. */
  readonly plaintext: readonly string[];
  /** Further members of the `boot` record. */
  readonly about?: ControlFields;
  /** Takes people's names out of control records. Absent: they are in clear. */
  readonly privacy?: ControlPrivacy | undefined;
  /** Size at which a new segment begins, its pack included. Default 256 MiB. */
  readonly segmentBytes?: number;
  /** Age in ms at which a new segment begins. Default one hour. */
  readonly segmentMs?: number;
  /** UTF-16 units of lines that may wait for the disk; more are refused. Default 32 Mi. */
  readonly maxQueue?: number;
  /** Milliseconds after which an unhealthy writer tries by itself, so that a replica without traffic heals too. Default 1000. */
  readonly retryMs?: number;
  readonly fs?: LogFs;
}
