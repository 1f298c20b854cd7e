import { isIP } from 'node:net';
import type { JetStreamClient } from '@nats-io/jetstream';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { faultText } from './fault-text.ts';
import { readSecret, readTls } from './secret-file.ts';
import { DeliveryError, type LogLine, type Sink } from './sink.ts';
import type { NatsSettings } from './sink-settings.ts';

/** Publishes each line to a JetStream with `Nats-Msg-Id: <log>/<index>`. Delivered: the stream acknowledged every one. */
export function createNatsSink(log: string, settings: NatsSettings & { readonly timeoutMs: number }): Sink {
  return new NatsSink(log, settings);
}

interface Connected {
  readonly connection: NatsConnection;
  readonly stream: JetStreamClient;
}

class NatsSink implements Sink {
  readonly #log: string;
  readonly #settings: NatsSettings & { readonly timeoutMs: number };
  #connected: Promise<Connected> | undefined;
  /** One server is tried after the other. */
  #attempts = 0;

  constructor(log: string, settings: NatsSettings & { readonly timeoutMs: number }) {
    this.#log = log;
    this.#settings = settings;
  }

  async deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void> {
    try {
      const { connection, stream } = await (this.#connected ??= this.#connect());
      const most = (connection.info?.max_payload ?? Number.MAX_SAFE_INTEGER) - HEADER_ROOM - this.#log.length;
      if (signal.aborted) return;
      if (lines.some(({ bytes }) => bytes.length > most))
        throw new DeliveryError('too_large', `the server takes messages of ${most} bytes`);
      // All at once on one connection: they arrive in this order.
      await Promise.all(lines.map((line) => this.#publish(stream, line)));
    } catch (error) {
      throw deliveryError(error);
    }
  }

  async #publish(stream: JetStreamClient, { index, bytes }: LogLine): Promise<void> {
    const { subject, stream: name, timeoutMs } = this.#settings;
    await stream.publish(subject, bytes, {
      msgID: `${this.#log}/${index}`,
      timeout: timeoutMs,
      ...(name !== undefined && { expect: { streamName: name } }),
    });
  }

  async #connect(): Promise<Connected> {
    const { connect, credsAuthenticator } = await import('@nats-io/transport-node');
    const { jetstream } = await import('@nats-io/jetstream');
    const { servers, credentialsFile, timeoutMs } = this.#settings;
    const server = servers[this.#attempts % servers.length] ?? '';
    this.#attempts += 1;
    const connection = await connect({
      servers: server,
      name: 'cedar-pdp',
      timeout: timeoutMs,
      // The next try connects anew, with secrets and certificates as they are then.
      reconnect: false,
      noAsyncTraces: true,
      ignoreClusterUpdates: true,
      tls: this.#tls(server),
      ...this.#account(),
      ...(credentialsFile !== undefined && {
        authenticator: credsAuthenticator(Buffer.from(readSecret(credentialsFile))),
      }),
    });
    return { connection, stream: jetstream(connection) };
  }

  /** For a server named by its address the client would take a certificate of `localhost`. */
  #tls(server: string): ReturnType<typeof readTls> | null {
    if (!this.#settings.tls) return null;
    const host = server.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    return { ...readTls(this.#settings), ...(isIP(host) !== 0 && { host }) };
  }

  #account(): Partial<ConnectionOptions> {
    const { username, passwordFile, tokenFile } = this.#settings;
    return {
      ...(username !== undefined && { user: username }),
      ...(passwordFile !== undefined && { pass: readSecret(passwordFile) }),
      ...(tokenFile !== undefined && { token: readSecret(tokenFile) }),
    };
  }

  async close(): Promise<void> {
    const connected = this.#connected;
    this.#connected = undefined;
    await connected?.then(({ connection }) => connection.close());
  }
}

/** Bytes for the headers of a message, which count too. */
const HEADER_ROOM = 512;

const REFUSED = new Set(['AuthorizationError', 'PermissionViolationError', 'UserAuthenticationExpiredError']);

function deliveryError(error: unknown): DeliveryError {
  if (error instanceof DeliveryError) return error;
  const text = faultText(error);
  // The client knows no better name for a subject that nobody listens to.
  const message = /jetstream is not enabled/i.test(text)
    ? 'no stream takes the subject: create one on the server that does'
    : text;
  return new DeliveryError(faultOf(error, text), message);
}

function faultOf(error: unknown, text: string): 'too_large' | 'refused' | 'unavailable' {
  if (/message size exceeds maximum|max(?:imum)?[_ ]payload/i.test(text)) return 'too_large';
  const name = error instanceof Error ? error.name : '';
  return REFUSED.has(name) || /authorization violation|expected stream/i.test(text)
    ? 'refused'
    : 'unavailable';
}
