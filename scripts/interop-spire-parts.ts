import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../test/support/eventually.ts';
import { freePort } from '../test/support/free-port.ts';
import { stopProcess } from '../test/support/stop-process.ts';

/** The SPIRE that is built, by version and by the hash of its module in the Go checksum database. */
export const SPIRE = {
  module: 'github.com/spiffe/spire',
  version: 'v1.13.3',
  sum: 'h1:wDTK8tj8ShO5izjue/OFanVaehmjUxSxHtSWxBY+FJQ=',
} as const;

/** Trust domain of the SPIRE server. */
export const TRUST_DOMAIN = 'interop.test';

const FOLDER = fileURLToPath(new URL(`../.parts/spire-${SPIRE.version}`, import.meta.url));
const AGENT_ID = `spiffe://${TRUST_DOMAIN}/agent`;

/** SPIRE cannot be had here: what to tell, in words. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** Where the programs are; builds them with Go where they are not there yet. Throws `Unavailable` where that cannot be done. */
export function provideSpire(say: (text: string) => void): {
  readonly server: string;
  readonly agent: string;
} {
  const programs = { server: join(FOLDER, 'spire-server'), agent: join(FOLDER, 'spire-agent') };
  if (existsSync(programs.server) && existsSync(programs.agent)) return programs;
  if (spawnSync('go', ['version']).status !== 0)
    throw new Unavailable(
      'Go is not on PATH, and SPIRE is built with it: install Go 1.25 or newer and a C compiler',
    );
  say(`fetching ${SPIRE.module} ${SPIRE.version} …`);
  const fetched = go(['mod', 'download', '-json', `${SPIRE.module}@${SPIRE.version}`]);
  const { Dir: folder, Sum: sum } = JSON.parse(fetched) as { readonly Dir: string; readonly Sum: string };
  if (sum !== SPIRE.sum)
    throw new Unavailable(`the module has the hash ${sum}, which is not the pinned ${SPIRE.sum}`);
  say('building spire-server and spire-agent; this takes minutes …');
  mkdirSync(FOLDER, { recursive: true });
  // Within the module's own folder, so that its own go.sum fixes what it is built from.
  const commands = ['./cmd/spire-server', './cmd/spire-agent'];
  go(['build', '-C', folder, '-trimpath', '-ldflags=-s -w', '-o', `${FOLDER}/`, ...commands]);
  return programs;
}

function go(args: readonly string[]): string {
  // The server's datastore is SQLite, which is C.
  const env = { ...process.env, CGO_ENABLED: '1' };
  const options = { encoding: 'utf8', env, maxBuffer: 1024 * 1024 * 64, timeout: 3_600_000 } as const;
  const { status, stdout, stderr, error } = spawnSync('go', args, options);
  if (status === 0) return stdout;
  throw new Unavailable(
    `go ${args[0]} failed: ${error?.message ?? stderr.trim().split('\n').slice(-3).join(' | ')}`,
  );
}

/** A SPIRE server and agent that run. */
export interface Spire extends AsyncDisposable {
  /** Address of the agent's Workload API. */
  readonly endpoint: string;
  /** The server's bundle endpoint (profile https_spiffe). */
  readonly bundleEndpoint: { readonly url: string; readonly spiffeId: string };
  readonly agentId: string;
  /** Writes the bundle as it is now, as a SPIFFE bundle document; its file. */
  saveBundle(): Promise<string>;
  /** Runs a command of spire-server against this server; its JSON output. Throws with what it says where it fails. */
  control(...args: readonly string[]): unknown;
  /** Ends the agent, as an upgrade would. */
  stopAgent(): Promise<void>;
  startAgent(): Promise<void>;
}

