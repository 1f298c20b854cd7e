import { createGeneratedKeys } from '../api/onward/generated-keys.ts';
import { openKeyFolder } from '../api/onward/key-folder.ts';
import { type OnwardIdentity, createOnwardIdentity } from '../api/onward/onward-identity.ts';
import type { SigningKeys } from '../api/onward/signing-key.ts';
import { ROTATE_S } from '../config/onward.ts';
import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';

/** The signer of onward identities as configured, or none; `stack` stops following its keys. */
export async function openOnwardIdentity(
  config: Config['onward_identity'],
  parts: { readonly clock: Clock; readonly log: Log },
  stack: AsyncDisposableStack,
): Promise<OnwardIdentity | undefined> {
  if (!config) return undefined;
  const { issuer, header, audience, ttl_s: ttlSeconds, user_claims: userClaims } = config;
  const keys = stack.use(await openKeys(config, parts));
  return createOnwardIdentity({ issuer, header, audience, ttlSeconds, userClaims, keys, clock: parts.clock });
}

async function openKeys(
  { algorithm, ttl_s: ttlSeconds, keys }: NonNullable<Config['onward_identity']>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<SigningKeys> {
  const publishAheadMs = keys.publish_ahead_s * 1000;
  if (keys.dir !== undefined)
    return await openKeyFolder({ folder: keys.dir, algorithm, publishAheadMs, clock, log });
  return createGeneratedKeys({
    algorithm,
    now: clock.now(),
    rotateMs: (keys.rotate_s ?? ROTATE_S) * 1000,
    publishAheadMs,
    tokenMs: ttlSeconds * 1000,
  });
}
