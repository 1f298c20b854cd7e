import { z } from 'zod';
import { DENY_REASONS, PERMIT_REASON } from '../pdp/decision.ts';
import { WORKLOAD_EVIDENCE } from '../pdp/identity.ts';

/** A value that a case may leave out, or take away from the defaults with null. */
const given = <T extends z.ZodType>(type: T) => type.nullable().optional();

const instant = z.iso.datetime({ offset: true, error: 'must be an RFC 3339 time' });
const facts = z.record(z.string(), z.unknown());

const deviceId = z.string().regex(/^[^/]+\/./, 'must be the whole name of a device, <issuer name>/<id>');

const UserSchema = z.strictObject({
  issuer: z.string().regex(/^[^/]+$/, "must be an issuer's name, without '/'"),
  subject: z.string().min(1),
  groups: z.array(z.string().min(1)).default([]),
  claims: facts.default({}),
  audiences: z.array(z.string()).default(['pdp']),
  algorithm: z.string().default('ES256'),
  token_id: z.string().optional(),
  session_id: z.string().optional(),
  client_id: z.string().optional(),
  /** Who acts for the user, the current actor first, each as `<issuer name>/<sub>`. */
  actors: z.array(z.string().min(1)).min(1).optional(),
  /** What the sender has proven to hold. */
  bound: z.enum(['certificate', 'dpop']).optional(),
  issued_at: instant.optional(),
  expires_at: instant.optional(),
  device_id: deviceId.optional(),
});

const DeviceSchema = z.strictObject({
  id: deviceId,
  evidence: z.enum(['token_claim', 'assertion', 'bound_assertion']).default('assertion'),
  posture: facts.optional(),
  age_s: z.number().min(0).default(0),
});

const subject = z
  .string()
  .regex(
    /^[a-z][a-z0-9_-]*$/,
    "must be user, device, workload, ip, or the name that a binding's resource.pip gives",
  );

const onFailure = z.enum(['deny', 'omit', 'last_known']);

const FactSchema = z.strictObject({
  source: z.string().min(1),
  subject,
  /** `down`: the source fails to answer; `stale`: it does, and what stands here is what it said last. */
  state: z.enum(['found', 'absent', 'down', 'stale']).default('found'),
  on_failure: onFailure.default('deny'),
  /** The same for single attributes. */
  on_failure_by_attribute: z.record(z.string(), onFailure).default({}),
  attributes: facts.default({}),
  groups: z.array(z.string().min(1)).default([]),
  age_s: z.number().min(0).default(0),
  fresh_s: z.number().min(0).default(30),
  /** Whether the source says when it observed. */
  stated: z.boolean().default(true),
  /** A security event said so. */
  event: z.boolean().default(false),
});

const FactsFileSchema = z.strictObject({
  source: z.string().min(1),
  subject,
  file: z.string().min(1),
});

/** What was asked and what is known, as the cases and the defaults of a test file write it. */
const GivenSchema = z.strictObject({
  source: given(z.string()),
  /** How the source was proven, where not by its principal. */
  source_evidence: given(z.enum(WORKLOAD_EVIDENCE)),
  origin_evidence: given(z.enum(WORKLOAD_EVIDENCE)),
  /** SPIFFE ID of who asked first. */
  origin: given(z.string()),
  claimed_sources: given(z.array(z.string())),
  /** SPIFFE ID of the PEP. */
  pep: given(z.string()),
  destination: given(z.string()),
  method: given(z.string()),
  path: given(z.string()),
  host: given(z.string()),
  scheme: given(z.enum(['http', 'https'])),
  headers: given(z.record(z.string(), z.union([z.string(), z.array(z.string())]))),
  extensions: given(z.record(z.string(), z.string())),
  metadata: given(z.record(z.string(), z.unknown())),
  ip: given(z.string()),
  sni: given(z.string()),
  now: given(instant),
  accepts_tokens: given(z.boolean()),
  user: given(UserSchema),
  device: given(DeviceSchema),
  facts: given(z.array(FactSchema)),
  facts_files: given(z.array(FactsFileSchema)),
});

/** {@link GivenSchema}, read. */
export type Given = z.output<typeof GivenSchema>;
/** A verified user of a case. */
export type GivenUser = z.output<typeof UserSchema>;
/** A proven device of a case. */
export type GivenDevice = z.output<typeof DeviceSchema>;
/** What one information point answers in a case. */
export type GivenFact = z.output<typeof FactSchema>;
/** A file of facts that an information point of a case answers from. */
export type GivenFactsFile = z.output<typeof FactsFileSchema>;

const AdviceSchema = z.strictObject({
  kind: z.enum(['authenticate', 'step_up']),
  acr_values: z.string().optional(),
});

const ExpectSchema = z.strictObject({
  decision: z.enum(['ALLOW', 'DENY']),
  reason: z.enum([PERMIT_REASON, ...DENY_REASONS]).optional(),
  /** The determining policies: exactly these, in any order. */
  policies: z.array(z.string()).optional(),
  /** The words that the client gets. */
  message: z.string().optional(),
  detail: z.string().optional(),
  http_status: z.int().optional(),
  /** Words that the explanation of the decision holds, each of them. */
  explanation: z.array(z.string().min(1)).optional(),
  /** null: none is given. */
  advice: AdviceSchema.nullable().optional(),
});

/** What a request-level case expects; what it does not name is not compared. */
export type Expect = z.output<typeof ExpectSchema>;

/** A case in the request-level form. */
export const RequestCaseSchema = z.strictObject({
  name: z.string().min(1),
  description: z.string().optional(),
  given: GivenSchema,
  expect: ExpectSchema,
});

/** A case in the format of `cedar run-tests`. */
export const CedarCaseSchema = z.strictObject({
  name: z.string().min(1),
  request: z.strictObject({
    principal: z.string(),
    action: z.string(),
    resource: z.string(),
    context: facts.default({}),
  }),
  entities: z.union([z.string(), z.array(z.looseObject({}))]),
  decision: z.enum(['allow', 'deny']),
  /** A subset of the determining policies. */
  reason: z.array(z.string()),
  num_errors: z.int().min(0),
});

/** The head of a test file that has defaults. */
export const FileSchema = z.strictObject({
  $schema: z.string().optional(),
  description: z.string().optional(),
  defaults: GivenSchema.default({}),
  cases: z.array(z.unknown()),
});
