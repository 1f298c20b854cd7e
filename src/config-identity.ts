import { z } from 'zod';
import { fetchUrlProblem } from './pdp/fetch-url.ts';
import { ALGORITHMS } from './pip/issuer.ts';
import { file, ms, name } from './config-parts.ts';

const CLAIM_TYPES = ['string', 'long', 'bool', 'string_set'] as const;

/** `tokens`. */
export const Tokens = z.strictObject({
  cache_max_bytes: z
    .int()
    .min(0)
    .default(32 * 1024 * 1024)
    .meta({
      description: 'Bound on the cache of verified tokens, in bytes; 0 verifies every token every time.',
    }),
  cache_max_age_ms: ms(
    60_000,
    'Ceiling on the time a token is taken for verified; expiry and key changes end it earlier.',
  ),
});

const Claims = z.strictObject({
  groups: z.string().optional().meta({ description: 'Claim with the groups of the user.' }),
  device_id: z.string().optional().meta({ description: 'Claim with the id of the device of the user.' }),
  session_id: z.string().default('sid').meta({ description: 'Claim with the session id.' }),
  attributes: z
    .record(z.string(), z.strictObject({ claim: z.string(), type: z.enum(CLAIM_TYPES) }))
    .default({})
    .meta({
      description:
        'Attributes of `context.token` by name: which claim, and of which type. Nothing unmapped reaches policies.',
    }),
});

/** One of `issuers`. */
export const Issuer = z.strictObject({
  name: name.meta({ description: 'Short name; the first part of user ids.' }),
  issuer: z.string().min(1).meta({ description: 'Exact value of the `iss` claim.' }),
  use: z.enum(['user', 'device']).default('user').meta({ description: 'What its tokens prove.' }),
  audiences: z
    .array(z.string().min(1))
    .min(1, 'name at least one audience: a token for anybody is a token for nobody')
    .meta({ description: 'Values of `aud` that mean this service.' }),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1, 'name at least one algorithm')
    .meta({ description: 'Accepted signature algorithms.' }),
  types: z
    .array(z.string())
    .default(['at+jwt', 'JWT'])
    .meta({ description: "Accepted `typ` values; '' accepts tokens without one." }),
  skew_s: z.int().min(0).max(60).default(30).meta({ description: 'Seconds by which clocks may differ.' }),
  jwks: z
    .union([
      z.strictObject({ file: file('Key set file (JWKS).') }),
      z.strictObject({
        url: z
          .string()
          .refine(
            (url) => fetchUrlProblem(url) === undefined,
            'must be an https URL (http on loopback only) without credentials',
          )
          .meta({ description: 'Key set URL; https, except on loopback.' }),
      }),
    ])
    .meta({ description: 'Where its keys are.' }),
  refresh_ms: z
    .int()
    .min(1000)
    .default(300_000)
    .meta({ description: 'How often keys from a URL are fetched. In ms.' }),
  stale_ceiling_ms: ms(3_600_000, 'How long keys serve on while they cannot be fetched.'),
  claims: Claims.prefault({}),
});

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
    url: z
      .string()
      .regex(
        /^rediss?:\/\/[^@/?#]+(?:[/?#]|$)/,
        'must be redis:// or rediss:// with no user and no password (use password_file)',
      )
      .meta({ description: 'Redis URL, without password.' }),
    password_file: file('File with the password.').optional(),
    key_prefix: z.string().min(1).meta({ description: 'Prefix of the keys.' }),
    command_timeout_ms: z.int().min(1).default(20).meta({ description: 'Limit on one command. In ms.' }),
    cache_entries: z
      .int()
      .min(0)
      .default(100_000)
      .meta({ description: 'Answers kept in memory while fresh; 0 keeps none.' }),
  }),
]);
