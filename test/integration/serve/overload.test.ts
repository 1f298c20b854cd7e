import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import type { DecisionRecord } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const TARGET_MS = 5;

/** Keeps the event loop from ever resting: each turn takes more than three times what calls may wait. */
function keepBusy(): () => void {
  let busy = true;
  const turn = () => {
    const end = performance.now() + 4 * TARGET_MS;
    while (performance.now() < end);
    if (busy) setImmediate(turn);
  };
  turn();
  return () => void (busy = false);
}

async function decisionsIn(dir: string): Promise<DecisionRecord[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.ndjson'));
  const texts = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
  const records = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
  return records
    .map((line) => JSON.parse(line) as DecisionRecord & { kind: string })
    .filter(({ kind }) => kind === 'decision');
}

async function metric(app: App, name: string): Promise<number> {
  const page = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
  const line = page.split('\n').find((text) => text.startsWith(name)) ?? '';
  return Number(line.slice(line.lastIndexOf(' ') + 1));
}

test('calls that wait too long are shed with 503 and a record while some are answered, and none is once the loop rests', async () => {
  const overload = { target_ms: TARGET_MS, interval_ms: 20 };
  const folder = await createConfigFolder({ decision: { timeout_ms: 60_000, overload } });
  const app = await startTestApp(folder, {});
  const client = connect(app.addresses.grpc);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await app.stop();
    await folder[Symbol.asyncDispose]();
  });
  const seen: Awaited<ReturnType<typeof client.check>>[] = [];
  const ask = async (count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, () => client.check(checkRequestBytes())));
    seen.push(...answers);
    return answers;
  };
  const reasons = () => seen.map(({ metadata }) => metadata['reason']);
  await ask(1);
  const rest = keepBusy();
  onTestFinished(rest);
  const enough = new AbortController();
  const asking = (async () => {
    while (!enough.signal.aborted) await ask(8);
  })();
  await eventually('one call shed', () => reasons().includes('overloaded') || undefined);
  await eventually('that it is told', async () => (await metric(app, 'pdp_shedding')) === 1 || undefined);
  const before = seen.length;
  await eventually(
    'one call answered in spite of it',
    () =>
      reasons()
        .slice(before)
        .some((reason) => reason !== 'overloaded') || undefined,
  );
  const shed = seen.find(({ metadata }) => metadata['reason'] === 'overloaded');
  expect(shed).toMatchObject({ allowed: false, httpStatus: 503, headers: { 'retry-after': '1' } });
  const ready = await fetch(`http://${app.addresses.ops}/readyz`);
  expect(ready.status).toBe(200);
  enough.abort();
  await asking;
  rest();
  await eventually(
    'a rest after which no call is shed',
    async () => (await ask(1))[0]?.metadata['reason'] !== 'overloaded' || undefined,
  );
  await eventually('the end of it', async () => (await metric(app, 'pdp_shedding')) === 0 || undefined);
  const records = await decisionsIn(folder.auditDir);
  const outcome = (id: unknown, reason: unknown) => `${String(id)} ${String(reason)}`;
  expect(new Set(records.map((record) => outcome(record.decision_id, record.reason)))).toEqual(
    new Set(seen.map(({ metadata }) => outcome(metadata['decision_id'], metadata['reason']))),
  );
  expect(records).toHaveLength(seen.length);
  expect(await metric(app, 'pdp_calls_shed_total{surface="ext_authz"}')).toBe(
    reasons().filter((reason) => reason === 'overloaded').length,
  );
}, 240_000);
