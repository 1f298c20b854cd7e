import { abortable } from '../../pdp/abortable.ts';
import { type RedisConnection, connectRedis } from '../redis/connection.ts';
import type { Remembered, ReplayStore } from './replay-store.ts';

/** Settings of {@link openRedisReplayStore}. */
export interface RedisReplayStoreOptions extends Omit<RedisConnection, 'name'> {
  readonly keyPrefix: string;
  /** Ms for which a key is remembered. */
  readonly windowMs: number;
  /** Keys of one owner remembered in one window. */
  readonly maxPerOwner: number;
  /** Ms within which an answer must be here. */
  readonly commandTimeoutMs: number;
}

/** In one step, since replicas ask at the same time: which of two wins is new, and neither goes beyond the share of an owner. */
const REMEMBER = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 'used' end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[2]) then return 'crowded' end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
if redis.call('INCR', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
return 'new'`;

const ANSWERS: readonly unknown[] = ['new', 'used', 'crowded'] satisfies readonly Remembered[];

/**
 * Opens a store that all replicas share: `<prefix>{<owner>}<key>` for what was used and `<prefix>{<owner>}` for how much of it is an owner's, in
 * windows one after the other, each set and asked by one script; the braces put both in one slot of a cluster. A Redis that is down or slow rejects at once; it must not evict keys
 * before their time (`maxmemory-policy noeviction`). Throws `InputError` for a bad URL or password file.
 */
export async function openRedisReplayStore(
  options: RedisReplayStoreOptions,
): Promise<ReplayStore & AsyncDisposable> {
  const { keyPrefix, windowMs, maxPerOwner, commandTimeoutMs } = options;
  const redis = await connectRedis({ ...options, name: 'tokens.dpop.replay' });
  return {
    async remember(key, owner) {
      if (redis.status !== 'ready') throw new Error('Redis is not connected');
      const share = `${keyPrefix}{${owner}}`;
      const keys = [`${share}${key}`, share];
      const asked = redis.eval(REMEMBER, keys.length, ...keys, windowMs, maxPerOwner);
      const answer = await abortable(asked, AbortSignal.timeout(commandTimeoutMs));
      if (!isRemembered(answer)) throw new Error('Redis answered something else');
      return answer;
    },
    [Symbol.asyncDispose]: async () => redis.disconnect(),
  };
}

function isRemembered(answer: unknown): answer is Remembered {
  return ANSWERS.includes(answer);
}
