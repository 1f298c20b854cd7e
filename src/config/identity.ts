import { z } from 'zod';
import { canonicalHost } from '../pdp/canonical.ts';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';
import { readOrigin } from '../pip/dpop/dpop-target.ts';
import { ISSUER_PRESETS, type PresetName, presetVariables } from '../pip/token/issuer-presets.ts';
import { ALGORITHMS } from '../pip/token/issuer.ts';
import { file, headerName, ms, name, trustDomain } from './parts.ts';
import { checkRedis, redisServer } from './redis.ts';

const CLAIM_TYPES = ['string', 'long', 'bool', 'string_set'] as const;

const Origin = z
  .string()
  .refine((text) => readOrigin(text) !== undefined, 'must be https://host[:port], without a path');

const maxProofsPerKey = z.int().min(1).default(1000).meta({
  description:
    'Proofs of one key remembered at once; more are refused, of that key only. Divided by max_age_s + 3 × skew_s + 1, it is the rate of one holder: 13 a second.',
});

const Dpop = z.strictObject({
  origins: z
    .record(z.string(), z.union([Origin, z.array(Origin).min(1)]))
    .superRefine((origins, context) => {
      for (const host of Object.keys(origins).filter((key) => canonicalHost(key, '') !== key)) {
        const message = 'must be a host in its one form: lower case, without a trailing dot';
        context.addIssue({ code: 'custom', path: [host], message });
      }
    })
    .default({})
    .meta({
      description:
        'The origins (https://host[:port]) that clients see, by host as this service sees it; forwarded headers are never asked.',
    }),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1, 'name at least one algorithm')
    .default(['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256'])
    .meta({ description: 'Accepted signature algorithms of proofs.' }),
  max_age_s: z.int().min(1).max(300).default(60).meta({ description: 'How old a proof may be. In s.' }),
  skew_s: z.int().min(0).max(60).default(5).meta({ description: 'Seconds by which clocks may differ.' }),
  replay: z
    .discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('memory').meta({ description: 'In this process: for one replica only.' }),
        max_entries: z
          .int()
          .min(1)
          .default(100_000)
          .meta({ description: 'Proofs remembered at once; when full, proofs are refused.' }),
        max_per_key: maxProofsPerKey,
      }),
      z
        .strictObject({
          kind: z.literal('redis').meta({ description: 'In a Redis that all replicas share.' }),
          ...redisServer,
          key_prefix: z.string().min(1).default('pdp:dpop:').meta({ description: 'Prefix of the keys.' }),
          command_timeout_ms: z
            .int()
            .min(1)
            .default(20)
            .meta({ description: 'Limit on one command. In ms.' }),
          max_per_key: maxProofsPerKey,
        })
        .superRefine(checkRedis),
    ])
    .prefault({ kind: 'memory' })
    .meta({ description: 'Where used proofs are remembered, so that none is used twice.' }),
});

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
  dpop: Dpop.prefault({}),
});

const Claims = z.strictObject({
  groups: z.string().optional().meta({ description: 'Claim with the groups of the user.' }),
  device_id: z.string().optional().meta({ description: 'Claim with the id of the device of the user.' }),
  device_issuer: name.optional().meta({
    description:
      "Issuer of the device ids in that claim: the name of an issuer with `use: device`, or that an information point uses. Absent: this issuer's own name.",
  }),
  session_id: z.string().optional().meta({ description: 'Claim with the session id; else `sid`.' }),
  tenant: z.string().optional().meta({
    description: 'Claim with the tenant of the user, by which all of them can be revoked. Absent: none.',
  }),
  email: z.string().optional().meta({
    description: 'Claim with the address by which security events may call the user; else `email`.',
  }),
  client_id: z
    .string()
    .optional()
    .meta({ description: 'Claim with the client that the token was issued to; else `client_id`.' }),
  attributes: z
    .record(z.string(), z.strictObject({ claim: z.string(), type: z.enum(CLAIM_TYPES) }))
    .optional()
    .meta({
      description:
        'Attributes of `context.token` by name: which claim, and of which type. Nothing unmapped reaches policies. Added to those of the preset.',
    }),
});

const Jwks = z.union([
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
  z.strictObject({
    pem_url: z
      .string()
      .refine(
        (url) => url.split('{kid}').length === 2 && fetchUrlProblem(url.replace('{kid}', '0')) === undefined,
        'must be an https URL (http on loopback only) with one {kid}',
      )
      .meta({ description: "URL of a PEM key, '{kid}' in the place of its id." }),
  }),
]);

const Kubernetes = z
  .strictObject({
    trust_domain: trustDomain.meta({
      description: 'Trust domain of the cluster: the first part of the SPIFFE IDs of its workloads.',
    }),
  })
  .meta({
    description:
      '`use: workload`: the issuer is a Kubernetes cluster, whose projected service account tokens prove `spiffe://<trust_domain>/ns/<namespace>/sa/<service account>`.',
  });