/** Starts a server and an agent that it trusts. */
export async function startSpire(programs: ReturnType<typeof provideSpire>): Promise<Spire> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-spire-'));
  const socket = join(folder, 'server.sock');
  const [port, bundlePort] = [await freePort(), await freePort()];
  const control = (...args: readonly string[]): unknown => {
    const flags = ['-socketPath', socket, '-output', 'json'];
    const { status, stdout, stderr } = spawnSync(programs.server, [...args, ...flags], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`spire-server ${args.join(' ')}: ${(stderr || stdout).trim()}`);
    return JSON.parse(stdout);
  };
  await writeFile(join(folder, 'server.conf'), serverConfig(folder, socket, port, bundlePort));
  await writeFile(join(folder, 'agent.conf'), agentConfig(folder, port));
  const server = run(
    programs.server,
    ['run', '-config', join(folder, 'server.conf')],
    join(folder, 'server.log'),
  );
  await eventually('spire-server is healthy', () => isHealthy(programs.server, socket), 60_000);
  const saveBundle = async (format: string, file: string): Promise<string> => {
    const args = ['bundle', 'show', '-format', format, '-socketPath', socket];
    const path = join(folder, file);
    await writeFile(path, spawnSync(programs.server, args, { encoding: 'utf8' }).stdout);
    return path;
  };
  await saveBundle('pem', 'bundle.pem');
  let agent: ChildProcess | undefined;
  const startAgent = async (): Promise<void> => {
    const { value } = control('token', 'generate', '-spiffeID', AGENT_ID) as { readonly value: string };
    const args = ['run', '-config', join(folder, 'agent.conf'), '-joinToken', value];
    agent = run(programs.agent, args, join(folder, 'agent.log'));
    await eventually(
      'spire-agent is healthy',
      () => isHealthy(programs.agent, join(folder, 'agent.sock')),
      60_000,
    );
  };
  const stopAgent = async (): Promise<void> => {
    if (agent) await stopProcess(agent);
  };
  await startAgent();
  return {
    endpoint: `unix://${join(folder, 'agent.sock')}`,
    bundleEndpoint: {
      url: `https://127.0.0.1:${bundlePort}`,
      spiffeId: `spiffe://${TRUST_DOMAIN}/spire/server`,
    },
    agentId: AGENT_ID,
    saveBundle: () => saveBundle('spiffe', 'bundle.json'),
    control,
    startAgent,
    stopAgent,
    async [Symbol.asyncDispose]() {
      await stopAgent();
      await stopProcess(server);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function run(program: string, args: readonly string[], log: string): ChildProcess {
  const file = openSync(log, 'a');
  return spawn(program, args, { stdio: ['ignore', file, file] });
}

function isHealthy(program: string, socket: string): true | undefined {
  return spawnSync(program, ['healthcheck', '-socketPath', socket]).status === 0 ? true : undefined;
}

function serverConfig(folder: string, socket: string, port: number, bundlePort: number): string {
  return `
    server {
      bind_address = "127.0.0.1"
      bind_port = ${port}
      socket_path = "${socket}"
      trust_domain = "${TRUST_DOMAIN}"
      data_dir = "${folder}"
      ca_ttl = "24h"
      federation {
        bundle_endpoint {
          address = "127.0.0.1"
          port = ${bundlePort}
          refresh_hint = "10s"
          profile "https_spiffe" {}
        }
      }
    }
    plugins {
      DataStore "sql" {
        plugin_data {
          database_type = "sqlite3"
          connection_string = "${folder}/datastore.sqlite3"
        }
      }
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "memory" { plugin_data {} }
    }
  `;
}

function agentConfig(folder: string, port: number): string {
  return `
    agent {
      data_dir = "${folder}/agent"
      server_address = "127.0.0.1"
      server_port = ${port}
      socket_path = "${folder}/agent.sock"
      trust_bundle_path = "${folder}/bundle.pem"
      trust_domain = "${TRUST_DOMAIN}"
    }
    plugins {
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "disk" { plugin_data { directory = "${folder}/agent" } }
      WorkloadAttestor "unix" { plugin_data { discover_workload_path = true, workload_size_limit = -1 } }
    }
  `;
}
