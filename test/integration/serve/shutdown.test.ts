import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type PdpProcess, readRecords, startPdp } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from './load.ts';

async function lastLine(auditDir: string): Promise<unknown> {
  const segments = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson')).toSorted();
  const text = await readFile(join(auditDir, segments.at(-1) ?? ''), 'utf8');
  return JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');
}

/** Checks one after the other in `lanes` lanes until the server is gone; what came of them. */
async function steadyLoad(pdp: PdpProcess, lanes: number) {
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const result = { answered: 0, wrong: [] as unknown[], failures: [] as string[] };
  const lane = async (): Promise<void> => {
    for (;;) {
      try {
        const answer = await client.check(checkRequestBytes(), { deadlineMs: 5000 });
        result.answered += 1;
        if (!answer.allowed) result.wrong.push(answer);
      } catch (error) {
        result.failures.push((error as Error).message);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return result;
}

test('SIGTERM under load loses no call: every check that was taken on is answered right, and recorded', async () => {
  await using pdp = await startPdp({ config: sampleConfig({ shutdown: { lag_ms: 1000 } }) });
  const load = steadyLoad(pdp, 20);
  await pdp.records(200);
  const stopping = pdp.stop();
  // Readiness falls first, while checks are still answered.
  await eventually(
    'readiness has fallen',
    async () => {
      const status = await fetch(`http://127.0.0.1:${pdp.opsPort}/readyz`).then(
        (answer) => answer.status,
        () => undefined,
      );
      return status === 503 ? true : undefined;
    },
    2000,
  );
  const atFall = (await readRecords(pdp.auditDir)).length;
  const [code, { answered, wrong, failures }] = await Promise.all([stopping, load]);
  expect(code).toBe(0);
  expect(wrong).toEqual([]);
  const records = await readRecords(pdp.auditDir);
  expect(records.length).toBeGreaterThan(atFall);
  // Each failure is a call that was never taken on: none has a record.
  expect(records).toHaveLength(answered);
  for (const failure of failures) expect(failure).toMatch(/UNAVAILABLE/);
  expect(await lastLine(pdp.auditDir)).toMatchObject({ kind: 'shutdown' });
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends an idle process with 0 and a shutdown record',
  async (signal) => {
    await using pdp = await startPdp({ config: sampleConfig() });
    pdp.signal(signal);
    expect(await pdp.stop()).toBe(0);
    expect(await lastLine(pdp.auditDir)).toMatchObject({ kind: 'shutdown' });
    expect(pdp.output()).toContain('stopped');
  },
);

test('a client that holds its connection open does not hold the process up', async () => {
  await using pdp = await startPdp({ config: sampleConfig({ shutdown: { grace_ms: 300 } }) });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  const started = performance.now();
  expect(await pdp.stop()).toBe(0);
  expect(performance.now() - started).toBeLessThan(5000);
});
