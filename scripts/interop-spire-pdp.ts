import { type ChildProcess, spawn } from 'node:child_process';
import { constants, copyFile, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { freePort } from '../test/support/free-port.ts';
import { PDP_MAIN } from '../test/support/pdp-process.ts';
import { stopProcess } from '../test/support/stop-process.ts';
import { TRUST_DOMAIN } from './interop-spire-parts.ts';

/** SPIFFE ID that `pdp serve` is registered with. */
export const SERVED = `spiffe://${TRUST_DOMAIN}/ns/pdp/sa/served`;
/** SPIFFE ID of the one caller on its list. */
export const PEP = `spiffe://${TRUST_DOMAIN}/ns/mesh/sa/pep`;

const POLICIES = fileURLToPath(new URL('../policies/mesh-call', import.meta.url));

/** What `/readyz` says. */
export interface Readyz {
  readonly status: number;
  readonly problems: readonly string[];
}

/** A `pdp serve` of the built program, which has its identity from the agent and nothing else. */
export interface ServedPdp extends AsyncDisposable {
  /** Selectors by which SPIRE tells it from this process, and this process from it: each has a runtime of its own. */
  readonly selectors: { readonly served: string; readonly pep: string };
  readonly grpcPort: number;
  start(): void;
  /** `undefined` while nobody answers. Throws with its output once it has ended. */
  readyz(): Promise<Readyz | undefined>;
  /** One value of its metrics; `name` is a pattern for name and labels. NaN where there is none. */
  metric(name: string): Promise<number>;
  /** What it wrote so far. */
  output(): string;
}

/** Prepares it: a configuration, and a copy of the runtime, so that its path is its own. It is not started yet. */
export async function prepareServedPdp(endpoint: string): Promise<ServedPdp> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'pdp-spire-served-')));
  const runtime = join(folder, 'node');
  const [grpcPort, opsPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const configFile = join(folder, 'pdp.yaml');
  await copyFile(process.execPath, runtime, constants.COPYFILE_FICLONE);
  await writeFile(configFile, stringify(configOf(endpoint, folder, grpcPort, opsPort, httpPort)));
  let child: ChildProcess | undefined;
  let text = '';
  const add = (chunk: string): void => void (text = `${text}${chunk}`.slice(-100_000));
  const ask = (path: string): Promise<Response | undefined> => {
    if (typeof child?.exitCode === 'number')
      throw new Error(`pdp serve ended with ${child.exitCode}: ${text.slice(-2000)}`);
    return fetch(`http://127.0.0.1:${opsPort}${path}`).catch(() => undefined);
  };
  return {
    selectors: { served: `unix:path:${runtime}`, pep: `unix:path:${await realpath(process.execPath)}` },
    grpcPort,
    start() {
      child = spawn(runtime, [PDP_MAIN, 'serve', '--config', configFile], { env: ownEnv() });
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', add);
    },
    async readyz() {
      const answer = await ask('/readyz');
      if (!answer) return undefined;
      const { problems = [] } = (await answer.json()) as Partial<Readyz>;
      return { status: answer.status, problems };
    },
    async metric(name) {
      const answer = await ask('/metrics');
      return Number(new RegExp(`^${name} (.*)$`, 'm').exec((await answer?.text()) ?? '')?.[1]);
    },
    output: () => text,
    async [Symbol.asyncDispose]() {
      if (child) await stopProcess(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The environment without anything that would configure it beside its file. */
function ownEnv(): NodeJS.ProcessEnv {
  const isOurs = ([name]: readonly [string, unknown]): boolean => !/^(?:PDP|SPIFFE)_/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(isOurs));
}

function configOf(endpoint: string, folder: string, grpc: number, ops: number, http: number): object {
  return {
    spiffe: { source: 'workload_api', endpoint },
    grpc: { address: `127.0.0.1:${grpc}`, allow: [PEP] },
    ops: { address: `127.0.0.1:${ops}` },
    http: { address: `127.0.0.1:${http}` },
    policies: { sets: [POLICIES] },
    // The steps are about identity, on a machine that does other things too: not about a deadline.
    decision: { timeout_ms: 4000 },
    audit: { dir: join(folder, 'audit') },
  };
}
