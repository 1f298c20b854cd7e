/** A value as parsed JSON, or what is wrong with it. */
export type RedisValue = { readonly json: unknown } | { readonly problem: string };

/** Reads the value at a key; `undefined` where there is none. Rejects with the client's error. */
export type Reader = (key: string) => Promise<RedisValue | undefined>;

/** The two commands needed of a Redis client. */
export interface RedisCommands {
  getrangeBuffer(key: string, start: number, end: number): Promise<Buffer>;
  hgetall(key: string): Promise<Record<string, string>>;
}

const MAX_BYTES = 65_536;

/**
 * Reads JSON out of strings and hashes, at most 64 KiB. The shape that was found last is tried first, so that a source whose values
 * are of one shape costs one round trip.
 */
export function createReader(redis: RedisCommands): Reader {
  const readers: [Reader, Reader] = [(key) => readString(redis, key), (key) => readHash(redis, key)];
  return async (key) => {
    const [likely, other] = readers;
    try {
      return await likely(key);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('WRONGTYPE')) throw error;
      const value = await other(key);
      readers.splice(0, 2, other, likely);
      return value;
    }
  };
}

async function readString(redis: RedisCommands, key: string): Promise<RedisValue | undefined> {
  // One byte more than allowed: enough to know that it is too long without fetching all of it.
  const bytes = await redis.getrangeBuffer(key, 0, MAX_BYTES);
  if (bytes.length === 0) return undefined;
  if (bytes.length > MAX_BYTES) return { problem: `is longer than ${MAX_BYTES} bytes` };
  try {
    return { json: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown };
  } catch {
    return { problem: 'is not JSON' };
  }
}

async function readHash(redis: RedisCommands, key: string): Promise<RedisValue | undefined> {
  const fields = Object.entries(await redis.hgetall(key));
  if (fields.length === 0) return undefined;
  const size = fields.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (size > MAX_BYTES) return { problem: `is longer than ${MAX_BYTES} bytes` };
  return { json: Object.fromEntries(fields.map(([name, value]) => [name, fieldValue(value)])) };
}

function fieldValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
