import { describe, expect, test } from 'vitest';
import { Receiver } from './receivers.ts';
import { LOG, RunningLog, quickSink } from './running-log.ts';

interface Exported {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeLogs: readonly { readonly logRecords: readonly ExportedRecord[] }[];
  }[];
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

interface ExportedRecord {
  readonly eventName: string;
  readonly severityText: string;
  readonly timeUnixNano: string;
  readonly body?: object;
  readonly attributes: readonly Attribute[];
}

function recordsIn(bodies: readonly string[]): readonly ExportedRecord[] {
  const exported = bodies.map((body) => JSON.parse(body) as Exported);
  return exported.flatMap(({ resourceLogs }) =>
    resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)),
  );
}

const text = ({ attributes }: ExportedRecord, name: string) =>
  attributes.find(({ key }) => key === name)?.value.stringValue;

describe('the decision log over OTLP', () => {
  test('reaches a collector that is down, hangs and refuses in between, each record under its own id', async () => {
    await using collector = new Receiver();
    await collector.start();
    const log = new RunningLog(
      quickSink('otlp', {
        kind: 'otlp',
        url: `http://127.0.0.1:${collector.port}/v1/logs`,
        headers: {},
        headerFiles: [],
        resource: { 'service.name': 'cedar-pdp' },
        originalLine: true,
      }),
    );
    await log.start();
    await log.delivered('otlp', 100);
    await collector.stop();
    await log.written(100);
    await collector.start();
    await log.delivered('otlp', 100);
    await log.kill();
    for (const status of [503, 400, undefined, 413]) {
      collector.answer = () => status;
      await log.start();
      await log.written(50);
      await log.kill();
    }
    collector.answer = () => 200;
    await log.start(0, 60_000);
    expect(await log.stop()).toBe(0);

    const records = recordsIn(collector.taken.map(({ body }) => body));
    const lines = log.lines();
    const byId = new Map(records.map((record) => [text(record, 'log.record.uid'), record]));
    for (const [index, line] of lines.entries()) {
      const record = byId.get(`${LOG}/${index}`);
      if (record === undefined) throw new Error(`${index} is missing`);
      const stub = record.attributes.some(({ key }) => key === 'cedar_pdp.oversized');
      if (!stub) expect(text(record, 'log.record.original')).toBe(line);
      expect(record.body ?? {}).toEqual({});
    }
    expect(records[0]).toMatchObject({ eventName: 'cedar_pdp.boot', severityText: 'INFO' });
    expect(byId.size).toBe(lines.length);
  });
});
