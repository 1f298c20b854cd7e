import type { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import { headersOf } from './http-headers.ts';
import { otlpRecord } from './otlp-record.ts';
import { readTls } from './secret-file.ts';
import { DeliveryError, type LogLine, type Sink } from './sink.ts';
import type { OtlpSettings } from './sink-settings.ts';

/** Exports lines as OpenTelemetry events over OTLP/HTTP. Delivered: the exporter says so. */
export function createOtlpSink(log: string, settings: OtlpSettings & { readonly timeoutMs: number }): Sink {
  return new OtlpSink(log, settings);
}

interface Opened {
  readonly exporter: OTLPLogExporter;
  readonly resource: Resource;
}

type ExporterConfig = NonNullable<ConstructorParameters<typeof OTLPLogExporter>[0]>;

const GZIP = 'gzip' as NonNullable<ExporterConfig['compression']>;
const SCOPE = { name: 'cedar-pdp' };

class OtlpSink implements Sink {
  readonly #log: string;
  readonly #settings: OtlpSettings & { readonly timeoutMs: number };
  #opened: Promise<Opened> | undefined;

  constructor(log: string, settings: OtlpSettings & { readonly timeoutMs: number }) {
    this.#log = log;
    this.#settings = settings;
  }

  async deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void> {
    const { exporter, resource } = await (this.#opened ??= this.#open());
    if (signal.aborted) return;
    const { originalLine } = this.#settings;
    const common = { log: this.#log, originalLine, resource, instrumentationScope: SCOPE };
    const records = lines.map((line) => otlpRecord(line, common));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    exporter.export(records, ({ code, error }) => {
      if ((code as number) === EXPORTED) resolve();
      else reject(deliveryError(error));
    });
    await promise;
  }

  async #open(): Promise<Opened> {
    const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-http');
    const { resourceFromAttributes } = await import('@opentelemetry/resources');
    const { url, timeoutMs, resource } = this.#settings;
    const exporter = new OTLPLogExporter({
      url,
      timeoutMillis: timeoutMs,
      compression: GZIP,
      concurrencyLimit: 1,
      headers: headersOf(this.#settings),
      httpAgentOptions: { keepAlive: true, ...readTls(this.#settings) },
    });
    return { exporter, resource: resourceFromAttributes({ ...resource, 'cedar_pdp.log': this.#log }) };
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then(({ exporter }) => exporter.shutdown());
  }
}

/** `ExportResultCode.SUCCESS`. */
const EXPORTED = 0;

/** The error's `data` is the body of the answer: it stays out. */
function deliveryError(error: Error | undefined): DeliveryError {
  const status = error !== undefined && 'code' in error ? Number(error.code) : Number.NaN;
  if (status === 413) return new DeliveryError('too_large', 'the collector answered 413');
  if (status >= 300 && status < 500) return new DeliveryError('refused', `the collector answered ${status}`);
  return new DeliveryError('unavailable', 'the export failed', error && { cause: error });
}
