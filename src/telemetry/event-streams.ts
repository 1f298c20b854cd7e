import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** How it stands with a stream of security events. */
export interface StreamFigures {
  readonly name: string;
  /** Unix ms; absent before the first. */
  readonly last_event_at?: number;
  /** Unix ms at which a verification event last came; absent before the first. */
  readonly verified_at?: number;
  readonly problems: readonly string[];
}

/** Tells the metrics of security events. */
export interface EventStreamMetrics {
  /** A SET that came: of which type, as far as it is known, and what became of it. */
  securityEvent(stream: string, event: string, outcome: string): void;
  /** An event came into force here this many ms after it happened. */
  securityEventApplied(stream: string, delayMs: number): void;
  /** Reads the figures of the streams at scrape time. */
  watchEventStreams(streams: () => readonly StreamFigures[]): void;
}

/** Registers what is counted of security events. Names of streams are configured, types and outcomes are closed sets. */
export function eventStreamMetrics(registers: Registry[]): EventStreamMetrics {
  const events = new Counter({
    name: 'pdp_security_events_total',
    help: 'Security events received, by stream, type and what became of them.',
    labelNames: ['stream', 'event', 'outcome'],
    registers,
  });
  const delays = new Histogram({
    name: 'pdp_security_event_delay_seconds',
    help: 'From what happened, as the transmitter says, to its effect here.',
    labelNames: ['stream'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600, 86_400],
    registers,
  });
  return {
    securityEvent: (stream, event, outcome) => events.inc({ stream, event, outcome }),
    securityEventApplied: (stream, delayMs) => delays.observe({ stream }, Math.max(0, delayMs) / 1000),
    watchEventStreams: (streams) => registerStreams(streams, registers),
  };
}

function registerStreams(streams: () => readonly StreamFigures[], registers: Registry[]): void {
  const add = (name: string, help: string, read: (stream: StreamFigures) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['stream'],
      registers,
      collect() {
        for (const stream of streams()) this.set({ stream: stream.name }, read(stream));
      },
    });
  add(
    'pdp_event_stream_last_event_timestamp_seconds',
    'When a security event last came; 0 if never.',
    ({ last_event_at: at = 0 }) => at / 1000,
  );
  add(
    'pdp_event_stream_verified_timestamp_seconds',
    'When a verification event that had been asked for last came; 0 if never.',
    ({ verified_at: at = 0 }) => at / 1000,
  );
  add('pdp_event_stream_healthy', '1 while nothing is known to be wrong with the stream.', ({ problems }) =>
    Number(problems.length === 0),
  );
}
