import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { KeySource } from '../jwks/jwks.ts';
import { EVENT_TYPES } from './events/event-types.ts';
import { pollStream } from './poll.ts';
import type { EventReceiver } from './receiver.ts';
import { untilDone } from './retries.ts';
import { type ConfiguredStream, type Delivery, StreamClient } from './stream-client.ts';
import type { StreamHealth, StreamStep } from './stream-health.ts';
import { TransmitterError, type TransmitterHttp } from './transmitter-http.ts';
import { type TransmitterMetadata, fetchMetadata } from './transmitter-metadata.ts';
import type { VerificationStates } from './verification-states.ts';
import { verifyStream } from './verification.ts';

/** How a stream is delivered. */
export type StreamDelivery =
  /** `endpointUrl`: our endpoint as the transmitter sees it, where it is told by us. */
  | {
      readonly method: 'push';
      readonly endpointUrl?: string;
      readonly authorization?: () => string | undefined;
    }
  /** `url`: where to poll; absent: where the configuration of the stream says. */
  | {
      readonly method: 'poll';
      readonly url?: string;
      readonly maxEvents: number;
      /** Ms; 0: long polls. */
      readonly intervalMs: number;
      readonly timeoutMs: number;
    };

/** What is done for a stream of our own accord. */
export interface StreamRun {
  readonly delivery: StreamDelivery;
  /** Whether the stream is set up by us at its transmitter. */
  readonly manage: boolean;
  /** Id of a stream that exists already. */
  readonly streamId?: string;
  readonly verification: { readonly intervalMs: number; readonly withinMs: number };
}

