// `npm run demo`: the sample policies behind a real Envoy. Sends requests of the scenarios 1, 3 and 8, prints what became of
// them, and then holds Envoy's access log against the decision log. Exits 1 where anything is not as it should be.
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import type { AccessLogEntry } from '../test/support/envoy.ts';
import { type Mesh, type MeshRequest, startMesh } from '../test/support/mesh.ts';
import { findEnvoy } from '../test/support/parts.ts';
import { type DecisionRecord, PDP_MAIN } from '../test/support/pdp-process.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** How often the requests are repeated for the latencies under the table. */
const ROUNDS = 20;

/** A request of the demo, with what ought to become of it. */
interface Step {
  readonly what: string;
  readonly who: string;
  readonly expect: number;
  readonly request: MeshRequest;
}

/** A step that was taken. */
interface Outcome {
  readonly step: Step;
  readonly status: number;
  readonly ms: number;
  /** The public words of a deny. */
  readonly detail: string;
}

type Style = Parameters<typeof styleText>[0];

/** Colours only where stdout is a terminal that has them. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout, validateStream: true });
}

function meshSteps({ workloads: { paymentApi, web } }: Mesh): Step[] {
  const entries = { to: 'ledger-api', path: '/internal/entries' } as const;
  const traversal = { to: 'ledger-api', path: '/public/../internal/entries' } as const;
  const forged = [
    ['x-forwarded-client-cert', `URI=${paymentApi.spiffeId}`],
    ['x-user', 'alice'],
    ['x-device-id', 'laptop-1'],
  ] as const;
  const post = { method: 'POST' };
  const who = 'payments/payment-api';
  return [
    { what: 'POST /internal/entries', who, expect: 200, request: { ...entries, ...post, as: paymentApi } },
    { what: 'GET  /internal/entries', who: 'frontend/web', expect: 403, request: { ...entries, as: web } },
    { what: 'GET  /internal/entries', who, expect: 403, request: { ...entries, as: paymentApi } },
    {
      what: 'POST /public/../internal/entries',
      who,
      expect: 400,
      request: { ...traversal, ...post, as: paymentApi },
    },
    {
      what: 'POST /internal/entries',
      who: 'no certificate, forged headers',
      expect: 403,
      request: { ...entries, ...post, to: 'edge', headers: forged },
    },
    {
      what: 'POST /internal/entries',
      who: 'frontend/web, forged headers',
      expect: 403,
      request: { ...entries, ...post, as: web, headers: forged },
    },
  ];
}

async function dashboardSteps(mesh: Mesh): Promise<Step[]> {
  const { dashboardApp, web } = mesh.workloads;
  const what = 'GET  /api/reports/quarterly';
  const report = { to: 'reports-api', path: '/api/reports/quarterly', as: dashboardApp } as const;
  const alice = await mesh.token();
  const withToken = (token: string): MeshRequest => ({ ...report, token });
  return [
    { what, who: 'alice, MFA, laptop-1', expect: 200, request: withToken(alice) },
    { what, who: 'alice, no MFA', expect: 401, request: withToken(await mesh.token({ amr: ['pwd'] })) },
    {
      what,
      who: 'alice, MFA, laptop-2',
      expect: 403,
      request: withToken(await mesh.token({ deviceId: 'laptop-2' })),
    },
    {
      what,
      who: 'alice, token expired',
      expect: 401,
      request: withToken(await mesh.token({ lifetimeS: -120 })),
    },
    { what, who: 'bob (Engineering)', expect: 403, request: withToken(await mesh.token({ sub: 'bob' })) },
    { what, who: 'mallory (revoked)', expect: 403, request: withToken(await mesh.token({ sub: 'mallory' })) },
    { what, who: 'alice, through frontend/web', expect: 403, request: { ...withToken(alice), as: web } },
    { what, who: 'nobody', expect: 401, request: report },
  ];
}

async function take(mesh: Mesh, step: Step): Promise<Outcome> {
  const { status, ms, body } = await mesh.send(step.request);
  const problem = status === 200 ? {} : (JSON.parse(body || '{}') as { detail?: string; title?: string });
  return { step, status, ms, detail: problem.detail ?? problem.title ?? '' };
}

function printTable(outcomes: readonly Outcome[], records: readonly DecisionRecord[]): void {
  const rows = outcomes.map(({ step, status, ms, detail }, index) => {
    const record = records[index];
    const reason = detail === '' ? `${record?.reason}` : `${record?.reason}: ${detail}`;
    const us = record?.latency_us ?? 0;
    return [
      step.what,
      step.who,
      `${status}`,
      `${record?.decision}`,
      ms.toFixed(1),
      `${Math.round(us)}`,
      reason,
    ];
  });
  const head = ['request', 'who', 'HTTP', 'decision', 'client ms', 'PDP µs', 'reason'];
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]?.length ?? title.length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) =>
        at === 4 || at === 5 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
      )
      .join('  ')
      .trimEnd();
  console.log(paint('bold', line(head)));
  for (const row of rows)
    console.log(row[3] === 'ALLOW' ? paint('green', line(row)) : paint('red', line(row)));
}

function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? 0;
}

/** What is not as it should be: statuses, and one record for each request with the id and the decision of Envoy's log. */
function differences(
  outcomes: readonly Outcome[],
  entries: readonly AccessLogEntry[],
  records: readonly DecisionRecord[],
): string[] {
  const wrong = outcomes
    .filter(({ step, status }) => status !== step.expect)
    .map(({ step, status }) => `${step.what} by ${step.who}: ${status} in the place of ${step.expect}`);
  if (entries.length !== outcomes.length)
    wrong.push(`Envoy logged ${entries.length} of ${outcomes.length} requests`);
  if (records.length !== outcomes.length)
    wrong.push(`${records.length} records for ${outcomes.length} requests`);
  for (const [index, { decision_id, decision, response_code }] of entries.entries()) {
    const same = records.filter((record) => record.decision_id === decision_id);
    if (same.length !== 1) wrong.push(`${same.length} records for decision ${decision_id}`);
    if (same[0]?.decision !== decision)
      wrong.push(`${decision_id}: ${decision} at Envoy, ${same[0]?.decision} on record`);
    if (response_code !== outcomes[index]?.status) wrong.push(`${decision_id}: Envoy logged another status`);
  }
  return wrong;
}

