/** How lines get to a sink, whatever kind it is. */
export interface DeliveryRules {
  readonly name: string;
  /** Where a sink begins that has delivered nothing yet. */
  readonly from: 'start' | 'now';
  /** Most lines in one delivery. */
  readonly maxRecords: number;
  /** Most bytes in one delivery, line feeds included; a single line may be longer. */
  readonly maxBytes: number;
  /** Ms that a line waits for others. */
  readonly maxWaitMs: number;
  /** Limit on one delivery, connecting included, in ms. */
  readonly timeoutMs: number;
  /** Ms to the second try. */
  readonly retryMinMs: number;
  /** Most ms between tries. */
  readonly retryMaxMs: number;
}

/** Files for TLS, PEM. */
export interface TlsFiles {
  /** Authorities that the receiver's certificate may come from; absent: those of the runtime. */
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** A server that is spoken to over HTTP. */
export interface HttpTarget extends TlsFiles {
  readonly url: string;
  /** File with a bearer token. */
  readonly tokenFile?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Headers whose values are in files. */
  readonly headerFiles: readonly { readonly header: string; readonly file: string }[];
}

/** The standard output of this process. */
export interface StdoutSettings {
  readonly kind: 'stdout';
}

/** Batches over HTTP. */
export interface HttpSettings extends HttpTarget {
  readonly kind: 'http';
}

/** Log records over OTLP/HTTP. */
export interface OtlpSettings extends HttpTarget {
  readonly kind: 'otlp';
  /** Attributes of the resource that all records are about. */
  readonly resource: Readonly<Record<string, string>>;
  /** Whether each record carries the line too, as `log.record.original`. */
  readonly originalLine: boolean;
}

/** A subject of a NATS JetStream. */
export interface NatsSettings extends TlsFiles {
  readonly kind: 'nats';
  /** `host:port`. */
  readonly servers: readonly string[];
  readonly tls: boolean;
  readonly subject: string;
  /** Stream that must be the one that takes the subject. */
  readonly stream?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** JWT and seed of a user, as `nsc` writes them. */
  readonly credentialsFile?: string | undefined;
}

/** A topic of a Kafka cluster. */
export interface KafkaSettings extends TlsFiles {
  readonly kind: 'kafka';
  /** `host:port`. */
  readonly brokers: readonly string[];
  readonly tls: boolean;
  readonly topic: string;
  readonly sasl?:
    | {
        readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
        readonly username: string;
        readonly passwordFile: string;
      }
    | undefined;
}

/** Where lines go. */
export type SinkTarget = StdoutSettings | HttpSettings | OtlpSettings | NatsSettings | KafkaSettings;

/** A sink as it is configured. Plain data: it crosses threads. */
export type SinkSettings = DeliveryRules & SinkTarget;
