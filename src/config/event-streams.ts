import { z } from 'zod';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';
import { EVENT_NAMES, eventTypeNamed } from '../pip/ssf/events/event-types.ts';
import { ALGORITHMS } from '../pip/token/issuer.ts';
import { file, name, refusing } from './parts.ts';

const url = z.string().superRefine(refusing(fetchUrlProblem));

const Jwks = z.union([
  z.strictObject({ file: file('Key set file (JWKS).') }),
  z.strictObject({ url: url.meta({ description: 'Key set URL; https, except on loopback.' }) }),
]);

const Delivery = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z
      .literal('push')
      .meta({ description: 'The transmitter posts to `/events/<name>` of the HTTP surface (RFC 8935).' }),
    authorization_file: file(
      'File with the whole value of the `Authorization` header that the transmitter sends. Absent: the signatures alone say who it is.',
    ).optional(),
    endpoint_url: url
      .optional()
      .meta({ description: '`manage`: that endpoint as the transmitter sees it, https.' }),
  }),
  z.strictObject({
    kind: z.literal('poll').meta({ description: 'We ask the transmitter for events (RFC 8936).' }),
    endpoint_url: url.optional().meta({
      description: 'Where to poll. Absent: where the configuration of the stream at its transmitter says.',
    }),
    interval_ms: z.int().min(0).max(3_600_000).default(0).meta({
      description: 'Between polls; 0: the transmitter holds each poll until there is an event. In ms.',
    }),
    max_events: z.int().min(1).max(100).default(25).meta({ description: 'Most events in one answer.' }),
    timeout_ms: z
      .int()
      .min(100)
      .max(600_000)
      .default(90_000)
      .meta({ description: 'Limit on one poll, longer than the transmitter holds it. In ms.' }),
  }),
]);

const Transmitter = z.strictObject({
  token_file: file('File with a bearer token for polls and for the management of the stream.').optional(),
  cert_file: file('Our certificate for mutual TLS with the transmitter, PEM, leaf first.').optional(),
  key_file: file('Its private key, PEM.').optional(),
  ca_file: file("CAs of the transmitter, PEM; the runtime's own where not given.").optional(),
  manage: z.boolean().default(false).meta({
    description: 'Make the stream at the transmitter, or bring the one that is there up to date, at start.',
  }),
  stream_id: z.string().min(1).max(255).optional().meta({
    description: 'Id of a stream that is there already. Absent, with `manage`: found by its description.',
  }),
  verify_interval_s: z.int().min(0).max(604_800).default(3600).meta({
    description:
      'How often a verification event is asked for, where `manage` or `stream_id` says of which stream; 0: never. In s.',
  }),
  verify_within_s: z
    .int()
    .min(1)
    .max(3600)
    .default(60)
    .meta({ description: 'How long one may take before readiness warns. In s.' }),
});

const Names = z.strictObject({
  user: name.optional().meta({ description: 'Issuer of users named by e-mail address or opaque id.' }),
  session: name
    .optional()
    .meta({ description: 'Issuer of sessions named by opaque id; that of users where not given.' }),
  device: name.optional().meta({ description: 'Issuer of devices named by opaque id.' }),
  tenant: name
    .optional()
    .meta({ description: 'Issuer of tenants named by opaque id; that of users where not given.' }),
  workloads: z.boolean().default(false).meta({
    description: 'Whether it may name workloads, by URIs that are SPIFFE IDs; `issuers` does not bound them.',
  }),
});

/** One of `event_streams`. */
export const EventStream = z
  .strictObject({
    name: name.meta({ description: 'Name in records, metrics and the path of the endpoint.' }),
    issuer: url.meta({ description: 'Exact value of `iss`: the issuer of the transmitter.' }),
    audiences: z
      .array(z.string().min(1))
      .min(1, 'name at least one audience: an event for anybody is one for nobody')
      .meta({ description: 'Values of `aud` that mean this receiver.' }),
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1, 'name at least one algorithm')
      .default(['RS256'])
      .meta({ description: 'Accepted signature algorithms.' }),
    jwks: Jwks.optional().meta({
      description: 'Where its keys are. Absent: where the metadata of the transmitter say.',
    }),
    delivery: Delivery,
    transmitter: Transmitter.prefault({}),
    events: z
      .array(
        z.enum(EVENT_NAMES.filter((event) => eventTypeNamed(event) !== undefined) as [string, ...string[]]),
      )
      .min(1)
      .optional()
      .meta({ description: 'Types of events that it may send. Absent: all that are known.' }),
    issuers: z.record(z.string(), name).default({}).meta({
      description:
        'Our issuers (`issuers[].name`, or that of an information point) by the `iss` in subjects; others are nobody of ours. Empty: whichever has that `iss`.',
    }),
    subjects: Names.prefault({}).meta({
      description: "Our issuers for subjects that hold no `iss`. Absent: those for the transmitter's own.",
    }),
    critical_members: z.array(z.string().min(1)).default([]).meta({
      description:
        'Members of subjects that must be understood, else the event is discarded; beside those that the metadata list.',
    }),
    credential_change: z.enum(['void', 'ignore']).default('void').meta({
      description:
        'Whether a credential that was changed, revoked or deleted makes void what was issued before.',
    }),
    high_risk_voids: z
      .array(z.enum(['session', 'tenant']))
      .default(['session'])
      .meta({ description: 'Principals whose high risk makes void what was issued to them before.' }),
    max_age_s: z.int().min(60).max(2_592_000).default(604_800).meta({
      description: 'Oldest `iat` that is taken: as long as a transmitter may hold events back. In s.',
    }),
    skew_s: z.int().min(0).max(60).default(30).meta({ description: 'Seconds by which clocks may differ.' }),
  })
  .superRefine(({ delivery, transmitter }, context) => {
    const issue = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    const { manage, stream_id: streamId, cert_file: cert, key_file: key } = transmitter;
    if ((cert === undefined) !== (key === undefined))
      issue(
        ['transmitter', cert === undefined ? 'cert_file' : 'key_file'],
        'cert_file and key_file go together',
      );
    if (delivery.kind === 'push' && manage && delivery.endpoint_url === undefined)
      issue(['delivery', 'endpoint_url'], 'is needed with `manage`: the transmitter has to be told');
    if (delivery.kind === 'poll' && delivery.endpoint_url === undefined && !manage && streamId === undefined)
      issue(['delivery', 'endpoint_url'], 'is needed, or transmitter.manage, or transmitter.stream_id');
    if (delivery.kind === 'push' && delivery.endpoint_url !== undefined && !manage)
      issue(['delivery', 'endpoint_url'], 'has no effect without transmitter.manage');
  });
