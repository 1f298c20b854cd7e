import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http2 from 'node:http2';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type PdpProcess, readRecords, startPdp } from '../../support/pdp-process.ts';
import { WEB, checkRequestBytes } from '../../support/requests.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { type Abandonment, abandon, sampleConfig } from './load.ts';

const CALLS = 10_000;
const PARALLEL = 50;

let pdp: PdpProcess;

beforeAll(async () => {
  pdp = await startPdp({ config: sampleConfig() });
});
afterAll(() => pdp[Symbol.asyncDispose]());

/** Runs `work` for 0 … CALLS-1, as many at once as `PARALLEL`. */
async function inParallel(work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < CALLS) await work(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

test('every one of 10 000 mixed calls leaves exactly one record', async () => {
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  // Node.js closes a connection that resets more than 1000 streams in a row (CVE-2023-44487).
  const sessions = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const session = http2.connect(`http://127.0.0.1:${pdp.grpcPort}`);
      // What is sent before there is a connection may never be sent.
      await once(session, 'connect');
      return session;
    }),
  );
  const abandonOne = (index: number, when: Abandonment): Promise<void> => {
    const session = sessions[Math.trunc(index / 10) % sessions.length];
    if (!session) throw new Error('no connection');
    return abandon(session, checkRequestBytes(), when);
  };
  const answered: string[] = [];
  const outcomes = { allowed: 0, denied: 0, malformed: 0, cancelled: 0, abandoned: 0 };
  const abandonments: Abandonment[] = [
    'at its headers',
    'before its message',
    'within its message',
    'once sent',
  ];
  const check = async (bytes: Uint8Array, reason: string): Promise<void> => {
    const answer = await client.check(bytes);
    expect(answer.metadata['reason']).toBe(reason);
    answered.push(String(answer.metadata['decision_id']));
  };
  await inParallel(async (index) => {
    const kind = index % 10;
    if (kind < 4) {
      outcomes.allowed += 1;
      await check(checkRequestBytes({ headers: [['x-request-id', `r-${index}`]] }), 'permitted');
    } else if (kind < 6) {
      outcomes.denied += 1;
      await check(checkRequestBytes({ source: WEB, path: `/internal/entries/${index}` }), 'policy_forbids');
    } else if (kind === 6) {
      outcomes.denied += 1;
      await check(checkRequestBytes({ path: '/a/../b' }), 'path_ambiguous');
    } else if (kind === 7) {
      outcomes.malformed += 1;
      await check(Buffer.from(`garbage ${index}`), 'request_malformed');
    } else if (kind === 8) {
      outcomes.cancelled += 1;
      await abandonOne(index, 'a moment later');
    } else {
      outcomes.abandoned += 1;
      await abandonOne(index, abandonments[Math.trunc(index / 40) % abandonments.length] ?? 'once sent');
    }
  });
  const records = await pdp.records(CALLS);
  // Nothing may come after: the last records of abandoned calls are written by the time a later call is answered.
  await check(checkRequestBytes(), 'permitted');
  const all = await eventually('the last record', async () => {
    const found = await readRecords(pdp.auditDir);
    return found.length > CALLS ? found : undefined;
  });
  expect(all).toHaveLength(CALLS + 1);
  expect(new Set(all.map(({ decision_id }) => decision_id)).size).toBe(CALLS + 1);
  expect(records.length).toBeGreaterThanOrEqual(CALLS);
  const byId = new Map(all.map((record) => [record.decision_id, record]));
  for (const id of answered) expect(byId.has(id)).toBe(true);
  const count = (reason: string) => all.filter((record) => record.reason === reason).length;
  expect(count('request_malformed')).toBe(outcomes.malformed);
  expect(count('policy_forbids') + count('path_ambiguous')).toBe(outcomes.denied);
  expect(count('permitted') + count('cancelled')).toBe(
    outcomes.allowed + outcomes.cancelled + outcomes.abandoned + 1,
  );
  expect(count('internal')).toBe(0);
  const metrics = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/metrics`)).text();
  const counted = [...metrics.matchAll(/^pdp_checks_total\{.*\} (\d+)$/gm)].reduce(
    (sum, match) => sum + Number(match[1]),
    0,
  );
  expect(counted).toBe(CALLS + 1);
  expect(metrics).toMatch(/^pdp_checks_in_flight 0$/m);
  for (const session of sessions) session.destroy();
});

test('the log of it is complete', async () => {
  const [line] = (await readFile(join(pdp.auditDir, 'segment-00000000000000000000.ndjson'), 'utf8')).split(
    '\n',
  );
  expect(JSON.parse(line ?? '')).toMatchObject({ index: 0 });
  expect(await pdp.stop()).toBe(0);
  const { verifyLog } = await import('../../../src/audit/verify/verify.ts');
  expect(await verifyLog(pdp.auditDir)).toMatchObject({ completeness: 'ok', problems: [] });
});
