import type { RedisServerConfig } from '../config/redis.ts';
import type { RedisServer } from '../pip/redis/server.ts';

/** Where a Redis is, of a configuration that the schema has taken. */
export function redisServerOf(config: RedisServerConfig): RedisServer {
  const { url, sentinel, cluster, username } = config;
  const files = {
    passwordFile: config.password_file,
    caFile: config.ca_file,
    certFile: config.cert_file,
    keyFile: config.key_file,
  };
  return {
    ...(url !== undefined && { url }),
    ...(sentinel && { sentinel: sentinelOf(sentinel) }),
    ...(cluster && { cluster }),
    ...(username !== undefined && { username }),
    ...(Object.fromEntries(Object.entries(files).filter(([, file]) => file !== undefined)) as Pick<
      RedisServer,
      keyof typeof files
    >),
  };
}

function sentinelOf({
  urls,
  master,
  password_file: passwordFile,
}: NonNullable<RedisServerConfig['sentinel']>): NonNullable<RedisServer['sentinel']> {
  return { urls, master, ...(passwordFile !== undefined && { passwordFile }) };
}
