import { SinkThread } from '../audit/sinks/sink-thread.ts';
import type { DeliveryRules, HttpTarget, SinkSettings, TlsFiles } from '../audit/sinks/sink-settings.ts';
import type { SinkConfig } from '../config/audit-sinks.ts';
import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';

/** What brings the decision log to its sinks, not started yet. To be disposed of after the log's writer. */
export function createSinks({ audit, telemetry }: Config, logger: Log): SinkThread {
  return new SinkThread({
    dir: audit.dir,
    log: audit.log,
    sinks: audit.sinks.map((sink) => sinkSettings(sink, telemetry.service_name)),
    drainMs: audit.sinks_drain_ms,
    logger,
  });
}

/** A sink as the thread takes it. `serviceName`: `service.name` of what is exported over OTLP. */
export function sinkSettings(sink: SinkConfig, serviceName: string): SinkSettings {
  const rules = deliveryRules(sink);
  switch (sink.kind) {
    case 'stdout':
      return { kind: sink.kind, ...rules };
    case 'http':
      return { kind: sink.kind, ...rules, ...httpTarget(sink) };
    case 'otlp': {
      const resource = { 'service.name': serviceName, ...sink.resource };
      return { kind: sink.kind, ...rules, ...httpTarget(sink), resource, originalLine: sink.original_line };
    }
    case 'nats':
      return { kind: sink.kind, ...rules, ...tlsFiles(sink), ...natsTarget(sink) };
    case 'kafka':
      return { kind: sink.kind, ...rules, ...tlsFiles(sink), ...kafkaTarget(sink) };
  }
}

function deliveryRules(sink: SinkConfig): DeliveryRules {
  return {
    name: sink.name,
    from: sink.from,
    maxRecords: sink.max_records,
    maxBytes: sink.max_bytes,
    maxWaitMs: sink.max_wait_ms,
    timeoutMs: sink.timeout_ms,
    retryMinMs: sink.retry_min_ms,
    retryMaxMs: sink.retry_max_ms,
  };
}

interface TlsKeys {
  readonly ca_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
}

function tlsFiles({ ca_file, cert_file, key_file }: TlsKeys): TlsFiles {
  return { caFile: ca_file, certFile: cert_file, keyFile: key_file };
}

function httpTarget(sink: Extract<SinkConfig, { kind: 'http' | 'otlp' }>): HttpTarget {
  return {
    url: sink.url,
    tokenFile: sink.token_file,
    headers: sink.headers,
    headerFiles: sink.header_files,
    ...tlsFiles(sink),
  };
}

function natsTarget(sink: Extract<SinkConfig, { kind: 'nats' }>) {
  return {
    servers: sink.servers.map((server) => server.replace(/^\w+:\/\//, '')),
    tls: sink.servers.some((server) => server.startsWith('tls://')),
    subject: sink.subject,
    stream: sink.stream,
    username: sink.username,
    passwordFile: sink.password_file,
    tokenFile: sink.token_file,
    credentialsFile: sink.credentials_file,
  };
}

function kafkaTarget({ brokers, tls, topic, sasl }: Extract<SinkConfig, { kind: 'kafka' }>) {
  return {
    brokers,
    tls,
    topic,
    sasl: sasl && {
      mechanism: sasl.mechanism,
      username: sasl.username,
      passwordFile: sasl.password_file,
    },
  };
}
