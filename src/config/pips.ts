import { z } from 'zod';
import { file, name } from './parts.ts';
import { redisServer } from './redis.ts';

const pip = {
  name: name.meta({ description: 'Name in records and messages.' }),
  subject: z
    .string()
    .regex(/^[a-z][a-z0-9_-]{0,62}$/, 'must be user, device, workload, or the name that a binding gives')
    .meta({
      description:
        "What its facts are about: `user`, `device`, `workload`, or the name in a binding's `resource.pip`.",
    }),
  gives: z
    .array(z.string().min(1))
    .min(1)
    .meta({ description: 'Attributes it may give (and `groups`); others are dropped.' }),
  on_failure: z
    .enum(['deny', 'omit'])
    .default('deny')
    .meta({ description: 'What its failure means: deny, or go on without (never false).' }),
  fresh_ms: z.int().min(1).default(30_000).meta({ description: 'How long an answer may be used. In ms.' }),
};

/** One of `pips`. */
export const Pip = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('static_file').meta({ description: 'Facts from a JSON file, re-read when it changes.' }),
    ...pip,
    file: file('JSON object: subject id → attributes.'),
  }),
  z.strictObject({
    kind: z
      .literal('redis')
      .meta({ description: 'Facts from Redis: JSON text or a hash under `<key_prefix><subject id>`.' }),
    ...pip,
    ...redisServer,
    key_prefix: z.string().min(1).meta({ description: 'Prefix of the keys.' }),
    command_timeout_ms: z.int().min(1).default(20).meta({ description: 'Limit on one command. In ms.' }),
    cache_entries: z
      .int()
      .min(0)
      .default(100_000)
      .meta({ description: 'Answers kept in memory while fresh; 0 keeps none.' }),
  }),
]);
