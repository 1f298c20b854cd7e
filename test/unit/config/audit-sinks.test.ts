import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { sinkSettings } from '../../../src/compose/audit-sinks.ts';
import { ConfigSchema } from '../../../src/config.ts';

const base = { grpc: { plaintext: true }, policies: { sets: ['p'] } };

function problemsOf(...sinks: object[]): readonly string[] {
  const { error } = ConfigSchema.safeParse({ ...base, audit: { sinks } });
  return (error?.issues ?? []).map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`);
}

const HTTP = { name: 'siem', kind: 'http', url: 'https://siem.example.com/logs' };
const NATS = { name: 'bus', kind: 'nats', servers: ['tls://nats:4222'], subject: 'audit.pdp' };
const KAFKA = { name: 'kafka', kind: 'kafka', brokers: ['kafka:9093'], topic: 'audit' };
const EXPOSED =
  'would carry the decision log over the network without TLS: use TLS, or say plaintext: true where something else protects it';

describe('the configuration of sinks', () => {
  test('is none where nothing is said', () => {
    expect(ConfigSchema.parse(base).audit).toMatchObject({ sinks: [], sinks_drain_ms: 2000 });
  });

  test('is taken as the documentation shows it', async () => {
    const page = await readFile(new URL('../../../docs/audit-sinks.md', import.meta.url), 'utf8');
    const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, yaml = '']) => parse(yaml) as object);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples)
      expect(ConfigSchema.safeParse({ ...base, ...example }).error?.issues).toBeUndefined();
  });

  test('takes one of each kind', () => {
    const otlp = { name: 'otel', kind: 'otlp', url: 'http://127.0.0.1:4318/v1/logs' };
    expect(problemsOf(HTTP, NATS, KAFKA, otlp, { name: 'out', kind: 'stdout' })).toEqual([]);
  });

  test.each([
    [[HTTP, { ...NATS, name: 'siem' }], ["1.name: 'siem' is taken already"]],
    [
      [
        { name: 'a', kind: 'stdout' },
        { name: 'b', kind: 'stdout' },
      ],
      ['1.kind: there is one standard output: the lines would be mixed'],
    ],
    [[{ ...HTTP, url: 'http://siem.example.com/logs' }], ['0.url: is not https']],
    [[{ ...HTTP, url: 'https://me:secret@siem.example.com/logs' }], ['0.url: holds credentials']],
    [
      [{ ...HTTP, headers: { 'x-api-key': 'secret' } }],
      ['0.headers.x-api-key: looks like a secret: use header_files'],
    ],
    [
      [{ ...HTTP, retry_min_ms: 5000, retry_max_ms: 100 }],
      ['0.retry_max_ms: must not be below retry_min_ms'],
    ],
    [[{ ...NATS, servers: ['nats://nats:4222'] }], [`0.servers.0: ${EXPOSED}`]],
    [[{ ...NATS, servers: ['nats://nats:4222'], plaintext: true }], []],
    [[{ ...NATS, servers: ['nats://127.0.0.1:4222'] }], []],
    [
      [{ ...NATS, servers: ['tls://me:secret@nats:4222'] }],
      ['0.servers.0: must be nats://host:port or tls://host:port, without user and password'],
    ],
    [
      [{ ...NATS, servers: ['tls://a:4222', 'nats://127.0.0.1:4222'] }],
      ['0.servers: are partly nats:// and partly tls://'],
    ],
    [
      [{ ...NATS, subject: 'audit.>' }],
      ['0.subject: must be a subject without wildcards, such as audit.pdp'],
    ],
    [[{ ...NATS, username: 'pdp' }], ['0.password_file: goes together with username']],
    [
      [{ ...NATS, token_file: '/t', credentials_file: '/c' }],
      ['0.username: give one of username, token_file and credentials_file'],
    ],
    [[{ ...KAFKA, tls: false }], [`0.brokers.0: ${EXPOSED}`]],
    [[{ ...KAFKA, tls: false, plaintext: true, ca_file: '/ca' }], ['0.ca_file: has no effect without TLS']],
    [[{ ...KAFKA, cert_file: '/c' }], ['0.key_file: a certificate and its key go together']],
    [
      [{ ...KAFKA, brokers: ['me:secret@kafka:9092'] }],
      ['0.brokers.0: must be host:port, without credentials'],
    ],
  ])('says what is wrong with %j', (sinks, problems) => {
    expect(problemsOf(...sinks)).toEqual(problems);
  });

  test('refuses unknown kinds and keys', () => {
    expect(problemsOf({ name: 'a', kind: 'syslog' })).toHaveLength(1);
    expect(problemsOf({ ...HTTP, pasword_file: '/p' })).toHaveLength(1);
  });

  test('reaches the sink whole', () => {
    const audit = {
      sinks: [{ ...NATS, username: 'pdp', password_file: '/p', ca_file: '/ca', max_records: 7 }],
    };
    const [sink] = ConfigSchema.parse({ ...base, audit }).audit.sinks;
    if (sink === undefined) throw new Error('no sink');
    expect(sinkSettings(sink, 'cedar-pdp')).toMatchObject({
      kind: 'nats',
      name: 'bus',
      servers: ['nats:4222'],
      tls: true,
      subject: 'audit.pdp',
      username: 'pdp',
      passwordFile: '/p',
      caFile: '/ca',
      maxRecords: 7,
      from: 'start',
      timeoutMs: 10_000,
    });
  });
});
