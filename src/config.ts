import { z } from 'zod';
import { DEMO_ISSUER, LOOPBACK, refuseRepeats } from './config-rules.ts';

const name = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be lower-case letters, digits, - and _');
const address = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port');
const file = (description: string) => z.string().min(1).meta({ description, format: 'path' });
const ms = (fallback: number, description: string) =>
  z
    .int()
    .min(0)
    .default(fallback)
    .meta({ description: `${description} In ms.` });

const Tls = z.strictObject({
  cert_file: file('Certificate chain of this server, PEM.'),
  key_file: file('Private key of this server, PEM.'),
  ca_file: file('CA certificates that callers must chain to, PEM: those of `trust_domain`.'),
  trust_domain: z
    .string()
    .min(1)
    .meta({ description: 'SPIFFE trust domain of the CA; callers of any other are refused.' }),
  allow: z
    .array(z.string().startsWith('spiffe://', 'must be a SPIFFE ID, spiffe://…'))
    .default([])
    .meta({ description: 'SPIFFE IDs of the callers (PEPs) that may ask. Empty: nobody.' }),
});

const Grpc = z
  .strictObject({
    address: address
      .default('127.0.0.1:9191')
      .meta({ description: 'Where the gRPC surface listens; port 0 picks a free one.' }),
    tls: Tls.optional().meta({ description: 'Mutual TLS. Needed unless `plaintext` is chosen.' }),
    plaintext: z.boolean().default(false).meta({
      description: 'Listen without TLS and take any caller. An explicit choice: it is printed at start.',
    }),
    max_receive_bytes: z
      .int()
      .min(1024)
      .default(4 * 1024 * 1024)
      .meta({ description: 'Largest CheckRequest taken, in bytes.' }),
  })
  .superRefine((grpc, context) => {
    if (grpc.tls && grpc.plaintext)
      context.addIssue({ code: 'custom', path: ['plaintext'], message: 'cannot be true together with tls' });
    if (!grpc.tls && !grpc.plaintext) {
      const message = 'is needed: give certificate, key and CA, or choose `plaintext: true` explicitly';
      context.addIssue({ code: 'custom', path: ['tls'], message });
    }
  });

