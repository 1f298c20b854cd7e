import { existsSync } from 'node:fs';
import { SYSTEM_CLOCK } from './core.ts';
import type { Config } from '../config.ts';
import { type LogIdentity, prepareIdentity } from '../audit/seal/log-identity.ts';
import { type LogSealer, createLogSealer } from '../audit/seal/log-sealer.ts';
import type { SealSettings } from '../audit/seal/seal-messages.ts';
import type { Log } from '../pdp/log.ts';

/** Which key vouches for the decision log. */
export function logIdentityOf({ audit }: Config): LogIdentity {
  // Beside the folder, not in it: who copies the log does not copy the key.
  const { identity_file: identityFile = `${audit.dir}-identity.pem` } = audit.keys;
  return { dir: audit.dir, origin: audit.log, identityFile };
}

/**
 * What seals the decision log, not started yet. To be disposed of after the log's writer. Makes the identity key of a log that never had one;
 * throws `InputError` where the key cannot be used.
 */
export function createSealer(config: Config, logger: Log): LogSealer {
  const identity = logIdentityOf(config);
  prepareIdentity(identity);
  if (!existsSync(identity.identityFile))
    logger.warn(
      { file: identity.identityFile },
      'the identity key of the decision log is not there: nothing is signed any more once the present epoch is over, until it is put back',
    );
  return createLogSealer({ settings: sealSettingsOf(config), clock: SYSTEM_CLOCK, logger });
}

function sealSettingsOf(config: Config): SealSettings {
  const { audit } = config;
  return {
    ...logIdentityOf(config),
    epochMs: audit.keys.epoch_hours * 3_600_000,
    checkpointMs: audit.checkpoint_ms,
    compress: audit.compress,
    retention: { days: audit.retention.days, maxBytes: audit.retention.max_bytes },
    sinks: audit.sinks.map(({ name }) => name),
  };
}
