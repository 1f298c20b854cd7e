import { hash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { HttpRoutes } from '../api/http/http-server.ts';
import { type PushedStream, eventPushRoutes } from '../api/ssf/push.ts';
import type { Config } from '../config.ts';
import { InputError } from '../pdp/errors.ts';
import { LineLimiter } from '../pdp/line-limiter.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import type { SecurityEffects } from '../pdp/security-event.ts';
import type { SharedState } from '../pdp/shared-state.ts';
import type { CredentialFiles } from '../pip/facts/http/secret-files.ts';
import { type EventStream, type EventStreamOptions, openEventStream } from '../pip/ssf/event-stream.ts';
import { eventTypeNamed } from '../pip/ssf/events/event-types.ts';
import type { EventTold } from '../pip/ssf/receiver.ts';
import type { StreamReport } from '../pip/ssf/stream-health.ts';
import type { StreamDelivery } from '../pip/ssf/stream-run.ts';
import type { Issuer } from '../pip/token/issuer.ts';
import type { EventStreamMetrics } from '../telemetry/event-streams.ts';

type StreamConfig = Config['event_streams'][number];

/** What streams of security events work with. */
export interface EventStreamsParts {
  readonly effects: SecurityEffects;
  readonly state: SharedState;
  readonly issuers: readonly Issuer[];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: EventStreamMetrics;
}

/** The streams of security events. */
export interface EventStreams {
  /** The endpoints of streams that are pushed. */
  readonly routes: readonly HttpRoutes[];
  /** Sets streams up, polls and verifies them from now on: when the surfaces are open. */
  start(): void;
  /** What is amiss with them, in an operator's words. */
  warnings(): readonly string[];
  report(): readonly StreamReport[];
}

/** Opens the streams as configured; `stack` closes them. Throws `InputError` for files that are not right. */
export async function openEventStreams(
  configured: readonly StreamConfig[],
  parts: EventStreamsParts,
  stack: AsyncDisposableStack,
): Promise<EventStreams> {
  const onEvent = tellerOf(parts, stack);
  const opened: { readonly stream: EventStream; readonly config: StreamConfig }[] = [];
  for (const config of configured) {
    const stream = stack.use(await openEventStream(streamOptionsOf(config), { ...parts, onEvent }));
    opened.push({ stream, config });
    warnOfStrangers(config, parts);
  }
  const pushed = opened.flatMap(({ stream, config }) => pushedOf(stream, config, onEvent));
  const report = (): StreamReport[] =>
    opened.map(({ stream }) => ({ ...stream.report(), problems: stream.warnings() }));
  if (opened.length > 0) parts.metrics.watchEventStreams(report);
  return {
    routes: pushed.length === 0 ? [] : [eventPushRoutes(pushed)],
    start() {
      for (const { stream } of opened) stream.start();
    },
    warnings: () => opened.flatMap(({ stream }) => stream.warnings()),
    report,
  };
}

/** A stream whose subjects are nobody here has no effect, which looks like a quiet one. */
function warnOfStrangers(
  { name: stream, issuer, issuers, subjects }: StreamConfig,
  parts: EventStreamsParts,
): void {
  const { log } = parts;
  const known = new Set(parts.issuers.flatMap(({ name, claims }) => [name, claims.deviceIssuer ?? name]));
  const strangers = [...Object.values(issuers), ...issuerNames(subjects)].filter((name) => !known.has(name));
  if (strangers.length > 0)
    log.warn(
      { stream, issuers: [...new Set(strangers)] },
      'an event stream names issuers that no token is of',
    );
  const isMapped = Object.keys(issuers).length > 0 || issuerNames(subjects).length > 0 || subjects.workloads;
  if (!isMapped && !parts.issuers.some((one) => one.issuer === issuer))
    log.warn(
      { stream },
      'an event stream is of no issuer of ours, and neither `issuers` nor `subjects` say who its subjects are',
    );
}

/** Counts each event, and logs: what a transmitter can cause without end has one line a second of its kind. */
function tellerOf(
  { clock, log, metrics }: EventStreamsParts,
  stack: AsyncDisposableStack,
): (told: EventTold) => void {
  const lines = stack.use(
    new LineLimiter<string, EventTold>(clock, ({ delayMs, ...told }, unsaid) => {
      const fields = { ...told, ...(delayMs !== undefined && { delay_ms: delayMs }), ...unsaid };
      if (told.outcome === 'applied' || told.outcome === 'stream')
        log.info(fields, 'a security event was received');
      else log.warn(fields, 'a security event had no effect');
    }),
  );
  return (told) => {
    const { stream, event, outcome, delayMs } = told;
    metrics.securityEvent(stream, event, outcome);
    if (delayMs !== undefined) metrics.securityEventApplied(stream, delayMs);
    if (outcome !== 'duplicate' && outcome !== 'no_effect') lines.tell(`${stream} ${event} ${outcome}`, told);
  };
}

function streamOptionsOf(config: StreamConfig): EventStreamOptions {
  const { transmitter, jwks, events } = config;
  return {
    name: config.name,
    issuer: config.issuer,
    audiences: config.audiences,
    algorithms: config.algorithms,
    maxAgeSeconds: config.max_age_s,
    skewSeconds: config.skew_s,
    ...(jwks && { keys: jwks }),
    credentials: credentialsOf(config),
    delivery: deliveryOf(config),
    manage: transmitter.manage,
    ...(transmitter.stream_id !== undefined && { streamId: transmitter.stream_id }),
    verification: {
      intervalMs: transmitter.verify_interval_s * 1000,
      withinMs: transmitter.verify_within_s * 1000,
    },
    choices: {
      credentialChangeVoids: config.credential_change === 'void',
      highRiskVoids: config.high_risk_voids,
    },
    ...(events && { allowed: events.flatMap((event) => eventTypeNamed(event) ?? []) }),
    issuersByIss: new Map(Object.entries(config.issuers)),
    defaultIssuers: namesOf(config),
    workloads: config.subjects.workloads,
    criticalMembers: config.critical_members,
  };
}

function issuerNames({ user, session, device, tenant }: StreamConfig['subjects']): readonly string[] {
  return [user, session, device, tenant].filter((name) => name !== undefined);
}

function namesOf({ subjects }: StreamConfig): EventStreamOptions['defaultIssuers'] {
  const { user, session, device, tenant } = subjects;
  return {
    ...(user !== undefined && { user }),
    ...(session !== undefined && { session }),
    ...(device !== undefined && { device }),
    ...(tenant !== undefined && { tenant }),
  };
}

function credentialsOf({ transmitter }: StreamConfig): CredentialFiles {
  const { token_file: token, cert_file: cert, key_file: key, ca_file: ca } = transmitter;
  return {
    ...(token !== undefined && { token }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca }),
  };
}

