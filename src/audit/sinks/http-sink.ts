import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Agent, type Dispatcher, request } from 'undici';
import { headersOf } from './http-headers.ts';
import { readTls } from './secret-file.ts';
import { DeliveryError, type LogLine, type Sink } from './sink.ts';
import type { HttpSettings } from './sink-settings.ts';

const compress = promisify(gzip);

/** Posts lines as gzip NDJSON. Delivered: the server answered 2xx. */
export function createHttpSink(log: string, settings: HttpSettings): Sink {
  return new HttpSink(log, settings);
}

class HttpSink implements Sink {
  readonly #log: string;
  readonly #settings: HttpSettings;
  #agent: Agent | undefined;

  constructor(log: string, settings: HttpSettings) {
    this.#log = log;
    this.#settings = settings;
  }

  async deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void> {
    this.#agent ??= new Agent({ connect: readTls(this.#settings), connections: 1 });
    const body = await compress(Buffer.concat(lines.flatMap(({ bytes }) => [bytes, NEW_LINE])));
    const headers = {
      ...headersOf(this.#settings),
      'content-type': 'application/x-ndjson',
      'content-encoding': 'gzip',
      'idempotency-key': `${this.#log}/${lines[0]?.index}-${lines.at(-1)?.index}`,
    };
    const answer = await this.#post({ method: 'POST', headers, body, signal, dispatcher: this.#agent });
    await answer.body.dump({ limit: 65_536, signal });
    refuseOthers(answer);
  }

  async #post(
    options: NonNullable<Parameters<typeof request>[1]>,
  ): Promise<Dispatcher.ResponseData<unknown>> {
    try {
      return await request(this.#settings.url, options);
    } catch (cause) {
      throw new DeliveryError('unavailable', 'the request failed', { cause });
    }
  }

  async close(): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    await agent?.destroy();
  }
}

const NEW_LINE = Buffer.from('\n');

/** Whether so much may be different a moment later. */
const PASSING = new Set([408, 425, 429]);

function refuseOthers({ statusCode, headers }: Dispatcher.ResponseData<unknown>): void {
  if (statusCode >= 200 && statusCode < 300) return;
  const message = `the server answered ${statusCode}`;
  if (statusCode === 413) throw new DeliveryError('too_large', message);
  const passing = statusCode >= 500 || PASSING.has(statusCode);
  const seconds = Number(headers['retry-after']);
  const asked = seconds > 0 ? { retryAfterMs: seconds * 1000 } : {};
  throw new DeliveryError(passing ? 'unavailable' : 'refused', message, asked);
}