/** Settings of {@link runStream}. */
export interface StreamRunParts extends StreamRun {
  readonly name: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly allowed?: readonly string[];
  readonly needsKeys: boolean;
  readonly http: TransmitterHttp;
  readonly health: StreamHealth;
  readonly states: VerificationStates;
  readonly receive: EventReceiver;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who takes what the transmitter says of itself. */
export interface MetadataTaker {
  takeKeys(source: KeySource): Promise<void>;
  takeCritical(members: readonly string[]): void;
}

/** Sets a stream up, then polls and verifies it, until `signal` is aborted. Never rejects. */
export async function runStream(
  parts: StreamRunParts,
  signal: AbortSignal,
  taker: MetadataTaker,
): Promise<void> {
  const { delivery, manage, streamId, needsKeys } = parts;
  const tell = tellerOf(parts);
  const knows = delivery.method === 'poll' ? delivery.url : undefined;
  const work: Promise<void>[] = [];
  // What needs nothing of the transmitter but its events does not wait for the rest.
  if (knows !== undefined && !needsKeys && !manage) work.push(poll(parts, knows, signal));
  if (needsKeys || manage || streamId !== undefined || work.length === 0) {
    const metadata = await discover(parts, taker, tell, signal);
    if (metadata) work.push(...(await setUp(parts, metadata, signal, work.length === 0)));
  }
  await Promise.all(work);
}

type Teller = (step: StreamStep, problem: string | undefined) => void;

/** Tells each change of a problem once. */
function tellerOf({ name, health, log }: StreamRunParts): Teller {
  return (step, problem) => {
    if (!health.step(step, problem)) return;
    if (problem !== undefined) log.warn({ stream: name, step, problem }, 'an event stream has a problem');
    else log.info({ stream: name, step }, 'an event stream works again');
  };
}

async function discover(
  { http, issuer, delivery, needsKeys, manage, streamId }: StreamRunParts,
  taker: MetadataTaker,
  tell: Teller,
  signal: AbortSignal,
): Promise<TransmitterMetadata | undefined> {
  const isNeeded = needsKeys || manage || streamId !== undefined || delivery.method === 'poll';
  if (!isNeeded) return undefined;
  const work = async (): Promise<TransmitterMetadata> => {
    const metadata = await fetchMetadata(http, issuer, signal);
    taker.takeCritical(metadata.criticalMembers);
    if (!needsKeys) return metadata;
    if (metadata.jwksUri === undefined) throw new TransmitterError('has no jwks_uri in its metadata');
    await taker.takeKeys({ url: metadata.jwksUri });
    return metadata;
  };
  const metadata = await untilDone(work, (problem) => tell('set-up', `the transmitter ${problem}`), signal);
  if (metadata) tell('set-up', undefined);
  return metadata;
}

async function setUp(
  parts: StreamRunParts,
  metadata: TransmitterMetadata,
  signal: AbortSignal,
  mayPoll: boolean,
): Promise<Promise<void>[]> {
  const { delivery, http } = parts;
  const client = new StreamClient(http, metadata, signal);
  const stream = await configured(parts, client, signal);
  const url = delivery.method === 'poll' ? (stream?.pollUrl ?? delivery.url) : undefined;
  return [
    ...(url !== undefined && mayPoll ? [poll(parts, url, signal)] : []),
    ...(stream ? [verify(parts, client, stream, signal)] : []),
  ];
}

/** The stream at its transmitter, where we set it up or know its id. */
async function configured(
  parts: StreamRunParts,
  client: StreamClient,
  signal: AbortSignal,
): Promise<ConfiguredStream | undefined> {
  const { name, issuer, audiences, manage, streamId, health, log } = parts;
  const tell = tellerOf(parts);
  const eventsRequested = parts.allowed ?? EVENT_TYPES;
  const wanted = () => ({
    issuer,
    audiences,
    eventsRequested,
    description: `cedar-pdp ${name}`,
    delivery: wantedDelivery(parts.delivery),
  });
  const work = (): Promise<ConfiguredStream> => {
    if (streamId === undefined) return client.ensure(wanted());
    const existing = { ...wanted(), streamId };
    return manage ? client.ensure(existing) : client.read(existing);
  };
  if (!manage && streamId === undefined) return undefined;
  const stream = await untilDone(work, (problem) => tell('set-up', `the transmitter ${problem}`), signal);
  if (!stream) return undefined;
  tell('set-up', undefined);
  const { eventsDelivered } = stream;
  health.configured(stream.streamId, eventsDelivered);
  const missing = eventsRequested.filter((type) => !eventsDelivered.includes(type));
  log.info(
    { stream: name, stream_id: stream.streamId, delivered: eventsDelivered.length },
    'an event stream is set up',
  );
  if (parts.allowed && missing.length > 0)
    log.warn({ stream: name, missing }, 'the transmitter does not deliver all events that were asked for');
  return stream;
}

function wantedDelivery(delivery: StreamDelivery): Delivery {
  if (delivery.method === 'poll') return { method: 'poll' };
  const authorization = delivery.authorization?.();
  return {
    method: 'push',
    endpointUrl: delivery.endpointUrl ?? '',
    ...(authorization !== undefined && { authorization }),
  };
}

function poll(parts: StreamRunParts, url: string, signal: AbortSignal): Promise<void> {
  const { delivery, http, receive, health, clock } = parts;
  if (delivery.method !== 'poll') return Promise.resolve();
  const { maxEvents, intervalMs, timeoutMs } = delivery;
  const tell = tellerOf(parts);
  const onProblem = (problem: string | undefined): void => tell('poll', problem);
  return pollStream(
    { http, url, receive, health, clock, maxEvents, intervalMs, timeoutMs, onProblem },
    signal,
  );
}

function verify(
  parts: StreamRunParts,
  client: StreamClient,
  { streamId, minVerificationIntervalS }: ConfiguredStream,
  signal: AbortSignal,
): Promise<void> {
  const { verification, states, health } = parts;
  if (verification.intervalMs === 0) return Promise.resolve();
  const intervalMs = Math.max(verification.intervalMs, minVerificationIntervalS * 1000);
  const tell = tellerOf(parts);
  const onProblem = (problem: string | undefined): void => tell('verification', problem);
  const { withinMs } = verification;
  return verifyStream({ client, streamId, states, health, intervalMs, withinMs, onProblem }, signal);
}
