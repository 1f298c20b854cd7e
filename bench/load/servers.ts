import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { AUDIENCE, ISSUER, ISSUER_NAME } from './requests.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_MS = 15_000;
/** Those of `bin/pdp`. */
const FLAGS = readFileSync(join(ROOT, 'bin/pdp'), 'utf8').match(/--max-[\w-]+=\d+/g) ?? [];

/** A server under load, in a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  readonly port: number;
  /** CPU time it used so far, in ms; 0 where the system does not say. */
  cpuMs(): number;
}

/** Whether processes can be pinned to a core here. */
export const canPin = process.platform === 'linux' && spawnSync('taskset', ['-V']).status === 0;

/** Keeps the generator away from the servers' core. */
export function pinGenerator(): void {
  if (canPin) spawnSync('taskset', ['-a', '-p', '-c', '1', String(process.pid)]);
}

/**
 * Puts the generator before whatever else shares its core, so that it measures the server and not its own waiting. `false` where the
 * system does not let us.
 */
export function hurryGenerator(): boolean {
  return (
    process.platform === 'linux' &&
    spawnSync('chrt', ['-a', '-R', '-r', '-p', '1', String(process.pid)]).status === 0
  );
}

/** CPU time that the machine spent on anything so far, in ms (proc(5), `/proc/stat`); 0 where the system does not say. */
export function machineBusyMs(): number {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
    const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line.split(' ').map(Number);
    return (user + nice + system + irq + softIrq + steal) * 10;
  } catch {
    return 0;
  }
}

/** Starts the no-op server with its answer. */
export async function startNoop(answer: Buffer): Promise<ServerProcess> {
  const script = fileURLToPath(new URL('noop-server.ts', import.meta.url));
  const child = spawnPinned([script, '0', answer.toString('hex')], 'inherit');
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const port = /^listening on (\d+)$/.exec(line)?.[1];
    if (port !== undefined) return serverProcess(child, Number(port));
  }
  throw new Error('the no-op server ended before it listened');
}

/** What the PDP under load is given. */
export interface PdpSettings {
  /** A folder for its files and its decision log. */
  readonly folder: string;
  readonly jwks: object;
  /** Users that the directory knows as members of Finance. */
  readonly users: readonly string[];
  /** A policy set to serve in place of the samples. */
  readonly policySet?: string;
  /** The cores that it may use, as `taskset` takes them; default the one. */
  readonly cores?: string;
  /** Added to the configuration, by top-level key. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** Folder for a CPU profile of the PDP; measuring costs time, so the numbers of such a run are not for publishing. */
  readonly profileDir?: string | undefined;
}

/** Starts the built PDP with the shipped finance policies, the decision log on, and waits until it is ready. */
export async function startPdp({
  folder,
  jwks,
  users,
  profileDir,
  policySet,
  cores,
  more,
}: PdpSettings): Promise<ServerProcess> {
  const [port, opsPort] = [await freePort(), await freePort()];
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(jwks));
  const facts = users.map((user) => [`${ISSUER_NAME}/${user}`, { groups: ['Finance'], revoked: false }]);
  writeFileSync(join(folder, 'directory.json'), JSON.stringify(Object.fromEntries(facts)));
  writeFileSync(
    join(folder, 'pdp.yaml'),
    stringify({ ...pdpConfig(folder, port, opsPort, policySet), ...more }),
  );
  const main = join(ROOT, 'dist/main.js');
  const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
  const child = spawnPinned(
    [...profile, ...FLAGS, main, 'serve', '--config', join(folder, 'pdp.yaml')],
    'pipe',
    cores,
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => void (output = (output + text).slice(-4000)));
  }
  await untilReady(child, opsPort).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw new Error(`${String(error)}\n${output}`, { cause: error });
  });
  return serverProcess(child, port);
}

export function pdpConfig(folder: string, port: number, opsPort: number, policySet?: string): object {
  const finance = join(ROOT, 'policies/finance-dashboard');
  return {
    grpc: { address: `127.0.0.1:${port}`, plaintext: true },
    ops: { address: `127.0.0.1:${opsPort}` },
    policies: {
      sets: policySet === undefined ? [join(ROOT, 'policies/mesh-call'), finance] : [policySet],
      reload_ms: 500,
    },
    issuers: [
      {
        name: ISSUER_NAME,
        issuer: ISSUER,
        audiences: [AUDIENCE],
        algorithms: ['ES256'],
        types: ['at+jwt'],
        jwks: { file: join(folder, 'jwks.json') },
        claims: {
          device_id: 'device_id',
          device_issuer: 'demo',
          attributes: { amr: { claim: 'amr', type: 'string_set' } },
        },
      },
    ],
    pips: [
      {
        name: 'directory',
        kind: 'static_file',
        subject: 'user',
        gives: ['groups', 'revoked'],
        file: join(folder, 'directory.json'),
      },
      {
        name: 'devices',
        kind: 'static_file',
        subject: 'device',
        gives: ['managed', 'compliant', 'disk_encrypted', 'screen_lock', 'firewall', 'risk', 'os'],
        file: join(finance, 'facts/devices.json'),
      },
    ],
    audit: { dir: join(folder, 'audit'), log: 'bench', durability: 'written' },
    telemetry: { log_level: 'warn' },
  };
}

function spawnPinned(args: readonly string[], stderr: 'inherit' | 'pipe', cores = '0'): ChildProcess {
  const [command, ...rest] = canPin
    ? ['taskset', '-c', cores, process.execPath, ...args]
    : [process.execPath, ...args];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PDP_')));
  return spawn(command ?? process.execPath, rest, { cwd: ROOT, env, stdio: ['ignore', 'pipe', stderr] });
}

function serverProcess(child: ChildProcess, port: number): ServerProcess {
  return {
    port,
    cpuMs: () => cpuMsOf(child.pid),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const watchdog = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(watchdog);
    },
  };
}

/** proc(5): `utime` and `stime` are fields 14 and 15 of `stat`, in ticks of 10 ms. */
function cpuMsOf(pid: number | undefined): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}

async function untilReady(child: ChildProcess, opsPort: number): Promise<void> {
  const end = Date.now() + READY_MS;
  while (Date.now() < end) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error('the PDP ended before it was ready');
    const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the PDP was not ready within ${READY_MS} ms`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
