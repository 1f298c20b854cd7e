import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type ServerProcess, freePort, serverProcess, spawnPinned } from './process.ts';
import { AUDIENCE, ISSUER, ISSUER_NAME } from './requests.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FINANCE = join(ROOT, 'policies/finance-dashboard');
const HEALTHY = {
  managed: true,
  compliant: true,
  disk_encrypted: true,
  screen_lock: true,
  firewall: true,
  risk: 'low',
  os: { family: 'linux', version: '6.12', patched: true },
};
const READY_MS = 60_000;
/** Those of `bin/pdp`. */
const FLAGS = readFileSync(join(ROOT, 'bin/pdp'), 'utf8').match(/(?<= )--[\w-]+(?:=\d+)?(?= )/g) ?? [];

/** Starts the no-op server with its answer, and the flags that the PDP has. */
export async function startNoop(answer: Buffer): Promise<ServerProcess> {
  const script = fileURLToPath(new URL('noop-server.ts', import.meta.url));
  const child = spawnPinned(
    process.execPath,
    [...FLAGS, script, '0', answer.toString('hex')],
    ['pipe', 'inherit'],
  );
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const port = /^listening on (\d+)$/.exec(line)?.[1];
    if (port !== undefined) return serverProcess(child, Number(port));
  }
  throw new Error('the no-op server ended before it listened');
}

/** What an answer waits for (`audit.durability`). */
export type Durability = 'async' | 'written' | 'synced';

/** What the PDP under load is given. */
export interface PdpSettings {
  /** A folder for its files and its decision log. */
  readonly folder: string;
  readonly jwks: object;
  /** Users that the directory knows as members of Finance. */
  readonly users: readonly string[];
  /** Devices known besides the samples', each healthy. */
  readonly devices?: readonly string[];
  /** Default `written`. */
  readonly durability?: Durability;
  /** A policy set to serve in place of the samples. */
  readonly policySet?: string;
  /** The cores that it may use, as `taskset` takes them; default the one. */
  readonly cores?: string;
  /** Added to the configuration, by top-level key. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** Whether Cedar evaluates each question, however like another one; default no. */
  readonly evaluates?: boolean | undefined;
  /** Folder for a CPU profile of the PDP; measuring costs time, so the numbers of such a run are not for publishing. */
  readonly profileDir?: string | undefined;
}

/** A PDP under load. */
export interface PdpProcess extends ServerProcess {
  /** From its start to `/readyz` 200. */
  readonly readyMs: number;
  /** `/metrics`, as Prometheus reads it. */
  metrics(): Promise<string>;
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
  evaluates,
  devices = [],
  durability = 'written',
}: PdpSettings): Promise<PdpProcess> {
  const [port, opsPort] = [await freePort(), await freePort()];
  writeFacts({ folder, jwks, users, devices });
  const config = pdpConfig(folder, port, opsPort, policySet, evaluates);
  const audit = { dir: join(folder, 'audit'), log: 'bench', durability };
  writeFileSync(join(folder, 'pdp.yaml'), stringify({ ...config, audit, ...more }));
  const main = join(ROOT, 'dist/main.js');
  const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
  const started = performance.now();
  const child = spawnPinned(
    process.execPath,
    [...profile, ...FLAGS, main, 'serve', '--config', join(folder, 'pdp.yaml')],
    ['pipe', 'pipe'],
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
  return {
    ...serverProcess(child, port),
    readyMs: performance.now() - started,
    metrics: async () => (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text(),
  };
}

/** Writes what `pdpConfig` reads beside policies: keys, users and devices. */
export function writeFacts(settings: Pick<PdpSettings, 'folder' | 'jwks' | 'users' | 'devices'>): void {
  const { folder, jwks, users, devices = [] } = settings;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(jwks));
  const facts = users.map((user) => [`${ISSUER_NAME}/${user}`, { groups: ['Finance'], revoked: false }]);
  writeFileSync(join(folder, 'directory.json'), JSON.stringify(Object.fromEntries(facts)));
  const samples: unknown = JSON.parse(readFileSync(join(FINANCE, 'facts/devices.json'), 'utf8'));
  const known = Object.fromEntries(devices.map((id) => [`demo/${id}`, HEALTHY]));
  writeFileSync(join(folder, 'devices.json'), JSON.stringify(Object.assign(known, samples)));
}

/** The configuration of a PDP under load, without its decision log. `evaluates`: Cedar evaluates each question, however like another one. */
export function pdpConfig(
  folder: string,
  port: number,
  opsPort: number,
  policySet?: string,
  evaluates = false,
): object {
  return {
    grpc: { address: `127.0.0.1:${port}`, plaintext: true },
    ops: { address: `127.0.0.1:${opsPort}` },
    policies: {
      sets: policySet === undefined ? [join(ROOT, 'policies/mesh-call'), FINANCE] : [policySet],
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
        file: join(folder, 'devices.json'),
      },
    ],
    decision: {
      // Who sheds does less than he can: how much that is, is what is measured.
      overload: { target_ms: 0 },
      ...(evaluates && { cache: { max_age_ms: 0 } }),
    },
    telemetry: { log_level: 'warn' },
  };
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
