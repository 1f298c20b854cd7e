import { z } from 'zod';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';
import { file, ms, name, refusing } from './parts.ts';
import { checkHttpServer, httpServer } from './pip-http.ts';

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\]):/;

const common = {
  name: name.meta({ description: 'Name in metrics and messages, and of its cursor.' }),
  from: z.enum(['start', 'now']).default('start').meta({
    description: 'Where a sink begins that is new: with the oldest record there is, or with the next one.',
  }),
  max_records: z.int().min(1).max(10_000).default(500).meta({ description: 'Most records in one delivery.' }),
  max_bytes: z
    .int()
    .min(1024)
    .max(16 * 1024 * 1024)
    .default(512 * 1024)
    .meta({ description: 'Most bytes of records in one delivery; a single record may be longer.' }),
  max_wait_ms: z
    .int()
    .min(10)
    .max(60_000)
    .default(200)
    .meta({ description: 'How long a record waits for others. In ms.' }),
  timeout_ms: z
    .int()
    .min(100)
    .max(600_000)
    .default(10_000)
    .meta({ description: 'Limit on one delivery, connecting included. In ms.' }),
  retry_min_ms: z
    .int()
    .min(10)
    .max(60_000)
    .default(250)
    .meta({ description: 'Pause before a delivery is tried again; doubled with each failure. In ms.' }),
  retry_max_ms: z
    .int()
    .min(10)
    .max(3_600_000)
    .default(30_000)
    .meta({ description: 'Longest pause between tries, and the one after a refusal. In ms.' }),
};

const tls = {
  ca_file: file(
    "Authorities (PEM) that the receiver's certificate may come from; else the public ones.",
  ).optional(),
  cert_file: file('Our certificate (PEM), leaf first.').optional(),
  key_file: file('Its private key (PEM).').optional(),
};

const { max_bytes: _answer, ...httpClient } = httpServer;

const plaintext = z.boolean().default(false).meta({
  description: 'Speak without TLS to a receiver that is not on a loopback address.',
});

const Stdout = z.strictObject({
  kind: z.literal('stdout').meta({ description: 'Lines on the standard output of `pdp serve`.' }),
  ...common,
});

const url = z.string().superRefine(refusing(fetchUrlProblem));

const Http = z
  .strictObject({
    kind: z.literal('http').meta({ description: 'Batches of lines, posted as gzip NDJSON.' }),
    ...common,
    url: url.meta({ description: 'Where to post: https (http to loopback only).' }),
    ...httpClient,
  })
  .superRefine(checkHttpServer);

const Otlp = z
  .strictObject({
    kind: z.literal('otlp').meta({ description: 'OpenTelemetry events over OTLP/HTTP.' }),
    ...common,
    url: url.meta({
      description: 'Logs endpoint, e.g. https://collector:4318/v1/logs; https (http to loopback only).',
    }),
    ...httpClient,
    resource: z
      .record(z.string().min(1), z.string())
      .default({})
      .meta({ description: 'Attributes of the resource, beside `service.name` (`telemetry.service_name`).' }),
    original_line: z.boolean().default(false).meta({
      description: 'Send the line itself too, as `log.record.original`: what proofs are about.',
    }),
  })
  .superRefine(checkHttpServer);

