import { z } from 'zod';
import { address, file, refusing, spiffePattern, trustDomain } from './parts.ts';
import { LOOPBACK } from './rules.ts';
import { parseSpiffeId } from '../pip/spiffe/spiffe-id.ts';
import { bundleUrlProblem } from '../pip/spiffe/bundle/federation.ts';
import { endpointProblem } from '../pip/spiffe/workload-api/workload-api-endpoint.ts';

const Bundle = z.strictObject({
  trust_domain: trustDomain.meta({ description: 'Trust domain whose peers the CAs vouch for.' }),
  file: file('CA certificates (PEM) or a SPIFFE bundle (JSON); read again when it changes.'),
});

/** A week: whoever can block the endpoint keeps a CA that was withdrawn in trust for so long. */
const MAX_STALE_MS = 7 * 86_400_000;

const Federation = z
  .strictObject({
    trust_domain: trustDomain.meta({ description: 'The foreign trust domain.' }),
    url: z
      .string()
      .superRefine(refusing(bundleUrlProblem))
      .meta({ description: 'Its bundle endpoint (SPIFFE Federation §5.2); https, without credentials.' }),
    profile: z.enum(['https_web', 'https_spiffe']).meta({
      description:
        'How the endpoint proves itself: by the public web PKI, or by an SVID of `endpoint_spiffe_id`.',
    }),
    endpoint_spiffe_id: z
      .string()
      .refine((id) => !('invalid' in parseSpiffeId(id)), 'must be a SPIFFE ID, spiffe://…')
      .optional()
      .meta({ description: 'SPIFFE ID of the endpoint, for `https_spiffe`.' }),
    bundle_file: file(
      '`https_spiffe`: the bundle of the trust domain of the endpoint, for the first connection; PEM or a SPIFFE bundle.',
    ).optional(),
    ca_file: file("`https_web`: CAs of the endpoint, PEM; the runtime's own where not given.").optional(),
    stale_ceiling_ms: z.int().min(30_000).max(MAX_STALE_MS).default(3_600_000).meta({
      description:
        'How long the trust domain is trusted on while its bundle cannot be fetched. A bundle is fetched again within a third of that. In ms.',
    }),
  })
  .superRefine((endpoint, context) => {
    const spiffe = endpoint.profile === 'https_spiffe';
    const issue = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    if (spiffe && endpoint.endpoint_spiffe_id === undefined)
      issue('endpoint_spiffe_id', 'is needed for the profile https_spiffe');
    for (const key of spiffe ? (['ca_file'] as const) : (['endpoint_spiffe_id', 'bundle_file'] as const))
      if (endpoint[key] !== undefined) issue(key, `is not for the profile ${endpoint.profile}`);
  });

/** Keys of `spiffe` that each source needs and takes. */
const KEYS_OF = {
  files: { needed: ['cert_file', 'key_file', 'bundles'], taken: [] },
  workload_api: { needed: [], taken: ['endpoint', 'hint'] },
} as const;

/** `spiffe`. */
export const Spiffe = z
  .strictObject({
    source: z.enum(['files', 'workload_api']).meta({
      description: 'Where our X.509-SVID and the trust bundles come from: files, or the SPIFFE Workload API.',
    }),
    cert_file: file('`files`: our X.509-SVID, PEM, leaf first.').optional(),
    key_file: file('`files`: its private key, PEM.').optional(),
    bundles: z
      .array(Bundle)
      .min(1, 'name at least one trust bundle: without one nobody is trusted')
      .optional()
      .meta({ description: '`files`: trust bundles, one for each trust domain.' }),
    endpoint: z
      .string()
      .superRefine(refusing(endpointProblem))
      .optional()
      .meta({ description: '`workload_api`: its address; SPIFFE_ENDPOINT_SOCKET where not given.' }),
    hint: z.string().min(1).optional().meta({
      description: '`workload_api`: which SVID is ours, where there are several; the first where not given.',
    }),
    federation: z
      .array(Federation)
      .default([])
      .meta({ description: 'Bundle endpoints of foreign trust domains.' }),
    expiry_margin_s: z.int().min(0).optional().meta({
      description:
        'Readiness falls this long before our SVID expires without a new one; a tenth of its life where not given. In s.',
    }),
  })
  .superRefine((spiffe, context) => {
    const { needed, taken } = KEYS_OF[spiffe.source];
    const issue = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    for (const key of needed)
      if (spiffe[key] === undefined) issue([key], `is needed for the source ${spiffe.source}`);
    for (const other of ['cert_file', 'key_file', 'bundles', 'endpoint', 'hint'] as const) {
      const known: readonly string[] = [...needed, ...taken];
      if (spiffe[other] !== undefined && !known.includes(other))
        issue([other], `is not for the source ${spiffe.source}`);
    }
    for (const list of ['bundles', 'federation'] as const) refuseTwice(list, spiffe[list] ?? [], issue);
    refuseShadowed(spiffe.federation, spiffe.bundles ?? [], issue);
  });

