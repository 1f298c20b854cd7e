import { z } from 'zod';
import { file } from './parts.ts';
import { checkRedis, redisServer } from './redis.ts';

const common = {
  timeout_ms: z.int().min(1).max(60_000).default(1_000).meta({
    description:
      'How long a change may take to be safe before whoever makes it is told that it may not be. In ms.',
  }),
  max_entries: z.int().min(1).max(5_000_000).default(100_000).meta({
    description:
      'Entries held at once: revocations, grants and the like. More are refused; none is ever pushed out. The last tenth is for what takes access away.',
  }),
};

const InRedis = z
  .strictObject({
    kind: z
      .literal('redis')
      .meta({ description: 'In a Redis that all replicas share, and in the memory of each.' }),
    ...redisServer,
    key_prefix: z.string().min(1).default('{pdp:state}:').meta({
      description: 'Prefix of the keys; in a cluster, with a part in braces that keeps them together.',
    }),
    durability: z.enum(['written', 'synced']).default('written').meta({
      description:
        'What a change waits for: that Redis has it, or that it is on the medium of Redis (WAITAOF, Redis 7.2 with `appendonly yes`).',
    }),
    heartbeat_ms: z.int().min(20).max(10_000).default(500).meta({
      description:
        'How often a connection proves that nothing was missed; silence counts after twice that. In ms.',
    }),
    ...common,
  })
  .superRefine(checkRedis)
  .superRefine(({ cluster, key_prefix: prefix }, context) => {
    if (cluster === undefined || /\{[^}]+\}/.test(prefix)) return;
    const message =
      'needs a part in braces, such as {pdp:state}:, to keep the keys in one slot of the cluster';
    context.addIssue({ code: 'custom', path: ['key_prefix'], message });
  });

/** `shared_state`. */
export const SharedState = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('embedded').meta({ description: 'In this process: for one replica only.' }),
    journal: file('File in which it survives a restart. Absent: it does not.').optional(),
    ...common,
  }),
  InRedis,
]);
