import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { AttributeSource, Clock } from '../pdp/ports.ts';
import { cached } from '../pip/facts/cached.ts';
import { openRedisSource } from '../pip/facts/redis.ts';
import { openStaticFile } from '../pip/facts/static-file.ts';

interface SourceParts {
  readonly clock: Clock;
  readonly log: Log;
}

/** Opens one information point; `stack` closes it. Throws `InputError` for what people wrote wrong. */
export async function openSource(
  pip: Config['pips'][number],
  { clock, log }: SourceParts,
  stack: AsyncDisposableStack,
): Promise<AttributeSource> {
  const common = {
    name: pip.name,
    subject: pip.subject,
    gives: pip.gives,
    onFailure: pip.on_failure,
    freshMs: pip.fresh_ms,
    clock,
    log,
  };
  switch (pip.kind) {
    case 'static_file':
      return stack.use(await openStaticFile({ ...common, file: pip.file }));
    case 'redis': {
      const {
        url,
        key_prefix: keyPrefix,
        command_timeout_ms: commandTimeoutMs,
        password_file: passwordFile,
      } = pip;
      const redis = await openRedisSource({
        ...common,
        url,
        keyPrefix,
        commandTimeoutMs,
        ...(passwordFile !== undefined && { passwordFile }),
      });
      const source = stack.use(redis);
      return pip.cache_entries > 0 ? cached(source, { maxEntries: pip.cache_entries, clock }) : source;
    }
  }
}
