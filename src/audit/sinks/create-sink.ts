import { createHttpSink } from './http-sink.ts';
import { createKafkaSink } from './kafka-sink.ts';
import { createNatsSink } from './nats-sink.ts';
import { createOtlpSink } from './otlp-sink.ts';
import type { Sink } from './sink.ts';
import type { SinkSettings } from './sink-settings.ts';
import { createStdoutSink } from './stdout-sink.ts';

/** The sink that is configured, for the log of that origin name. It connects, and loads its client, with the first delivery. */
export function createSink(log: string, settings: SinkSettings): Sink {
  switch (settings.kind) {
    case 'stdout':
      return createStdoutSink();
    case 'http':
      return createHttpSink(log, settings);
    case 'otlp':
      return createOtlpSink(log, settings);
    case 'nats':
      return createNatsSink(log, settings);
    case 'kafka':
      return createKafkaSink(log, settings);
  }
}
