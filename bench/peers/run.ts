// Measures the PDP, Cerbos and OPA on the same two scenarios, each with its decision log on: `npm run bench:peers`.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pinGenerator } from '../load/process.ts';
import { progress } from '../load/progress.ts';
import { describeMachine } from '../load/report.ts';
import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { type Contender, type Timing, answerOf, compare } from '../load/scenario.ts';
import { type PdpProcess, startNoop, startPdp } from '../load/servers.ts';
import { writeFormatted } from '../load/write.ts';
import { type Program, cerbos, opa, opaEnvoy } from './install.ts';
import { type Peer, type PeerScenario, startCerbos, startOpa, startOpaEnvoy } from './peers.ts';
import {
  type PeerComparison,
  type PeerNote,
  type PeersReport,
  comparable,
  peersMarkdown,
  ratiosTo,
} from './report.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const FULL: Timing = { rounds: 3, saturationMs: 3000, latencyMs: 3000, warmUpMs: 3000 };
const QUICK: Timing = { rounds: 1, saturationMs: 800, latencyMs: 1000, warmUpMs: 600 };

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string', default: join(BENCH, '../.parts/peers') },
    /** Absent: `bench/`, but nothing is published of a run that is quick or of some peers. */
    out: { type: 'string' },
  },
});

const KNOWN = [
  { name: 'cerbos', program: cerbos, start: startCerbos },
  { name: 'opa-envoy', program: opaEnvoy, start: startOpaEnvoy },
  { name: 'opa', program: opa, start: startOpa },
] as const;

const DESCRIPTIONS: Readonly<Record<PeerScenario, string>> = {
  mesh: 'One workload calls another: source SPIFFE ID, method, path. The same request again and again.',
  user: 'A user with a JWT, a workload and a device, as far as each can do it. The same request again and again.',
};

interface Running {
  readonly peers: readonly Peer[];
  readonly programs: ReadonlyMap<string, Program>;
}

/** Starts who can be had, and has each show that it allows and denies as it should. */
async function startPeers(
  folder: string,
  maker: RequestMaker,
  stack: AsyncDisposableStack,
): Promise<Running> {
  const [peers, programs]: [Peer[], Map<string, Program>] = [[], new Map()];
  for (const { name, program, start } of KNOWN) {
    if (flags.only !== undefined && !flags.only.split(',').includes(name)) continue;
    const found = program(flags.peers);
    programs.set(name, found);
    if ('missing' in found) {
      progress(`${name} cannot be had: ${found.missing}`);
      continue;
    }
    const peer = stack.use(await start({ program: found.path, folder: join(folder, name), maker }));
    for (const { allow, deny } of Object.values(peer.questions)) {
      await answerOf(peer.server.port, allow, 'allow', peer.readCode);
      await answerOf(peer.server.port, deny, 'deny', peer.readCode);
    }
    peers.push(peer);
  }
  return { peers, programs };
}

async function measureScenario(
  name: PeerScenario,
  pdp: PdpProcess,
  maker: RequestMaker,
  peers: readonly Peer[],
): Promise<PeerComparison> {
  const request = name === 'mesh' ? maker.meshCall() : maker.report('alice');
  await using noop = await startNoop(await answerOf(pdp.port, request, 'allow'));
  const contenders: Contender[] = [
    { name: 'pdp', server: pdp, requestAt: () => request },
    { name: 'no-op', server: noop, requestAt: () => request },
    ...peers.map(({ name: peer, server, readCode, questions }) => {
      const { allow } = questions[name];
      return { name: peer, server, readCode, requestAt: () => allow };
    }),
  ];
  const timing = flags.quick ? QUICK : FULL;
  const { rate, othersBusy, measured } = await compare(contenders, { title: name, timing, progress });
  const results = [...measured].map(([who, found]) => ({ name: who, measured: found }));
  return { name, description: DESCRIPTIONS[name], rate, othersBusy, results };
}

function notes({ peers, programs }: Running): PeerNote[] {
  return [...programs].map(([name, program]) => {
    if ('missing' in program) return { name, program: `could not be had here: ${program.missing}` };
    const logBytes = peers.find((peer) => peer.name === name)?.logBytes() ?? 0;
    return { name, program: `${program.version} (${program.from})`, logBytes };
  });
}

function configuration(): Record<string, string> {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:yaml|rego)$/.test(name) && statSync(join(here, name)).isFile())
    .sort();
  return Object.fromEntries(
    files.map((name) => [`bench/peers/${name}`, readFileSync(join(here, name), 'utf8')]),
  );
}

async function measure(folder: string): Promise<PeersReport> {
  const machine = describeMachine();
  await using stack = new AsyncDisposableStack();
  const maker = requestMaker();
  const running = await startPeers(folder, maker, stack);
  const pdp = stack.use(
    await startPdp({
      folder: join(folder, 'pdp'),
      jwks: maker.jwks,
      users: ['alice'],
      profileDir: undefined,
    }),
  );
  const comparisons: PeerComparison[] = [];
  for (const name of ['mesh', 'user'] as const)
    comparisons.push(await measureScenario(name, pdp, maker, running.peers));
  const timing = flags.quick ? QUICK : FULL;
  return {
    ...machine,
    timing,
    peers: notes(running),
    comparisons,
    configuration: configuration(),
  };
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-peers-'));
try {
  const report = await measure(folder);
  const markdown = peersMarkdown(report);
  const out = flags.out ?? (flags.quick || flags.only !== undefined ? undefined : BENCH);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    await writeFormatted(join(out, 'PEERS.md'), markdown);
    const counted = comparable(report.peers);
    const ratios = report.comparisons.map((comparison) => {
      const toPeers = Object.entries(ratiosTo(comparison)).filter(([name]) => counted.has(name));
      return [comparison.name, Object.fromEntries(toPeers)] as const;
    });
    const figures = { commit: report.commit, ratios: Object.fromEntries(ratios) };
    await writeFormatted(join(out, 'peers.json'), JSON.stringify(figures));
  }
  process.stdout.write(markdown);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
