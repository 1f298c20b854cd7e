import { z } from 'zod';
import { name } from './parts.ts';

const pip = {
  name: name.meta({ description: 'Name in records and messages.' }),
  subject: z
    .string()
    .regex(/^[a-z][a-z0-9_-]{0,62}$/, 'must be user, device, workload, ip, or the name that a binding gives')
    .meta({
      description:
        "What its facts are about: `user`, `device`, `workload`, `ip` (the address of the client), or the name in a binding's `resource.pip`.",
    }),
  gives: z
    .array(z.string().min(1))
    .min(1)
    .meta({ description: 'Attributes it may give, `groups` among them; others are dropped.' }),
  fresh_ms: z
    .int()
    .min(1)
    .max(86_400_000)
    .default(30_000)
    .meta({ description: 'How long an answer may be used. In ms.' }),
};

/** What every kind has that holds its facts in this process. */
export const localPip = {
  ...pip,
  on_failure: z.enum(['deny', 'omit']).default('deny').meta({
    description:
      'What an answer that is wrong, or too old (`@max_age`), means: deny, or go on without (never false).',
  }),
  on_failure_by_attribute: z
    .record(z.string(), z.enum(['deny', 'omit']))
    .default({})
    .meta({ description: 'The same for single attributes of `gives`.' }),
};

const ON_FAILURE = ['deny', 'omit', 'last_known'] as const;

/** How much is asked of a point outside of this process. */
export interface QuestionLimits {
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly queue: number;
}

const memory = {
  max_stale_ms: z.int().min(0).max(604_800_000).default(0).meta({
    description:
      'How long after its freshness an answer may still be used for attributes that are `last_known`; 0: never. In ms.',
  }),
  absent_ms: z.int().min(0).default(2000).meta({
    description:
      'How long it is believed that the point does not know a subject; never longer than `fresh_ms`. In ms.',
  }),
  cache_entries: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(100_000)
    .meta({ description: 'Answers kept in memory; the least recently used go first.' }),
  cache_max_bytes: z
    .int()
    .min(65_536)
    .default(64 * 1024 * 1024)
    .meta({ description: 'Bound on the same, in bytes.' }),
};

const questions = ({ timeoutMs, concurrency, queue }: QuestionLimits) => ({
  timeout_ms: z
    .int()
    .min(1)
    .max(60_000)
    .default(timeoutMs)
    .meta({ description: 'Limit on one question; the deadline of the check can only shorten it. In ms.' }),
  concurrency: z.int().min(1).default(concurrency).meta({ description: 'Questions under way at once.' }),
  queue: z
    .int()
    .min(0)
    .default(queue)
    .meta({ description: 'Questions that wait for those; more fail at once.' }),
});

const breaker = z.strictObject({
  failures: z
    .int()
    .min(1)
    .default(5)
    .meta({ description: 'Failures in a row after which the point is not asked for a while.' }),
  pause_ms: z
    .int()
    .min(1)
    .max(3_600_000)
    .default(1000)
    .meta({ description: 'How long it is then left alone; a fifth longer at most. In ms.' }),
});

/** What every kind has that asks outside of this process; `defaults` are those of the kind. */
export const remotePip = (defaults: QuestionLimits) => ({
  ...pip,
  on_failure: z.enum(ON_FAILURE).default('deny').meta({
    description:
      'What its failure means: deny, go on without (never false), or use what was known last, for `max_stale_ms`, and deny after that; and what is too old (`@max_age`): go on without, or else deny.',
  }),
  on_failure_by_attribute: z
    .record(z.string(), z.enum(ON_FAILURE))
    .default({})
    .meta({ description: 'The same for single attributes of `gives`.' }),
  ...memory,
  ...questions(defaults),
  breaker: breaker.prefault({}),
});
