import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { UNHURRIED } from './app.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { stopProcess } from './stop-process.ts';
import type { Leaf, TestCa } from './test-ca.ts';

/** The built artefact: what users run. */
export const PDP_MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A record of the decision log, as far as tests read it. */
export interface DecisionRecord {
  readonly decision_id: string;
  readonly decision: 'ALLOW' | 'DENY';
  readonly reason: string;
  readonly detail?: string;
  readonly policies: readonly string[];
  readonly source_identity?: {
    readonly spiffe_id: string;
    readonly evidence?: string;
    readonly certificate_issuer?: string;
  };
  readonly origin_identity?: { readonly spiffe_id: string; readonly evidence: string };
  readonly claimed_sources?: readonly string[];
  readonly source_certificate?: string;
  readonly destination_identity?: { readonly spiffe_id: string };
  readonly mtls?: boolean;
  readonly method?: string;
  readonly path?: string;
  readonly path_raw?: string;
  readonly user?: string;
  readonly device?: { readonly id: string };
  readonly http_status?: number;
  readonly pep: { readonly address: string; readonly spiffe_id?: string };
  readonly request_id?: string;
  readonly latency_us?: number;
}

/** Mutual TLS on the gRPC surface. */
export interface PdpTls {
  readonly leaf: Pick<Leaf, 'certFile' | 'keyFile'>;
  readonly ca: Pick<TestCa, 'trustDomain' | 'bundleFile'>;
  /** Patterns of the callers that may ask. */
  readonly allow: readonly string[];
  /** Further settings of the gRPC surface. */
  readonly grpc?: Readonly<Record<string, unknown>>;
  /** Trust bundles beside that of `ca`. */
  readonly bundles?: readonly { readonly trust_domain: string; readonly file: string }[];
}

/** What is special about one PDP; its ports and its audit folder are set already. */
export interface PdpOptions {
  /** Plaintext on loopback where not given. */
  readonly tls?: PdpTls;
  /** Merged over the generated configuration, by top-level key. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where its files go; a temporary folder that is removed at the end where not given. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Added to the generated section `spiffe`. */
  readonly spiffe?: Readonly<Record<string, unknown>>;
  /** Done while it starts, beside the wait for readiness. */
  readonly onSpawn?: (opsPort: number, child: ChildProcess) => Promise<void>;
}

/** A running PDP. Disposing sends SIGTERM, waits for the drain, and removes its files. */
export interface PdpProcess extends AsyncDisposable {
  readonly grpcPort: number;
  readonly opsPort: number;
  /** Listens only where something is served on it. */
  readonly httpPort: number;
  readonly auditDir: string;
  /** Everything it wrote to stdout and stderr so far. */
  output(): string;
  /** The decision log once it holds at least `count` records, in order. Throws after 10 s. */
  records(count: number): Promise<DecisionRecord[]>;
  /** Ends it without a word, as a crash would. */
  kill(): Promise<void>;
  /** Sends a signal, for example SIGSTOP to make it hang. */
  signal(name: NodeJS.Signals): void;
  /** Asks it to end (SIGTERM); its exit code. */
  stop(): Promise<number | null>;
}

/**
 * Starts the built PDP and returns when it is ready to decide. Throws with its output where it is not. Ports that were free may be taken by
 * the time it listens: then it is started again, on others.
 */
export async function startPdp(options: PdpOptions = {}): Promise<PdpProcess> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(options);
    } catch (error) {
      if (attempt === 3 || !String(error).includes('EADDRINUSE')) throw error;
    }
  }
}

async function startOnce(options: PdpOptions): Promise<PdpProcess> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'pdp-process-')));
  const [grpcPort, opsPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const auditDir = join(folder, 'audit');
  const configFile = join(folder, 'pdp.yaml');
  const config = {
    ...(options.tls && { spiffe: { ...spiffeConfig(options.tls), ...options.spiffe } }),
    grpc: {
      address: `127.0.0.1:${grpcPort}`,
      ...(options.tls ? { allow: options.tls.allow, ...options.tls.grpc } : { plaintext: true }),
    },
    ops: { address: `127.0.0.1:${opsPort}` },
    http: { address: `127.0.0.1:${httpPort}` },
    audit: { dir: auditDir },
    ...options.config,
  };
  await writeFile(configFile, stringify(config));
  const child = spawn(process.execPath, [PDP_MAIN, 'serve', '--config', configFile], {
    cwd: ROOT,
    env: { ...withoutSettings(process.env), ...UNHURRIED, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = collect(child);
  const end = async (): Promise<void> => {
    await stopProcess(child);
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  };
  try {
    await Promise.all([untilReady(child, opsPort, output), options.onSpawn?.(opsPort, child)]);
  } catch (error) {
    await end();
    throw error;
  }
  return {
    grpcPort,
    opsPort,
    httpPort,
    auditDir,
    output,
    records: (count) => untilRecords(auditDir, count),
    kill: () => killProcess(child),
    signal: (name) => void child.kill(name),
    stop: async () => {
      await stopProcess(child);
      return child.exitCode;
    },
    [Symbol.asyncDispose]: end,
  };
}

function spiffeConfig({ leaf, ca, bundles = [] }: PdpTls): object {
  return {
    source: 'files',
    cert_file: leaf.certFile,
    key_file: leaf.keyFile,
    bundles: [{ trust_domain: ca.trustDomain, file: ca.bundleFile }, ...bundles],
  };
}

/** The environment without anything that would reconfigure the PDP under test. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('PDP_')));
}

function collect(child: ChildProcess): () => string {
  let text = '';
  const add = (chunk: string): void => void (text = `${text}${chunk}`.slice(-100_000));
  child.stdout?.setEncoding('utf8').on('data', add);
  child.stderr?.setEncoding('utf8').on('data', add);
  return () => text;
}

async function killProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function untilReady(child: ChildProcess, opsPort: number, output: () => string): Promise<void> {
  await eventually('the PDP is ready', async () => {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the PDP ended with ${child.exitCode ?? child.signalCode}`);
    }
    const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${output()}`, { cause: error });
  });
}

/** All decision records in a log folder so far, segments in order of their names. */
export async function readRecords(auditDir: string): Promise<DecisionRecord[]> {
  const entries = await readdir(auditDir).catch((error: unknown) => {
    // There is no folder (yet), or something else is in its place; any other failure would look like records that are gone.
    if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return [];
  });
  const files = entries.filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(auditDir, name), 'utf8')));
  // The last piece of a file is a line that is still being written, or nothing.
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1));
  const parsed = lines.map((line) => JSON.parse(line) as DecisionRecord & { readonly kind?: string });
  return parsed.filter(({ kind }) => kind === undefined || kind === 'decision');
}

async function untilRecords(auditDir: string, count: number): Promise<DecisionRecord[]> {
  return eventually(`the decision log holds ${count} records`, async () => {
    const records = await readRecords(auditDir);
    return records.length >= count ? records : undefined;
  });
}
