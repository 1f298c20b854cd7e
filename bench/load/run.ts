// Measures the built PDP beside a no-op grpc-js server that is given the very same bytes: `npm run bench`.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { H2Connection, type RequestFrames } from './h2-connection.ts';
import { closedLoop } from './load.ts';
import { htmlReport } from './report-html.ts';
import { type Report, describeMachine, markdownReport } from './report.ts';
import { type RequestMaker, requestMaker } from './requests.ts';
import { type Scenario, type Timing, runScenario } from './scenario.ts';
import { type ServerProcess, pinGenerator, startNoop, startPdp } from './servers.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const FULL: Timing = { rounds: 3, saturationMs: 2000, latencyMs: 2500, warmUpMs: 2000 };
const QUICK: Timing = { rounds: 1, saturationMs: 800, latencyMs: 1000, warmUpMs: 600 };
/** More than a machine of today can ask for in one run; each is used once. */
const COLD_USERS = { full: 60_000, quick: 10_000 };

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    scenario: { type: 'string' },
    profile: { type: 'string' },
    out: { type: 'string', default: BENCH },
  },
});

const progress = (text: string) =>
  void process.stderr.write(`[${(performance.now() / 1000).toFixed(1)} s] ${text}\n`);

/** The same request again and again. */
function repeated(name: string, description: string, request: RequestFrames): Scenario {
  return { name, description, requestsFor: () => () => request };
}

const HOT =
  'A user with a token, a workload and a device, the same request again and again; every answer is recorded.';
const MESH =
  'One workload calls another, without a user; the same request again and again; every answer is recorded.';

function coldScenario(requests: readonly RequestFrames[]): Scenario {
  return {
    name: 'cold',
    description:
      'Each request has a user and a token never seen before: signature check, facts from memory, Cedar, record.',
    requestsFor: (server) => {
      let next = 0;
      return () => {
        if (next === requests.length && server === 'pdp')
          progress('cold: out of new users, the rest are not cold any more');
        const request = requests[next++ % requests.length];
        if (request === undefined) throw new TypeError('the cold scenario has no requests');
        return request;
      };
    },
  };
}

function scenarios(maker: RequestMaker, users: readonly string[]): Scenario[] {
  const wanted = (name: string) => flags.scenario === undefined || flags.scenario === name;
  const made: Scenario[] = [];
  if (wanted('hot')) made.push(repeated('hot', HOT, maker.report('alice')));
  if (wanted('mesh')) made.push(repeated('mesh', MESH, maker.meshCall()));
  if (wanted('cold')) {
    progress(`cold: signing ${users.length} tokens`);
    made.push(coldScenario(users.map((user) => maker.report(user))));
  }
  if (made.length === 0) throw new Error(`no scenario '${flags.scenario}': there are hot, mesh and cold`);
  return made;
}

/** The PDP's own answer to the hot request: what the no-op server will send. */
async function answerOf(pdp: ServerProcess, request: RequestFrames): Promise<Buffer> {
  using connection = await H2Connection.connect(pdp.port);
  const options = { connections: [connection], requestAt: () => request, measureMs: 50, warmUpMs: 0 };
  const { allowed, denied, failed } = await closedLoop(options, 1);
  if (allowed === 0)
    throw new Error(`the PDP does not allow the request: ${denied} denied, ${failed} failed`);
  return Buffer.from(connection.lastMessage);
}

async function measure(folder: string): Promise<Report> {
  const machine = describeMachine();
  await using stack = new AsyncDisposableStack();
  const maker = requestMaker();
  const count = flags.quick ? COLD_USERS.quick : COLD_USERS.full;
  const users = Array.from({ length: count }, (_, i) => `u${i}`);
  const all = scenarios(maker, users);
  const pdp = stack.use(
    await startPdp({ folder, jwks: maker.jwks, users: ['alice', ...users], profileDir: flags.profile }),
  );
  const answer = await answerOf(pdp, maker.report('alice'));
  const noop = stack.use(await startNoop(answer));
  const timing = flags.quick ? QUICK : FULL;
  const results = [];
  for (const scenario of all) results.push(await runScenario(scenario, { noop, pdp }, timing, progress));
  return { ...machine, timing, answerBytes: answer.length, scenarios: results };
}

/** Formatted as the repository's check wants every file to be. */
async function writeFormatted(name: string, text: string): Promise<void> {
  const path = join(flags.out, name);
  const settings = await resolveConfig(fileURLToPath(import.meta.url));
  writeFileSync(path, await format(text, { ...settings, filepath: path }));
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-'));
try {
  mkdirSync(flags.out, { recursive: true });
  const report = await measure(folder);
  await writeFormatted('results.json', JSON.stringify(report));
  await writeFormatted('RESULTS.md', markdownReport(report));
  await writeFormatted('results.html', htmlReport(report));
  process.stdout.write(markdownReport(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
