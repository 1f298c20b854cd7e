// A thousand questions in one call of pdp.v1.DecisionService against a thousand calls: `npm run bench:batch`. Server on one core, asking
// process on the other.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, type ClientUnaryCall, credentials } from '@grpc/grpc-js';
import { format, resolveConfig } from 'prettier';
import { loadDecisionServiceTypes } from '../../src/api/protos.ts';
import { describeMachine } from '../load/report.ts';
import { requestMaker } from '../load/requests.ts';
import { pinGenerator } from '../load/process.ts';
import { startPdp } from '../load/servers.ts';

const ITEMS = 1000;
const ROUNDS = 15;
const WARM_UP_ROUNDS = 5;
/** Calls under way at once, where each question has a call of its own. */
const CONCURRENCY = 64;
const OUT = fileURLToPath(new URL('../BATCH.md', import.meta.url));
const SCHEMA = fileURLToPath(new URL('../../policies/schema.cedarschema', import.meta.url));
const SERVICE = '/pdp.v1.DecisionService';

const POLICY = `
@id("bench.readers")
permit (principal is ZeroTrust::User, action == ZeroTrust::Action::"GET", resource is ZeroTrust::Endpoint)
when { resource.path like "/documents/*" && resource.host == "api.example.com" };
`;

const TYPES = loadDecisionServiceTypes();

function question(serial: number): object {
  return {
    subject: { type: 'User', id: `bench/user-${serial % 50}` },
    action: { name: 'GET' },
    resource: {
      type: 'Endpoint',
      id: `api /documents/${serial}`,
      properties: { fields: { host: { stringValue: 'api.example.com' } } },
    },
  };
}

function unary(client: Client, method: string, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const call: ClientUnaryCall = client.makeUnaryRequest(
      `${SERVICE}/${method}`,
      (message: Buffer) => message,
      (message: Buffer) => message,
      bytes,
      { deadline: Date.now() + 30_000 },
      (error, answer) => (error || !answer ? reject(error ?? new Error('empty answer')) : resolve(answer)),
    );
    call.on('error', () => undefined);
  });
}

/** Ms for a thousand questions in one call. */
async function together(client: Client, from: number): Promise<number> {
  const items = Array.from({ length: ITEMS }, (_, n) => question(from + n));
  const { BatchCheckRequest, BatchCheckResponse } = TYPES;
  const bytes = BatchCheckRequest.encode(BatchCheckRequest.fromObject({ items })).finish() as Buffer;
  const started = performance.now();
  const answer = await unary(client, 'BatchCheck', bytes);
  const ms = performance.now() - started;
  const { results } = BatchCheckResponse.toObject(BatchCheckResponse.decode(answer)) as {
    results: readonly { response?: { decision: number } }[];
  };
  if (results.length !== ITEMS || results.some(({ response }) => response?.decision !== 1))
    throw new Error('not every item is permitted');
  return ms;
}

/** Ms for a thousand calls. */
async function oneByOne(client: Client, from: number): Promise<number> {
  const { CheckRequest, CheckResponse } = TYPES;
  const messages = Array.from(
    { length: ITEMS },
    (_, n) => CheckRequest.encode(CheckRequest.fromObject(question(from + n))).finish() as Buffer,
  );
  let next = 0;
  const started = performance.now();
  const lane = async (): Promise<void> => {
    for (let message = messages[next++]; message; message = messages[next++]) {
      const { decision } = CheckResponse.toObject(
        CheckResponse.decode(await unary(client, 'Check', message)),
      );
      if (decision !== 1) throw new Error('a question is not permitted');
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

interface Row {
  readonly name: string;
  readonly together: number;
  readonly oneByOne: number;
}

/** The two in turns, so that whatever else the machine does meets both. */
async function measure(client: Client, name: string, firstOf: (round: number) => number): Promise<Row> {
  const times = { together: [] as number[], oneByOne: [] as number[] };
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    const batch = await together(client, firstOf(2 * round));
    const single = await oneByOne(client, firstOf(2 * round + 1));
    if (round < WARM_UP_ROUNDS) continue;
    times.together.push(batch);
    times.oneByOne.push(single);
  }
  process.stderr.write(`${name}: done\n`);
  return { name, together: median(times.together), oneByOne: median(times.oneByOne) };
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-batch-'));
try {
  const set = join(folder, 'set');
  mkdirSync(set);
  writeFileSync(join(set, 'schema.cedarschema'), readFileSync(SCHEMA));
  writeFileSync(join(set, 'bench.cedar'), POLICY);
  const check = {
    plaintext_callers: { subjects: ['User'], resources: ['Endpoint'], properties: ['resource.host'] },
    batch_timeout_ms: 30_000,
  };
  await using pdp = await startPdp({
    folder: join(folder, 'pdp'),
    jwks: requestMaker().jwks,
    users: [],
    policySet: set,
    more: { check, decision: { timeout_ms: 30_000 } },
  });
  const client = new Client(`127.0.0.1:${pdp.port}`, credentials.createInsecure());
  const rows = [
    await measure(client, 'asked before (decision cache)', () => 0),
    await measure(client, 'never asked before', (turn) => (turn + 1) * ITEMS),
  ];
  client.close();
  const { commit, when, node, cpu, cores } = describeMachine();
  const text = `# A thousand questions in one call, and in a thousand

Generated by \`npm run bench:batch\`; do not edit. Commit ${commit}, ${when}, Node.js ${node}, ${cpu}, ${cores} cores; server on one core, the asking process on the other.
\`pdp.v1.DecisionService\` over plaintext gRPC, decision log \`written\`: every item has its record either way. Median of ${ROUNDS} rounds, in turns; ${CONCURRENCY} calls under way
at once where each question has its own.

| | one call of ${ITEMS} | ${ITEMS} calls | ratio |
|---|---:|---:|---:|
${rows.map((row) => `| ${row.name} | ${row.together.toFixed(1)} ms | ${row.oneByOne.toFixed(1)} ms | ${(row.oneByOne / row.together).toFixed(1)} |`).join('\n')}
`;
  writeFileSync(OUT, await format(text, { ...(await resolveConfig(OUT)), parser: 'markdown' }));
  process.stdout.write(text);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
