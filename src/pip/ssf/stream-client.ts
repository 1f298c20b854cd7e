import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import { TransmitterError, type TransmitterHttp, objectOf } from './transmitter-http.ts';
import type { TransmitterMetadata } from './transmitter-metadata.ts';

/** How a stream is to be delivered. */
export type Delivery =
  | { readonly method: 'push'; readonly endpointUrl: string; readonly authorization?: string }
  | { readonly method: 'poll' };

/** The stream that we want. */
export interface WantedStream {
  readonly issuer: string;
  /** Tells our stream from others of the same receiver: the description that it is made with. */
  readonly description: string;
  readonly audiences: readonly string[];
  readonly eventsRequested: readonly string[];
  readonly delivery: Delivery;
  /** Id of a stream that exists already. */
  readonly streamId?: string;
}

/** The stream as its transmitter has it (SSF 1.0 §8.1.1). */
export interface ConfiguredStream {
  readonly streamId: string;
  readonly eventsDelivered: readonly string[];
  /** Where to poll, of streams that are polled. */
  readonly pollUrl?: string;
  /** Least seconds between requests for verification. */
  readonly minVerificationIntervalS: number;
}

type Configuration = Readonly<Record<string, unknown>>;

const TIMEOUT_MS = 10_000;
const METHODS = { push: 'urn:ietf:rfc:8935', poll: 'urn:ietf:rfc:8936' } as const;

/** Manages one stream at its transmitter. All reject with a {@link TransmitterError}, or with the signal's reason. */
export class StreamClient {
  readonly #http: TransmitterHttp;
  readonly #metadata: TransmitterMetadata;
  readonly #signal: AbortSignal;

  constructor(http: TransmitterHttp, metadata: TransmitterMetadata, signal: AbortSignal) {
    this.#http = http;
    this.#metadata = metadata;
    this.#signal = signal;
  }

  /** Makes the stream, or makes it what we want where it is there: that with our id, else with our description. */
  async ensure(wanted: WantedStream): Promise<ConfiguredStream> {
    const url = this.#endpoint('configurationEndpoint', 'configuration_endpoint');
    const values = {
      events_requested: wanted.eventsRequested,
      delivery: deliveryOf(wanted.delivery),
      description: wanted.description,
    };
    const known = wanted.streamId ?? (await this.#find(url, wanted));
    const answer =
      known === undefined
        ? await this.#ask('POST', url, values)
        : await this.#ask('PATCH', url, { stream_id: known, ...values });
    return readConfiguration(objectOf(answer), wanted);
  }

  /** The stream as it is, which somebody else has set up. */
  async read(wanted: WantedStream & { readonly streamId: string }): Promise<ConfiguredStream> {
    const url = new URL(this.#endpoint('configurationEndpoint', 'configuration_endpoint'));
    url.searchParams.set('stream_id', wanted.streamId);
    return readConfiguration(objectOf(await this.#ask('GET', url.href)), wanted);
  }

  /** Its status, and why; `undefined` where the transmitter does not tell. */
  async status(
    streamId: string,
  ): Promise<{ readonly status: unknown; readonly reason: unknown } | undefined> {
    if (this.#metadata.statusEndpoint === undefined) return undefined;
    const url = new URL(this.#metadata.statusEndpoint);
    url.searchParams.set('stream_id', streamId);
    const { status, reason } = objectOf(await this.#ask('GET', url.href));
    return { status, reason };
  }

  /** Whether the transmitter can be asked for verification events. */
  get canVerify(): boolean {
    return this.#metadata.verificationEndpoint !== undefined;
  }

  /** Asks for a verification event with this state. */
  async verify(streamId: string, state: string): Promise<void> {
    const url = this.#endpoint('verificationEndpoint', 'verification_endpoint');
    await this.#ask('POST', url, { stream_id: streamId, state });
  }

  async #find(url: string, { description, issuer }: WantedStream): Promise<string | undefined> {
    const { json } = await this.#ask('GET', url);
    // A transmitter that allows one stream only may answer with it alone.
    const streams = (Array.isArray(json) ? json : [json]).filter(isRecord);
    const ours = streams.find((stream) => stream['description'] === description && stream['iss'] === issuer);
    const id = ours?.['stream_id'];
    return typeof id === 'string' ? id : undefined;
  }

  #endpoint(key: 'configurationEndpoint' | 'verificationEndpoint', name: string): string {
    const url = this.#metadata[key];
    if (url !== undefined) return url;
    throw new TransmitterError(`has no ${name} in its metadata`);
  }

  #ask(method: 'GET' | 'POST' | 'PATCH', url: string, body?: object) {
    return this.#http.ask({
      method,
      url,
      timeoutMs: TIMEOUT_MS,
      signal: this.#signal,
      ...(body && { body }),
    });
  }
}

function deliveryOf(delivery: Delivery): object {
  const { method } = delivery;
  if (method === 'poll') return { method: METHODS.poll };
  return {
    method: METHODS.push,
    endpoint_url: delivery.endpointUrl,
    ...(delivery.authorization !== undefined && { authorization_header: delivery.authorization }),
  };
}

function readConfiguration(stream: Configuration, wanted: WantedStream): ConfiguredStream {
  if (externalJsonProblem(stream) !== undefined) throw unfit('is not accepted here');
  const { stream_id: streamId, iss, aud, events_delivered: delivered, delivery } = stream;
  if (typeof streamId !== 'string' || streamId === '' || streamId.length > 255)
    throw unfit('has no stream_id');
  if (wanted.streamId !== undefined && wanted.streamId !== streamId) throw unfit('is of another stream_id');
  if (iss !== wanted.issuer) throw unfit('is of another issuer');
  const audiences = typeof aud === 'string' ? [aud] : aud;
  if (!Array.isArray(audiences) || !audiences.some((one) => wanted.audiences.includes(String(one))))
    throw unfit('has none of the configured audiences');
  if (!Array.isArray(delivered) || !delivered.every((type) => typeof type === 'string'))
    throw unfit('has no events_delivered');
  const pollUrl = pollUrlOf(delivery, wanted.delivery.method);
  const interval = stream['min_verification_interval'];
  return {
    streamId,
    eventsDelivered: delivered,
    ...(pollUrl !== undefined && { pollUrl }),
    minVerificationIntervalS: typeof interval === 'number' && interval > 0 ? Math.min(interval, 86_400) : 0,
  };
}

function pollUrlOf(delivery: unknown, method: Delivery['method']): string | undefined {
  if (!isRecord(delivery) || delivery['method'] !== METHODS[method])
    throw unfit(`is not delivered by ${method}`);
  if (method === 'push') return undefined;
  const { endpoint_url: url } = delivery;
  if (typeof url !== 'string') throw unfit('does not say where to poll');
  return url;
}

function unfit(problem: string): TransmitterError {
  return new TransmitterError(`has a configuration of the stream that ${problem}`);
}
