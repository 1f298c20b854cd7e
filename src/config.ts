import { z } from 'zod';
import { Audit } from './config/audit.ts';
import { Authzen } from './config/authzen.ts';
import { Check } from './config/check.ts';
import { Devices } from './config/devices.ts';
import { checkEffects } from './config/effects.ts';
import { EventStream } from './config/event-streams.ts';
import { Grants, checkGrants } from './config/grants.ts';
import { checkHeaders } from './config/headers.ts';
import { Issuer, Tokens } from './config/identity.ts';
import { Pip } from './config/pips.ts';
import { ms } from './config/parts.ts';
import { OnwardIdentity } from './config/onward.ts';
import { Policies } from './config/policies.ts';
import { Revocation, checkRevocation } from './config/revocation.ts';
import { DEMO_ISSUER, LOOPBACK, refuseRepeats } from './config/rules.ts';
import { SharedState } from './config/shared-state.ts';
import { Grpc, Http, Ops, SURFACES, Spiffe, checkSurfaces } from './config/surfaces.ts';
import { Workers, checkWorkers } from './config/workers.ts';
import { Workloads, checkWorkloads } from './config/workloads.ts';

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
  overload: z
    .strictObject({
      target_ms: z.number().min(0).max(1000).default(5).meta({
        description:
          'How long calls may wait before they are begun. Where there are more than can be answered, so many are denied right away (503) that the others wait for no more than three times this. Their latency is then about five times this. 0: none are denied for this. In ms.',
      }),
      interval_ms: ms(
        50,
        'How long the wait must have been too long before the first call is denied for it.',
        1,
      ),
    })
    .prefault({}),
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
  upgrades: z
    .array(
      z.string().regex(/^[a-z0-9!#$%&'*+./^_`|~-]+$/, 'must be a protocol in lower case, such as websocket'),
    )
    .default([])
    .meta({
      description:
        'Protocols that a request may upgrade its connection to, such as `websocket`; any other upgrade and CONNECT are denied (`upgrade_refused`). What is sent after an upgrade is not decided on.',
    }),
  cache: z
    .strictObject({
      max_bytes: z
        .int()
        .min(1024)
        .default(64 * 1024 * 1024)
        .meta({
          description:
            'Bound on the decision cache, in bytes. Recent answers, which are found by the bytes of the question, take as much again.',
        }),
      max_age_ms: ms(60_000, 'Ceiling on the life of a cached decision; 0 turns the cache off.'),
    })
    .prefault({}),
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
    spiffe: Spiffe.optional().meta({
      description: 'Our own SPIFFE identity, for mutual TLS on every surface that is not plaintext.',
    }),
    workers: Workers,
    grpc: Grpc.prefault({}),
    http: Http.prefault({}),
    ops: Ops.prefault({}),
    decision: Decision.prefault({}),
    check: Check.prefault({}),
    authzen: Authzen.optional().meta({
      description:
        'OpenID AuthZEN Authorization API 1.0 on the HTTP surface, for the callers that `check` names. Absent: it is not served.',
    }),
    policies: Policies.prefault({}),
    issuers: z.array(Issuer).default([]).meta({ description: 'Token issuers.' }),
    tokens: Tokens.prefault({}),
    devices: Devices.prefault({}),
    workloads: Workloads.prefault({}),
    onward_identity: OnwardIdentity.optional(),
    pips: z.array(Pip).default([]).meta({ description: 'Policy information points.' }),
    shared_state: SharedState.prefault({ kind: 'embedded' }).meta({
      description: 'What replicas share: revocations, grants and what security events said.',
    }),
    grants: Grants.optional().meta({
      description: 'Just-in-time access: who may have what for a while, and who approves.',
    }),
    revocation: Revocation.prefault({}),
    event_streams: z
      .array(EventStream)
      .default([])
      .meta({ description: 'Streams of security events (Shared Signals) that are received.' }),
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
    for (const surface of SURFACES) {
      if (!config.demo || LOOPBACK.test(config[surface].address)) continue;
      context.addIssue({
        code: 'custom',
        path: [surface, 'address'],
        message: 'must be a loopback address in demo mode',
      });
    }
    checkSurfaces(config, context);
    checkWorkloads(config, context);
    checkHeaders(config, context);
    checkEffects(config, context);
    checkRevocation(config, context);
    checkGrants(config, context);
    checkWorkers(config, context);
    // The demo issuer takes part in the names: two issuers of one name would share their users.
    const taken = config.demo ? [DEMO_ISSUER] : [];
    refuseRepeats(config.issuers, 'issuers', context, taken);
    // The source of grants takes part in the names too.
    refuseRepeats(config.pips, 'pips', context, config.grants ? ['grants'] : []);
    // Effects of administrators are told by that name.
    refuseRepeats(config.event_streams, 'event_streams', context, ['admin', 'file']);
  });

/** A whole, valid configuration; paths are absolute. */
export type Config = z.output<typeof ConfigSchema>;
