import { mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { type ReadCode, type RequestFrames, extAuthzCode, requestFrames } from '../load/h2-connection.ts';
import { type ServerProcess, freePort, serverProcess, spawnPinned } from '../load/process.ts';
import type { RequestMaker } from '../load/requests.ts';
import { cerbosCode, cerbosFrames } from './cerbos-requests.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const READY_MS = 30_000;
const SPIFFE = 'spiffe://prod.example.com/ns';
const DEVICE = { managed: true, compliant: true, disk_encrypted: true };

/** What a peer is asked in one scenario: what it must allow, and what it must deny. */
export interface Questions {
  readonly allow: RequestFrames;
  readonly deny: RequestFrames;
}

/** The two scenarios. */
export type PeerScenario = 'mesh' | 'user';

/** A peer that runs. */
export interface Peer extends AsyncDisposable {
  readonly name: string;
  readonly server: ServerProcess;
  readonly readCode: ReadCode;
  readonly questions: Readonly<Record<PeerScenario, Questions>>;
  /** Bytes of its decision log so far. */
  logBytes(): number;
}

/** A program to start. */
interface Start {
  readonly program: string;
  readonly folder: string;
  readonly maker: RequestMaker;
}

/** Cerbos with `bench/peers/cerbos`, asked over gRPC. */
export async function startCerbos({ program, folder, maker }: Start): Promise<Peer> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const log = join(folder, 'decisions.log');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(maker.jwks));
  const config: CerbosConfig = parse(readFileSync(join(HERE, 'cerbos/config.yaml'), 'utf8'));
  config.server['grpcListenAddr'] = `127.0.0.1:${port}`;
  config.server['httpListenAddr'] = `127.0.0.1:${httpPort}`;
  config.storage.disk['directory'] = join(HERE, 'cerbos/policies');
  config.auxData.jwt['keySets'] = [{ id: 'bench', local: { file: join(folder, 'jwks.json') } }];
  config.audit['file'] = { path: log };
  writeFileSync(join(folder, 'config.yaml'), stringify(config));
  const args = ['server', `--config=${join(folder, 'config.yaml')}`, '--log-level=warn'];
  const server = await started(program, args, port, `http://127.0.0.1:${httpPort}/_cerbos/health`, folder);
  const questions = { mesh: cerbosMesh(), user: cerbosUser(maker.token('alice')) };
  return peer('cerbos', server, cerbosCode, questions, log);
}

type Part = Record<string, unknown>;
interface CerbosConfig {
  readonly server: Part;
  readonly storage: { readonly disk: Part };
  readonly auxData: { readonly jwt: Part };
  readonly audit: Part;
}

function cerbosMesh(): Questions {
  const asked = (account: string) =>
    cerbosFrames({
      id: `${SPIFFE}/payments/sa/${account}`,
      role: 'workload',
      kind: 'ledger-api',
      action: 'POST',
      path: '/internal/entries',
    });
  return { allow: asked('payment-api'), deny: asked('other-api') };
}

function cerbosUser(token: string): Questions {
  const asked = (group: string) =>
    cerbosFrames({
      id: 'alice',
      role: 'user',
      kind: 'reports-api',
      action: 'GET',
      path: '/api/reports/quarterly',
      token,
      attr: {
        groups: [group],
        revoked: false,
        device: DEVICE,
        source: `${SPIFFE}/finance/sa/dashboard-app`,
      },
    });
  return { allow: asked('Finance'), deny: asked('Sales') };
}

/** OPA with `bench/peers/opa`, asked over its REST API on HTTP/2: it has no gRPC. */
export async function startOpa({ program, folder, maker }: Start): Promise<Peer> {
  const port = await freePort();
  const quiet = ['--log-level-request=error', '--disable-telemetry'];
  const args = ['run', '--server', '--h2c', `--addr=127.0.0.1:${port}`, ...quiet, ...opaArgs(folder, maker)];
  const server = await started(program, args, port, `http://127.0.0.1:${port}/health`, folder);
  const frames = (input: object) =>
    requestFrames('/v1/data/bench/allow', Buffer.from(JSON.stringify({ input })), 'json');
  return peer('opa', server, opaCode, opaQuestions(maker, frames), join(folder, 'decisions.log'));
}

