import type { Attributes, HrTime, SpanContext } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import type { LogLine } from './sink.ts';

/** What all records have in common. */
export interface OtlpCommon extends Pick<ReadableLogRecord, 'resource' | 'instrumentationScope'> {
  readonly log: string;
  readonly originalLine: boolean;
}

const INFO = { severityNumber: 9, severityText: 'INFO' } as const;
const WARN = { severityNumber: 13, severityText: 'WARN' } as const;
const ERROR = { severityNumber: 17, severityText: 'ERROR' } as const;

/** Members that have a place of their own in a log record. */
const PLACED = new Set(['v', 'kind', 'timestamp', 'trace_id', 'span_id']);

/**
 * A line as an OpenTelemetry event: the event name says the kind, attributes say the rest, and there is no body (semantic conventions,
 * general/events). `log.record.uid` is the same whenever the line is sent.
 */
export function otlpRecord({ index, bytes }: LogLine, common: OtlpCommon): ReadableLogRecord {
  const { log, originalLine, resource, instrumentationScope } = common;
  const record = parseRecord(bytes) ?? {};
  const time = hrTime(record);
  return {
    hrTime: time,
    hrTimeObserved: time,
    ...spanOf(record),
    ...severityOf(record),
    eventName: `cedar_pdp.${kindOf(record)}`,
    resource,
    instrumentationScope,
    attributes: {
      ...attributesOf(record),
      'log.record.uid': `${log}/${index}`,
      ...(originalLine && { 'log.record.original': bytes.toString() }),
    },
    droppedAttributesCount: 0,
  };
}

function kindOf({ kind }: LogRecord): string {
  return typeof kind === 'string' ? kind : 'unreadable';
}

function hrTime({ timestamp }: LogRecord): HrTime {
  const ms = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isFinite(ms) ? [Math.floor(ms / 1000), (ms % 1000) * 1e6] : [0, 0];
}

function spanOf({ trace_id: traceId, span_id: spanId }: LogRecord): { readonly spanContext?: SpanContext } {
  if (typeof traceId !== 'string' || typeof spanId !== 'string') return {};
  return { spanContext: { traceId, spanId, traceFlags: 1 } };
}

/** Records that say that something was lost, or was not as it should be. */
const ALARMING = new Set(['gap', 'recovered']);

function severityOf({ kind, decision, oversized }: LogRecord) {
  if (oversized === true || (typeof kind === 'string' && ALARMING.has(kind))) return ERROR;
  return kind === 'decision' && decision !== 'ALLOW' ? WARN : INFO;
}

function attributesOf(record: LogRecord): Attributes {
  const attributes: Attributes = {};
  for (const [name, value] of Object.entries(record))
    if (!PLACED.has(name)) add(attributes, `cedar_pdp.${name}`, value, 0);
  return attributes;
}

/** Members of objects by dotted names, three deep; what attributes cannot say is JSON text. */
function add(attributes: Attributes, name: string, value: unknown, depth: number): void {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    attributes[name] = value;
  else if (Array.isArray(value) && value.every((item) => typeof item === 'string')) attributes[name] = value;
  else if (typeof value !== 'object' || value === null || Array.isArray(value) || depth === 3)
    attributes[name] = JSON.stringify(value);
  else
    for (const [member, inner] of Object.entries(value))
      add(attributes, `${name}.${member}`, inner, depth + 1);
}