type Named = readonly { readonly trust_domain: string }[];
type Issue = (path: PropertyKey[], message: string) => void;

function refuseTwice(list: string, items: Named, issue: Issue): void {
  for (const [index, { trust_domain: name }] of items.entries())
    if (items.findIndex((other) => other.trust_domain === name) !== index)
      issue([list, index, 'trust_domain'], `'${name}' is there already: bundles are not merged`);
}

function refuseShadowed(federation: Named, bundles: Named, issue: Issue): void {
  for (const [index, { trust_domain: name }] of federation.entries())
    if (bundles.some((bundle) => bundle.trust_domain === name))
      issue(
        ['federation', index, 'trust_domain'],
        `'${name}' has a file in spiffe.bundles already: bundles are not merged, so the endpoint would never count`,
      );
}

/** What every surface has; `plaintext` has its own default on each. */
const surface = (fallback: string, what: string, plaintext: string) => ({
  address: address.default(fallback).meta({ description: `Where ${what}; port 0 picks a free one.` }),
  allow: z.array(spiffePattern).default([]).meta({
    description:
      'SPIFFE IDs that may call: exact, below a path (`spiffe://td/path/*`), or of a trust domain (`spiffe://td/*`). Empty: nobody.',
  }),
  plaintext: z.boolean().optional().meta({ description: plaintext }),
  max_connection_age_s: z.int().min(1).max(86_400).default(1800).meta({
    description:
      'Over mutual TLS, callers are asked to connect anew at about this age, or before their certificate expires. In s.',
  }),
});

const LOOPBACK_PLAINTEXT =
  'Listen without TLS and take any caller. Where not given: true on a loopback address, false on any other.';

/** `grpc`. */
export const Grpc = z.strictObject({
  ...surface(
    '127.0.0.1:9191',
    'the gRPC surface listens',
    'Listen without TLS and take any caller. An explicit choice: it is printed at start. Where not given: false.',
  ),
  max_receive_bytes: z
    .int()
    .min(1024)
    .default(1024 * 1024)
    .meta({
      description:
        'Largest CheckRequest decided on, in bytes; larger ones are denied. Keep the `max_request_bytes` of the PEP below it.',
    }),
});

/** `ops`. */
export const Ops = z.strictObject({
  ...surface('127.0.0.1:8282', '/livez, /readyz, /metrics, /policies and /shadow listen', LOOPBACK_PLAINTEXT),
  admin_token_file: file(
    'File with the token, 32 characters or more, that promotes and rolls back policies. Absent: nobody can, over the API.',
  ).optional(),
});

/** `http`. */
export const Http = z.strictObject({
  ...surface(
    '127.0.0.1:8181',
    'the HTTP surface listens, when it has something to serve (`authzen`, `grants`, event streams, the key set of `onward_identity`)',
    LOOPBACK_PLAINTEXT,
  ),
  max_body_bytes: z
    .int()
    .min(1024)
    .default(1024 * 1024)
    .meta({ description: 'Largest request body, in bytes.' }),
});

/** Names of the surfaces. */
export const SURFACES = ['grpc', 'http', 'ops'] as const;

/** A surface, as far as who may call it goes. */
export interface SurfaceConfig {
  readonly address: string;
  readonly allow: readonly string[];
  readonly plaintext?: boolean | undefined;
}

/** Whether a surface is plaintext: by choice, or (never gRPC) because it is on loopback and nothing else was said. */
export function isPlaintext(name: (typeof SURFACES)[number], { plaintext, address }: SurfaceConfig): boolean {
  return plaintext ?? (name !== 'grpc' && LOOPBACK.test(address));
}

/** Adds an issue for each surface that is neither plaintext by choice nor has an identity for mutual TLS. */
export function checkSurfaces(
  config: { readonly [name in (typeof SURFACES)[number]]: SurfaceConfig } & {
    readonly spiffe?: object | undefined;
  },
  context: z.core.$RefinementCtx,
): void {
  for (const name of SURFACES) {
    const plaintext = isPlaintext(name, config[name]);
    if (!plaintext && !config.spiffe) {
      const message = `is needed for mutual TLS on ${name}; or choose \`plaintext: true\` there explicitly`;
      context.addIssue({ code: 'custom', path: ['spiffe'], message });
    }
    if (plaintext && config[name].allow.length > 0) {
      const message = 'has no effect in plaintext; for mutual TLS say `plaintext: false`';
      context.addIssue({ code: 'custom', path: [name, 'allow'], message });
    }
  }
}
