import { resourceFromAttributes } from '@opentelemetry/resources';
import { describe, expect, test } from 'vitest';
import { otlpRecord } from '../../../../src/audit/sinks/otlp-record.ts';

const common = {
  log: 'example.com/log',
  originalLine: false,
  resource: resourceFromAttributes({}),
  instrumentationScope: { name: 'cedar-pdp' },
};

function recordOf(value: unknown, originalLine = false) {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return otlpRecord({ index: 7, bytes }, { ...common, originalLine });
}

const DECISION = {
  v: 1,
  kind: 'decision',
  log: 'example.com/log',
  index: 7,
  decision_id: 'd',
  timestamp: '2026-01-02T03:04:05.678Z',
  decision: 'ALLOW',
  policies: ['a', 'b'],
  source_identity: { spiffe_id: 'spiffe://a/b' },
  context: { a: { b: { c: { d: 1 } } }, list: [1, 'x'] },
  mtls: true,
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  span_id: 'b7ad6b7169203331',
  latency_us: 12,
};

describe('a record as an OpenTelemetry event', () => {
  test('has a name, a time, a severity, its members as attributes, and no body', () => {
    const record = recordOf(DECISION);
    expect(record).toMatchObject({
      eventName: 'cedar_pdp.decision',
      severityText: 'INFO',
      hrTime: [1767323045, 678_000_000],
      spanContext: { traceId: DECISION.trace_id, spanId: DECISION.span_id },
    });
    expect(record.body).toBeUndefined();
    expect(record.attributes).toEqual({
      'log.record.uid': 'example.com/log/7',
      'cedar_pdp.log': 'example.com/log',
      'cedar_pdp.index': 7,
      'cedar_pdp.decision_id': 'd',
      'cedar_pdp.decision': 'ALLOW',
      'cedar_pdp.policies': ['a', 'b'],
      'cedar_pdp.source_identity.spiffe_id': 'spiffe://a/b',
      'cedar_pdp.context.a.b.c': '{"d":1}',
      'cedar_pdp.context.list': '[1,"x"]',
      'cedar_pdp.mtls': true,
      'cedar_pdp.latency_us': 12,
    });
  });

  test('carries the exact line where that is wanted', () => {
    expect(recordOf(DECISION, true).attributes['log.record.original']).toBe(JSON.stringify(DECISION));
  });

  test.each([
    [{ kind: 'decision', decision: 'DENY' }, 'WARN'],
    [{ kind: 'gap' }, 'ERROR'],
    [{ kind: 'recovered' }, 'ERROR'],
    [{ kind: 'decision', decision: 'ALLOW', oversized: true }, 'ERROR'],
    [{ kind: 'boot' }, 'INFO'],
  ])('%j is %s', (record, severity) => {
    expect(recordOf(record).severityText).toBe(severity);
  });

  test('is one whatever the line says', () => {
    for (const line of ['', 'no JSON', '[]', '{"timestamp":7,"kind":{}}', '{"trace_id":1}'])
      expect(recordOf(line)).toMatchObject({
        hrTime: [0, 0],
        attributes: { 'log.record.uid': 'example.com/log/7' },
      });
  });
});