function deliveryOf({ delivery }: StreamConfig): StreamDelivery {
  if (delivery.kind === 'poll') {
    const {
      endpoint_url: url,
      max_events: maxEvents,
      interval_ms: intervalMs,
      timeout_ms: timeoutMs,
    } = delivery;
    return { method: 'poll', maxEvents, intervalMs, timeoutMs, ...(url !== undefined && { url }) };
  }
  const { endpoint_url: endpointUrl, authorization_file: file } = delivery;
  return {
    method: 'push',
    ...(endpointUrl !== undefined && { endpointUrl }),
    ...(file !== undefined && { authorization: () => readAuthorization(file) }),
  };
}

function pushedOf(
  { name, receive }: EventStream,
  { delivery }: StreamConfig,
  onEvent: (told: EventTold) => void,
): readonly PushedStream[] {
  if (delivery.kind !== 'push') return [];
  const { authorization_file: file } = delivery;
  if (file !== undefined && readAuthorization(file) === undefined)
    throw new InputError('the authorization of an event stream cannot be used:', [
      { where: file, message: 'does not hold one line of printable ASCII, 16 characters or more' },
    ]);
  return [
    {
      name,
      authorizes: (given) => file === undefined || isSame(given, readAuthorization(file)),
      receive,
      onRefused: ({ err, description }) =>
        onEvent({ stream: name, event: 'none', outcome: err, detail: description }),
    },
  ];
}

/** Read for each request, so that it can be changed without a restart; one that cannot be read lets nobody in. */
function readAuthorization(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^[ -~]{16,4096}$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Of equal length, whatever was given: the time it takes tells nothing. */
function isSame(given: string | undefined, wanted: string | undefined): boolean {
  if (given === undefined || wanted === undefined) return false;
  return timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', wanted, 'buffer'));
}
