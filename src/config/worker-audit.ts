import { join } from 'node:path';
import type { Config } from '../config.ts';

/**
 * The configuration as the decision log of a worker has it: a folder and a name of its own, so that the order and the proofs of each log are those
 * of one writer, under the one identity key of them all.
 */
export function withLogOfWorker(config: Config, worker: number | undefined): Config {
  if (worker === undefined) return config;
  const { audit } = config;
  const name = `worker-${worker}`;
  const identityFile = audit.keys.identity_file ?? `${audit.dir}-identity.pem`;
  return {
    ...config,
    audit: {
      ...audit,
      dir: join(audit.dir, name),
      log: `${audit.log}/${name}`,
      keys: { ...audit.keys, identity_file: identityFile },
    },
  };
}