const Decision = z.strictObject({
  timeout_ms: z
    .int()
    .min(1)
    .max(60_000)
    .default(50)
    .meta({ description: 'Limit on one check; the caller can only shorten it. In ms.' }),
  max_in_flight: z
    .int()
    .min(1)
    .default(2000)
    .meta({ description: 'Checks under way at once; more are denied right away (503).' }),
  realm: z
    .string()
    .regex(/^[ !#-[\]-~]+$/, 'must be printable ASCII without quotes')
    .default('cedar-pdp')
    .meta({
      description: '`realm` of WWW-Authenticate challenges.',
    }),
  faults_as_error: z.boolean().default(false).meta({
    description:
      'Answer faults of ours as error_response, to which Envoy (1.37 on) applies `failure_mode_allow`. Off: they are denies.',
  }),
  cache: z
    .strictObject({
      max_bytes: z
        .int()
        .min(1024)
        .default(64 * 1024 * 1024)
        .meta({ description: 'Bound on the decision cache, in bytes.' }),
      max_age_ms: ms(60_000, 'Ceiling on the life of a cached decision; 0 turns the cache off.'),
    })
    .prefault({}),
});

const Policies = z.strictObject({
  sets: z
    .array(file('A policy set folder.'), { error: 'name at least one policy set folder' })
    .min(1, 'name at least one policy set folder')
    .meta({ description: 'Policy set folders; together they are one snapshot.' }),
  reload_ms: ms(2000, 'How often the folders are looked at for changes; 0 never.'),
});

const CLAIM_TYPES = ['string', 'long', 'bool', 'string_set'] as const;

const Tokens = z.strictObject({
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

const Issuer = z.strictObject({
  name: name.meta({ description: 'Short name; the first part of user ids.' }),
  issuer: z.string().min(1).meta({ description: 'Exact value of the `iss` claim.' }),
  use: z.enum(['user', 'device']).default('user').meta({ description: 'What its tokens prove.' }),
  audiences: z
    .array(z.string().min(1))
    .min(1, 'name at least one audience: a token for anybody is a token for nobody')
    .meta({ description: 'Values of `aud` that mean this service.' }),
  algorithms: z
    .array(
      z.enum([
        'RS256',
        'RS384',
        'RS512',
        'PS256',
        'PS384',
        'PS512',
        'ES256',
        'ES384',
        'ES512',
        'EdDSA',
        'Ed25519',
      ]),
    )
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
        url: z.string().min(1).meta({ description: 'Key set URL; https, except on loopback.' }),
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
  subject: z.enum(['user', 'device', 'workload']).meta({ description: 'What its facts are about.' }),
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

const Pip = z.discriminatedUnion('kind', [
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
      .regex(/^rediss?:\/\//, 'must be redis:// or rediss://')
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

const Audit = z.strictObject({
  dir: file('Folder of the decision log.').default('.pdp/audit'),
  log: z
    .string()
    .min(1)
    .default('cedar-pdp/local')
    .meta({ description: 'Name of the log, in every record.' }),
  durability: z
    .enum(['async', 'written', 'synced'])
    .default('written')
    .meta({ description: 'What an answer waits for: nothing, the write, or the write and fdatasync.' }),
  on_failure: z
    .enum(['deny', 'allow'])
    .default('deny')
    .meta({ description: 'What an answer becomes when its record cannot be written.' }),
  segment_bytes: z
    .int()
    .min(64 * 1024)
    .default(256 * 1024 * 1024)
    .meta({ description: 'Size at which a new log file begins.' }),
});

const Telemetry = z.strictObject({
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .meta({ description: 'Level of the operational log (stderr).' }),
  otlp_url: z.string().optional().meta({
    description: 'OTLP/HTTP traces endpoint, e.g. http://127.0.0.1:4318/v1/traces. Absent: no traces.',
  }),
  service_name: z.string().default('cedar-pdp').meta({ description: 'service.name of traces.' }),
  cluster: z.string().default('').meta({ description: 'Cluster name, in every record.' }),
  region: z.string().default('').meta({ description: 'Region name, in every record.' }),
});

/** The one source of configuration: types, defaults, environment names, `docs/configuration.md` and the JSON Schema. */
export const ConfigSchema = z
  .strictObject({
    demo: z.boolean().default(false).meta({
      description:
        'Demo mode: adds the issuer `demo`, whose tokens `pdp demo token` mints. Only on loopback addresses.',
    }),
    grpc: Grpc.prefault({}),
    ops: z
      .strictObject({
        address: address
          .default('127.0.0.1:8282')
          .meta({ description: 'Where /livez, /readyz and /metrics listen.' }),
      })
      .prefault({}),
    decision: Decision.prefault({}),
    policies: Policies.prefault({} as never),
    issuers: z.array(Issuer).default([]).meta({ description: 'Token issuers.' }),
    tokens: Tokens.prefault({}),
    devices: z
      .strictObject({
        assertion_header: z
          .string()
          .regex(/^[a-z0-9-]+$/)
          .default('x-device-assertion')
          .meta({ description: 'Header with a signed posture assertion.' }),
      })
      .prefault({}),
    pips: z.array(Pip).default([]).meta({ description: 'Policy information points.' }),
    audit: Audit.prefault({}),
    telemetry: Telemetry.prefault({}),
    shutdown: z
      .strictObject({
        lag_ms: ms(
          0,
          'How long checks are still answered after readiness fell on SIGTERM, for load balancers to notice.',
        ),
        grace_ms: ms(5000, 'How long calls under way may take to finish.'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const addresses = { grpc: config.grpc.address, ops: config.ops.address };
    for (const [surface, value] of Object.entries(addresses)) {
      if (!config.demo || LOOPBACK.test(value)) continue;
      context.addIssue({
        code: 'custom',
        path: [surface, 'address'],
        message: 'must be a loopback address in demo mode',
      });
    }
    // The demo issuer takes part in the names: two issuers of one name would share their users.
    const taken = config.demo ? [DEMO_ISSUER] : [];
    refuseRepeats(config.issuers, 'issuers', context, taken);
    refuseRepeats(config.pips, 'pips', context);
  });

/** A whole, valid configuration; paths are absolute. */
export type Config = z.output<typeof ConfigSchema>;
