import { abortable } from '../../pdp/abortable.ts';
import type { AttributeSubject } from '../../pdp/attribute.ts';
import { PdpError } from '../../pdp/errors.ts';
import { externalJsonProblem } from '../../pdp/external-json.ts';
import { type RedisConnection, connectRedis, redisProblem } from '../redis/connection.ts';
import type { ReadFacts } from './fact-reading.ts';
import type { FactSource, FetchedFacts } from './fact-source.ts';
import { type RedisValue, createReader } from './redis-value.ts';
import { WrongAnswerError } from './source-guard.ts';
import { readSubjectFacts } from './subject-facts.ts';

/** Settings of {@link openRedisSource}. */
export interface RedisSourceOptions extends RedisConnection {
  /** What stands before the subject id in keys. */
  readonly keyPrefix: string;
  readonly subject: AttributeSubject;
  readonly gives: readonly string[];
  /** Reads values that are not of the usual shape, such as a vendor's payload. */
  readonly read?: ReadFacts;
}

/**
 * Opens a source of facts in Redis. The value at `<keyPrefix><subject id>` is a string that holds a JSON object, or a hash whose
 * fields are its members (each JSON where it parses as such, else a plain string); its shape is that of the static file's entries. No value,
 * or an empty one, is `absent`. A Redis that is down does not fail the start, is reconnected to with backoff, and until then
 * every question fails at once: commands are never queued. `fetch` rejects with `PdpError` `attribute_unavailable` for a Redis that is
 * down, and with `WrongAnswerError` for a value that is too big or not right. Throws `InputError` for settings that are not right.
 */
export async function openRedisSource(options: RedisSourceOptions): Promise<FactSource> {
  const { name, subject, gives, keyPrefix } = options;
  const redis = await connectRedis(options);
  const read = createReader(redis);
  return {
    name,
    subject,
    gives,
    async fetch(subjectId, signal) {
      if (redis.status !== 'ready') throw unavailable('Redis is not connected');
      const value = await abortable(read(`${keyPrefix}${subjectId}`), signal).catch((error: unknown) => {
        signal.throwIfAborted();
        const problem = redisProblem(error);
        // Neither a string nor a hash: that is what this key holds, and says nothing of the others.
        throw problem.startsWith('WRONGTYPE') ? new WrongAnswerError(problem) : unavailable(problem);
      });
      return factsOf(value, options.read ?? usualReader(gives));
    },
    [Symbol.asyncDispose]: async () => redis.disconnect(),
  };
}

function factsOf(value: RedisValue | undefined, read: ReadFacts): FetchedFacts {
  if (value === undefined) return { status: 'absent', attributes: {}, groups: [] };
  const facts = 'problem' in value ? value : read(value.json);
  if ('problem' in facts) throw new WrongAnswerError(`the value ${facts.problem}`);
  return facts;
}

function usualReader(gives: readonly string[]): ReadFacts {
  return (json) => {
    const problem = externalJsonProblem(json);
    if (problem !== undefined) return { problem };
    const facts = readSubjectFacts(json, gives);
    return 'problem' in facts ? facts : { status: 'found', ...facts };
  };
}

function unavailable(problem: string): PdpError {
  return new PdpError('attribute_unavailable', problem);
}