/** One of `issuers`. */
export const Issuer = z
  .strictObject({
    name: name.meta({ description: 'Short name; the first part of user ids.' }),
    preset: z
      .enum(Object.keys(ISSUER_PRESETS) as [PresetName, ...PresetName[]])
      .optional()
      .meta({
        description:
          'Known product, whose header, `iss`, keys, algorithms and claims are filled in (docs/tokens.md); every key here goes before it.',
      }),
    variables: z
      .record(z.string(), z.string().regex(/^[!-z|~]+$/, 'must be printable ASCII without spaces and braces'))
      .optional()
      .meta({ description: 'What the preset needs to know: tenant, domain, region and the like.' }),
    issuer: z.string().min(1).optional().meta({ description: 'Exact value of the `iss` claim.' }),
    use: z
      .enum(['user', 'device', 'workload', 'application'])
      .default('user')
      .meta({ description: 'What its tokens prove.' }),
    kubernetes: Kubernetes.optional(),
    header: headerName.optional().meta({
      description:
        'Header of its user tokens; else `authorization`, with Bearer or DPoP. Any other header holds the bare token.',
    }),
    audiences: z
      .array(z.string().min(1))
      .min(1, 'name at least one audience: a token for anybody is a token for nobody')
      .meta({ description: 'Values of `aud` that mean this service.' }),
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1, 'name at least one algorithm')
      .optional()
      .meta({ description: 'Accepted signature algorithms.' }),
    types: z
      .array(z.string())
      .min(1)
      .optional()
      .meta({ description: "Accepted `typ` values; '' accepts tokens without one. Else `at+jwt` alone." }),
    profile: z
      .literal('rfc9068')
      .optional()
      .meta({ description: 'JWT access tokens of RFC 9068: `at+jwt`, with `client_id`, `iat` and `jti`.' }),
    required_claims: z
      .array(z.string().min(1))
      .optional()
      .meta({ description: 'Claims that must be there.' }),
    forbidden_claims: z.array(z.string().min(1)).optional().meta({
      description:
        'Claims that mark a token of another kind. Else those of ID tokens: `nonce`, `at_hash`, `c_hash`.',
    }),
    claim_values: z
      .record(z.string(), z.array(z.string()).min(1))
      .optional()
      .meta({ description: 'Claims that must have one of the listed values.' }),
    binding: z.enum(['none', 'certificate', 'dpop', 'any']).optional().meta({
      description:
        'What its tokens must be bound to by `cnf`, and the sender prove; a token that is bound is checked in any case. Else `none`.',
    }),
    require_low_s: z
      .boolean()
      .default(false)
      .meta({ description: 'Refuse the high-s twin of an ECDSA signature. Off: it is lowered.' }),
    skew_s: z.int().min(0).max(60).default(30).meta({ description: 'Seconds by which clocks may differ.' }),
    max_age_s: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'Longest time since `iat`, whatever `exp` says. In s.' }),
    jwks: Jwks.optional().meta({ description: 'Where its keys are.' }),
    refresh_ms: z
      .int()
      .min(1000)
      .default(300_000)
      .meta({ description: 'How often keys from a URL are fetched. In ms.' }),
    stale_ceiling_ms: ms(3_600_000, 'How long keys serve on while they cannot be fetched.'),
    claims: Claims.prefault({}),
  })
  .superRefine(({ preset, variables = {}, ...given }, context) => {
    const problem = (key: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message });
    if ((given.use === 'workload') !== (given.kubernetes !== undefined))
      problem('kubernetes', 'goes together with `use: workload`');
    if (given.use === 'workload' || given.use === 'application') refuseUserKeys(given, problem);
    const needed = preset === undefined ? [] : presetVariables(preset, given);
    for (const key of needed.filter((variable) => !Object.hasOwn(variables, variable)))
      problem('variables', `the preset needs '${key}'`);
    for (const key of Object.keys(variables).filter((variable) => !needed.includes(variable)))
      problem('variables', `'${key}' is not needed`);
    if (preset !== undefined) return;
    for (const key of ['issuer', 'algorithms', 'jwks'] as const)
      if (given[key] === undefined) problem(key, 'is needed where there is no preset');
  });

/** What is said of users has no effect on workloads and applications. */
function refuseUserKeys(
  given: { use: string; header?: unknown; binding?: unknown; claims: object },
  problem: (key: string, message: string) => void,
): void {
  const { use, header, binding, claims } = given;
  const words = `no effect with \`use: ${use}\``;
  const elsewhere =
    use === 'workload' ? 'see workloads.kubernetes_token.header' : 'their tokens come in authorization';
  if (header !== undefined) problem('header', `has ${words}; ${elsewhere}`);
  if (binding !== undefined) problem('binding', `has ${words}`);
  if (Object.keys(claims).length > 0) problem('claims', `have ${words}: policies are told none of them`);
}