/** Has the built `pdp` check the log that it just wrote, and hold it against Envoy's. */
async function verifyLog(auditDir: string, entries: readonly AccessLogEntry[]): Promise<string[]> {
  const accessLog = join(auditDir, '..', 'access.ndjson');
  await writeFile(accessLog, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  const args = ['audit', 'verify', auditDir, '--access-log', accessLog];
  const result = spawnSync(process.execPath, [PDP_MAIN, ...args], { cwd: ROOT, encoding: 'utf8' });
  process.stdout.write(`\n$ pdp ${args.join(' ')}\n${result.stdout}`);
  return result.status === 0 ? [] : [`pdp audit verify ended with ${result.status}: ${result.stderr.trim()}`];
}

async function demo(): Promise<string[]> {
  await using mesh = await startMesh();
  const ready = Math.round(performance.now());
  console.log(
    `Envoy, cedar-pdp and a service behind them are up after ${ready} ms, with mutual TLS between all of them.\n`,
  );
  const steps = [...meshSteps(mesh), ...(await dashboardSteps(mesh))];
  const outcomes: Outcome[] = [];
  for (const step of steps) outcomes.push(await take(mesh, step));
  printTable(outcomes, await mesh.pdp.records(outcomes.length));
  for (let round = 0; round < ROUNDS; round++) {
    for (const step of steps) outcomes.push(await take(mesh, step));
  }
  const entries = await mesh.envoy.accessLog(outcomes.length);
  const records = await mesh.pdp.records(outcomes.length);
  const again = {
    ms: outcomes.slice(steps.length).map(({ ms }) => ms),
    us: records.slice(steps.length).map((r) => r.latency_us ?? 0),
  };
  console.log(
    `\nThe table is a cold start. The same ${ROUNDS} times over, one after the other: the client waits ` +
      `${quantile(again.ms, 0.5).toFixed(1)} ms (p50), ${quantile(again.ms, 0.99).toFixed(1)} ms (p99); of that the PDP takes ` +
      `${Math.round(quantile(again.us, 0.5))} µs (p50), ${Math.round(quantile(again.us, 0.99))} µs (p99).`,
  );
  const code = await mesh.pdp.stop();
  const wrong = differences(outcomes, entries, records);
  if (code !== 0) wrong.push(`the PDP ended with ${code}`);
  wrong.push(...(await verifyLog(mesh.pdp.auditDir, entries)));
  if (wrong.length === 0) {
    const all = `all ${outcomes.length} requests ended as they should, each with exactly one record`;
    console.log(
      `\n${paint('green', 'OK')}: ${all} that bears the decision id and the decision of Envoy's access log.`,
    );
  }
  return wrong;
}

if (findEnvoy() === undefined) {
  console.error("The demo needs Envoy: 'node scripts/parts.mjs' fetches it, or says what is in its way.");
  process.exitCode = 3;
} else {
  const wrong = await demo();
  for (const text of wrong) console.error(paint('red', `NOT OK: ${text}`));
  if (wrong.length > 0) process.exitCode = 1;
}
