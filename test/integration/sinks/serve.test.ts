import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { Receiver } from './receivers.ts';

describe('the serving process with sinks', () => {
  test('delivers everything, its last words included, and tells how its sinks stand', async () => {
    await using receiver = new Receiver();
    await receiver.start();
    const url = `http://127.0.0.1:${receiver.port}/`;
    await using folder = await createConfigFolder();
    const audit = {
      dir: folder.auditDir,
      sinks: [
        { name: 'siem', kind: 'http', url, max_wait_ms: 10 },
        { name: 'dead', kind: 'http', url: 'http://127.0.0.1:9/', max_wait_ms: 10 },
      ],
      sinks_drain_ms: 300,
    };
    await using configured = await createConfigFolder({ audit });
    const app = await startTestApp(configured);
    const metrics = async () => await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
    const text = await eventually('one has delivered, the other failed', async () => {
      const now = await metrics();
      return /sink_delivered_total\{sink="siem"\} [1-9]/.test(now) &&
        /sink_failures_total\{sink="dead"\} [1-9]/.test(now)
        ? now
        : undefined;
    });
    expect(text).toMatch(/pdp_audit_sink_lag_records\{sink="dead"\} [1-9]/);
    expect(text).toContain('pdp_audit_sink_lost_total{sink="siem"} 0');
    expect(text).toContain('pdp_audit_sink_oversized_total{sink="siem"} 0');
    await app.stop();
    const log = readdirSync(folder.auditDir).filter((name) => name.endsWith('.ndjson'));
    const lines = log.map((name) => readFileSync(join(folder.auditDir, name), 'utf8')).join('');
    expect(receiver.taken.map(({ body }) => body).join('')).toBe(lines);
    expect(lines).toContain('"kind":"shutdown"');
  });
});
