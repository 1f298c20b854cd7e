import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import { type CheckAnswer, decodeCheckResponse } from '../../src/api/ext-authz/client.ts';
import { type ConfigFolder, UNHURRIED, createConfigFolder } from './app.ts';
import { eventually } from './eventually.ts';
import { EXT_AUTHZ_TYPES } from './requests.ts';
import { stopProcess } from './stop-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHECK = '/envoy.service.auth.v3.Authorization/Check';

/** A running server with several workers. */
export interface WorkersProcess extends AsyncDisposable {
  readonly folder: ConfigFolder;
  readonly grpc: string;
  readonly child: ChildProcess;
  /** What it wrote to stderr so far. */
  log(): string;
  /** A request to its ops surface. */
  ops(path: string, init?: RequestInit): Promise<Response>;
  /** What `/readyz` says. */
  readiness(): Promise<WorkersReadiness>;
}

/** What `/readyz` says of several workers. */
export interface WorkersReadiness {
  readonly ready: boolean;
  readonly problems: readonly string[];
  readonly details: Readonly<Record<string, string | number>>;
}

/** Starts the sources with the sample policies and `overrides`, and with `files` beside the configuration; returns when it serves. */
export async function startWorkers(
  overrides: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>> = {},
): Promise<WorkersProcess> {
  const folder = await createConfigFolder(overrides);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text);
  const args = ['src/main.ts', 'serve', '--config', folder.configFile];
  const env = { ...process.env, ...UNHURRIED };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (more: string) => void (text += more));
  const dispose = async (): Promise<void> => {
    await stopProcess(child);
    await folder[Symbol.asyncDispose]();
  };
  try {
    const { grpc, ops } = await eventually('it serves', () => servingIn(text, child), 60_000);
    const request = (path: string, init?: RequestInit) => fetch(`http://${ops}${path}`, init);
    const readiness = async () => (await (await request('/readyz')).json()) as WorkersReadiness;
    return { folder, grpc, child, log: () => text, ops: request, readiness, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw new Error(`${String(error)}\n${text}`, { cause: error });
  }
}

function servingIn(text: string, child: ChildProcess): { grpc: string; ops: string } | undefined {
  if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
  const line = text.split('\n').find((one) => one.includes('"msg":"serving"'));
  return line === undefined ? undefined : (JSON.parse(line) as { grpc: string; ops: string });
}

/** A client with a connection of its own: by default grpc-js has all clients of an address share one. */
export interface LoneClient extends Disposable {
  check(bytes: Uint8Array): Promise<CheckAnswer>;
}

/** Connects to `host:port` over plaintext. */
export function connectAlone(address: string): LoneClient {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  });
  const asIs = (bytes: Buffer) => bytes;
  return {
    check: (bytes) =>
      new Promise<CheckAnswer>((resolve, reject) => {
        const options = { deadline: Date.now() + 10_000 };
        const request = Buffer.from(bytes);
        client.makeUnaryRequest(CHECK, asIs, asIs, request, new Metadata(), options, (error, answer) => {
          if (error) reject(error);
          else resolve(decodeCheckResponse(answer ?? Buffer.alloc(0), EXT_AUTHZ_TYPES.CheckResponse));
        });
      }),
    [Symbol.dispose]: () => client.close(),
  };
}
