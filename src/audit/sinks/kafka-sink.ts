import type { Producer } from '@platformatic/kafka';
import { faultText } from './fault-text.ts';
import { readSecret, readTls } from './secret-file.ts';
import { DeliveryError, type DeliveryFault, type LogLine, type Sink } from './sink.ts';
import type { KafkaSettings } from './sink-settings.ts';

/** Produces lines, keyed by log, with the headers `log` and `index`. Delivered: all replicas in sync have them. */
export function createKafkaSink(log: string, settings: KafkaSettings & { readonly timeoutMs: number }): Sink {
  return new KafkaSink(log, settings);
}

class KafkaSink implements Sink {
  readonly #key: Buffer;
  readonly #settings: KafkaSettings & { readonly timeoutMs: number };
  #producer: Promise<Producer> | undefined;

  constructor(log: string, settings: KafkaSettings & { readonly timeoutMs: number }) {
    this.#key = Buffer.from(log);
    this.#settings = settings;
  }

  async deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void> {
    try {
      const producer = await (this.#producer ??= this.#create());
      if (signal.aborted) return;
      await producer.send({ messages: lines.map((line) => this.#message(line)) });
    } catch (error) {
      throw deliveryError(error);
    }
  }

  #message({ index, bytes }: LogLine) {
    const headers = new Map([
      [LOG, this.#key],
      [INDEX, Buffer.from(String(index))],
    ]);
    return { topic: this.#settings.topic, key: this.#key, value: bytes, headers };
  }

  async #create(): Promise<Producer> {
    const { Producer } = await import('@platformatic/kafka');
    const { brokers, tls, timeoutMs } = this.#settings;
    return new Producer({
      clientId: 'cedar-pdp',
      bootstrapBrokers: [...brokers],
      idempotent: true,
      autocreateTopics: false,
      // One would be taken for "for ever"; tries of our own follow, with certificates and secrets as they are then.
      retries: 2,
      retryDelay: 100,
      timeout: timeoutMs,
      connectTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      ...(tls && { tls: readTls(this.#settings), tlsServerName: true }),
      ...this.#sasl(),
    });
  }

  #sasl() {
    const { sasl } = this.#settings;
    if (sasl === undefined) return {};
    const { mechanism, username, passwordFile } = sasl;
    return { sasl: { mechanism, username, password: readSecret(passwordFile) } };
  }

  async close(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.then((open) => open.close(true));
  }
}

const LOG = Buffer.from('log');
const INDEX = Buffer.from('index');

const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
const REFUSED = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'PLT_KFK_AUTHENTICATION',
]);

function deliveryError(error: unknown): DeliveryError {
  if (error instanceof DeliveryError) return error;
  return new DeliveryError(faultOf(codesOf(error)), faultText(error));
}

function faultOf(codes: readonly string[]): DeliveryFault {
  if (codes.some((code) => TOO_LARGE.has(code))) return 'too_large';
  return codes.some((code) => REFUSED.has(code)) ? 'refused' : 'unavailable';
}

/** What an error and its causes are called in the protocol and by the client. */
function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const inner: readonly unknown[] = error instanceof AggregateError ? error.errors : [];
  const own = [Reflect.get(error, 'apiId'), Reflect.get(error, 'code')].filter(
    (code) => typeof code === 'string',
  );
  return [...own, ...[...inner, error.cause].flatMap((cause) => codesOf(cause))];
}