/** OPA-Envoy with `bench/peers/opa`, given Envoy's CheckRequests over gRPC. */
export async function startOpaEnvoy({ program, folder, maker }: Start): Promise<Peer> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const plugin = 'plugins.envoy_ext_authz_grpc';
  const settings = [`addr=127.0.0.1:${port}`, 'path=bench/allow', 'skip-request-body-parse=true'];
  const set = settings.map((setting) => `--set=${plugin}.${setting}`);
  const own = ['--server', `--addr=127.0.0.1:${httpPort}`, '--skip-version-check', ...set];
  const args = ['run', ...own, ...opaArgs(folder, maker)];
  const server = await started(program, args, port, `http://127.0.0.1:${httpPort}/health?plugins`, folder);
  const questions = opaQuestions(maker, (request) => maker.framesOf(request));
  return peer('opa-envoy', server, extAuthzCode, questions, join(folder, 'decisions.log'));
}

function opaArgs(folder: string, maker: RequestMaker): string[] {
  mkdirSync(folder, { recursive: true });
  const data = {
    users: { alice: { groups: ['Finance'], revoked: false } },
    devices: { 'laptop-1': DEVICE },
    jwks: JSON.stringify(maker.jwks),
  };
  writeFileSync(join(folder, 'data.json'), JSON.stringify(data));
  const config = `--config-file=${join(HERE, 'opa/config.yaml')}`;
  return [config, '--log-level=info', join(HERE, 'opa/policy.rego'), join(folder, 'data.json')];
}

function opaQuestions(
  maker: RequestMaker,
  frames: (request: object) => RequestFrames,
): Readonly<Record<PeerScenario, Questions>> {
  const [alice, stranger] = [maker.plain(maker.token('alice')), maker.plain(maker.token('stranger'))];
  const elsewhere = JSON.parse(
    JSON.stringify(alice.mesh).replace('sa/payment-api', 'sa/other-api'),
  ) as object;
  return {
    mesh: { allow: frames(alice.mesh), deny: frames(elsewhere) },
    user: { allow: frames(alice.report), deny: frames(stranger.report) },
  };
}

/** Reads OPA's JSON answer: `result` is the rule's value. */
export function opaCode(data: Buffer): number | undefined {
  if (data.length === 0) return undefined;
  return data.includes('"result":true') ? 0 : 7;
}

function peer(
  name: string,
  server: ServerProcess,
  readCode: ReadCode,
  questions: Peer['questions'],
  log: string,
): Peer {
  const logBytes = () => statSync(log, { throwIfNoEntry: false })?.size ?? 0;
  const dispose = () => server[Symbol.asyncDispose]();
  return { name, server, readCode, questions, logBytes, [Symbol.asyncDispose]: dispose };
}

/** Starts a program on the servers' core, what it prints in `decisions.log`, and waits until `health` says 200. */
async function started(
  program: string,
  args: readonly string[],
  port: number,
  health: string,
  folder: string,
): Promise<ServerProcess> {
  const output = openSync(join(folder, args[0] === 'server' ? 'output.log' : 'decisions.log'), 'a');
  const child = spawnPinned(program, args, [output, output]);
  child.on('error', () => undefined);
  const server = serverProcess(child, port);
  const end = Date.now() + READY_MS;
  while (Date.now() < end && child.exitCode === null) {
    const answer = await fetch(health).catch(() => undefined);
    if (answer?.status === 200) return server;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await server[Symbol.asyncDispose]();
  const name = args[0] === 'server' ? 'output.log' : 'decisions.log';
  throw new Error(`not ready: ${readFileSync(join(folder, name), 'utf8').slice(-1500)}`);
}