const Nats = z
  .strictObject({
    kind: z.literal('nats').meta({ description: 'Messages of a NATS JetStream, one for each line.' }),
    ...common,
    servers: z
      .array(
        z
          .string()
          .regex(
            /^(?:nats|tls):\/\/(?:\[[0-9a-fA-F:]+\]|[^:@/?#\s]+):\d{1,5}$/,
            'must be nats://host:port or tls://host:port, without user and password',
          ),
      )
      .min(1)
      .max(32)
      .meta({ description: 'Servers of one cluster: tls://host:port, or nats://host:port without TLS.' }),
    subject: z
      .string()
      .regex(/^[^\s.*>]+(?:\.[^\s.*>]+)*$/, 'must be a subject without wildcards, such as audit.pdp')
      .meta({ description: 'Subject to publish to. A stream must take it.' }),
    stream: z
      .string()
      .regex(/^[^\s.*>/\\]+$/, 'must be the name of a stream')
      .optional()
      .meta({ description: 'The stream that must be the one that takes it.' }),
    username: z.string().min(1).optional().meta({ description: 'User.' }),
    password_file: file('File with the password.').optional(),
    token_file: file('File with a token.').optional(),
    credentials_file: file('File with JWT and seed of a user, as nsc writes it.').optional(),
    ...tls,
    plaintext,
  })
  .superRefine(checkNats);

const Kafka = z
  .strictObject({
    kind: z.literal('kafka').meta({ description: 'Records of a Kafka topic, one for each line.' }),
    ...common,
    brokers: z
      .array(
        z
          .string()
          .regex(/^(?:\[[0-9a-fA-F:]+\]|[^:@/?#\s]+):\d{1,5}$/, 'must be host:port, without credentials'),
      )
      .min(1)
      .max(32)
      .meta({ description: 'Some brokers of the cluster.' }),
    tls: z.boolean().default(true).meta({ description: 'Speak TLS with the brokers.' }),
    topic: z
      .string()
      .regex(/^[a-zA-Z0-9._-]{1,249}$/, 'must be the name of a topic')
      .meta({ description: 'Topic to produce to; it is not made.' }),
    sasl: z
      .strictObject({
        mechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).default('SCRAM-SHA-512'),
        username: z.string().min(1),
        password_file: file('File with the password.'),
      })
      .optional()
      .meta({ description: 'User and password.' }),
    ...tls,
    plaintext,
  })
  .superRefine(checkKafka);

/** One of `audit.sinks`. */
const Sink = z.discriminatedUnion('kind', [Stdout, Http, Otlp, Nats, Kafka]);

/** A sink in a configuration. */
export type SinkConfig = z.output<typeof Sink>;

/** `audit.sinks`. */
export const Sinks = z
  .array(Sink)
  .max(16)
  .superRefine(checkSinks)
  .default([])
  .meta({ description: 'Where the log goes beside its folder. What a sink does never holds up a decision.' });

/** `audit.sinks_drain_ms`. */
export const sinksDrainMs = ms(
  2000,
  'How long sinks may take at the end to deliver what is left; the next run goes on with the rest.',
);

interface TlsKeys {
  readonly ca_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
}

function checkTls(keys: TlsKeys, secure: boolean, context: z.core.$RefinementCtx): void {
  const refuse = refuser(context);
  for (const key of ['ca_file', 'cert_file', 'key_file'] as const)
    if (!secure && keys[key] !== undefined) refuse([key], 'has no effect without TLS');
  if ((keys.cert_file === undefined) !== (keys.key_file === undefined))
    refuse(['key_file'], 'a certificate and its key go together');
}

const EXPOSED =
  'would carry the decision log over the network without TLS: use TLS, or say plaintext: true where something else protects it';

interface NatsKeys extends TlsKeys {
  readonly servers: readonly string[];
  readonly plaintext: boolean;
  readonly username?: string | undefined;
  readonly password_file?: string | undefined;
  readonly token_file?: string | undefined;
  readonly credentials_file?: string | undefined;
}

function checkNats(sink: NatsKeys, context: z.core.$RefinementCtx): void {
  const refuse = refuser(context);
  const secure = sink.servers.filter((server) => server.startsWith('tls://'));
  if (secure.length > 0 && secure.length < sink.servers.length)
    refuse(['servers'], 'are partly nats:// and partly tls://');
  for (const [index, server] of sink.servers.entries())
    if (server.startsWith('nats://') && !sink.plaintext && !LOOPBACK.test(server.slice(7)))
      refuse(['servers', index], EXPOSED);
  checkTls(sink, secure.length > 0, context);
  if ((sink.username === undefined) !== (sink.password_file === undefined))
    refuse(['password_file'], 'goes together with username');
  const ways = [sink.username, sink.token_file, sink.credentials_file].filter((way) => way !== undefined);
  if (ways.length > 1) refuse(['username'], 'give one of username, token_file and credentials_file');
}

interface KafkaKeys extends TlsKeys {
  readonly brokers: readonly string[];
  readonly tls: boolean;
  readonly plaintext: boolean;
}

function checkKafka(sink: KafkaKeys, context: z.core.$RefinementCtx): void {
  for (const [index, broker] of sink.brokers.entries())
    if (!sink.tls && !sink.plaintext && !LOOPBACK.test(broker)) refuser(context)(['brokers', index], EXPOSED);
  checkTls(sink, sink.tls, context);
}

interface SinkKeys {
  readonly name: string;
  readonly kind: string;
  readonly retry_min_ms: number;
  readonly retry_max_ms: number;
}

function checkSinks(sinks: readonly SinkKeys[], context: z.core.$RefinementCtx): void {
  const refuse = refuser(context);
  for (const [index, { name: own, kind, retry_min_ms, retry_max_ms }] of sinks.entries()) {
    const before = sinks.slice(0, index);
    if (before.some((other) => other.name === own)) refuse([index, 'name'], `'${own}' is taken already`);
    if (kind === 'stdout' && before.some((other) => other.kind === 'stdout'))
      refuse([index, 'kind'], 'there is one standard output: the lines would be mixed');
    if (retry_max_ms < retry_min_ms) refuse([index, 'retry_max_ms'], 'must not be below retry_min_ms');
  }
}

function refuser(context: z.core.$RefinementCtx): (path: (string | number)[], message: string) => void {
  return (path, message) => context.addIssue({ code: 'custom', path, message });
}
