import { abortable } from '../../pdp/abortable.ts';
import type { Log } from '../../pdp/log.ts';
import { connectRedis } from '../facts/redis.ts';
import type { ReplayStore } from './replay-store.ts';

/** Settings of {@link openRedisReplayStore}. */
export interface RedisReplayStoreOptions {
  readonly url: string;
  /** File with the password. */
  readonly passwordFile?: string;
  readonly keyPrefix: string;
  /** Ms for which a key is remembered. */
  readonly windowMs: number;
  /** Ms within which an answer must be here. */
  readonly commandTimeoutMs: number;
  readonly log: Log;
}

/**
 * Opens a store that all replicas share: `SET <prefix><key> 1 PX <window> NX`, which one of two replicas wins. A Redis that is down or
 * slow rejects at once; it must not evict keys before their time (`maxmemory-policy noeviction`). Throws `InputError` for a bad URL or
 * password file.
 */
export async function openRedisReplayStore(
  options: RedisReplayStoreOptions,
): Promise<ReplayStore & AsyncDisposable> {
  const { keyPrefix, windowMs, commandTimeoutMs } = options;
  const redis = await connectRedis({ ...options, name: 'tokens.dpop.replay' });
  return {
    async remember(key) {
      if (redis.status !== 'ready') throw new Error('Redis is not connected');
      const answer = redis.set(`${keyPrefix}${key}`, '1', 'PX', windowMs, 'NX');
      return (await abortable(answer, AbortSignal.timeout(commandTimeoutMs))) === 'OK';
    },
    [Symbol.asyncDispose]: async () => redis.disconnect(),
  };
}
