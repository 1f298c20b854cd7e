import { z } from 'zod';
import { file } from './parts.ts';

const url = z
  .string()
  .regex(
    /^rediss?:\/\/[^@/?#]+(?:[/?#]|$)/,
    'must be redis:// or rediss:// with no user and no password (use username and password_file)',
  );

const urls = z.array(url).min(1).max(32);

/** How to reach a Redis: keys of whatever is kept in one; see {@link checkRedis}. */
export const redisServer = {
  url: url.optional().meta({
    description:
      'One server: redis://host:port/database, or rediss:// for TLS. Give one of url, sentinel and cluster.',
  }),
  sentinel: z
    .strictObject({
      urls: urls.meta({ description: 'Sentinels; with rediss://, TLS to them and to the servers.' }),
      master: z.string().min(1).meta({ description: 'Name of the master that they watch.' }),
      password_file: file('File with the password of the sentinels.').optional(),
    })
    .optional()
    .meta({ description: 'The master that sentinels name.' }),
  cluster: z
    .strictObject({
      urls: urls.meta({ description: 'Some nodes of the cluster; with rediss://, TLS to all.' }),
    })
    .optional()
    .meta({ description: 'A cluster.' }),
  username: z.string().min(1).optional().meta({ description: 'User (ACL); else `default`.' }),
  password_file: file('File with the password; read again for each new connection.').optional(),
  ca_file: file('Authorities of the server (PEM), in place of those that the machine trusts.').optional(),
  cert_file: file('Certificate of ours (PEM) for a server that asks for one.').optional(),
  key_file: file('Its key (PEM).').optional(),
};

/** The keys of {@link redisServer} in a configuration. */
export type RedisServerConfig = z.output<z.ZodObject<typeof redisServer>>;

/** Adds an issue for each way in which a Redis is not named exactly once, or a setting has no effect. */
export function checkRedis(server: RedisServerConfig, context: z.core.$RefinementCtx): void {
  const issue = (path: readonly string[], message: string): void =>
    context.addIssue({ code: 'custom', path: [...path], message });
  const { url: one, sentinel, cluster } = server;
  const lists = [one === undefined ? [] : [one], sentinel?.urls ?? [], cluster?.urls ?? []];
  if (lists.filter((list) => list.length > 0).length !== 1)
    issue(['url'], 'give exactly one of url, sentinel and cluster');
  const schemes = new Set(lists.flat().map((text) => text.split(':', 1)[0]));
  if (schemes.size > 1)
    issue([sentinel ? 'sentinel' : 'cluster', 'urls'], 'are partly redis:// and partly rediss://');
  for (const key of ['ca_file', 'cert_file', 'key_file'] as const)
    if (server[key] !== undefined && !schemes.has('rediss'))
      issue([key], 'has no effect without TLS: use rediss://');
  if ((server.cert_file === undefined) !== (server.key_file === undefined))
    issue(['key_file'], 'goes together with cert_file');
}
