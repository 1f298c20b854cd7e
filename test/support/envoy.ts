import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { parse } from 'yaml';
import { eventually } from './eventually.ts';
import { findEnvoy } from './parts.ts';
import { stopProcess } from './stop-process.ts';
import type { Leaf } from './test-ca.ts';

/** Where the configuration under test is: the one that operators deploy. */
export const ENVOY_YAML = new URL('../../deploy/envoy/envoy.yaml', import.meta.url);

/** The listeners of `deploy/envoy/envoy.yaml`. */
export const LISTENERS = ['ledger-api', 'reports-api', 'edge'] as const;

/** A listener of `deploy/envoy/envoy.yaml`. */
export type Listener = (typeof LISTENERS)[number];

/** A line of Envoy's access log, as `deploy/envoy/envoy.yaml` shapes it. */
export interface AccessLogEntry {
  readonly decision_id: string | null;
  readonly decision: string | null;
  readonly reason: string | null;
  /** Microseconds from question to answer, as Envoy measured them; digits. */
  readonly ext_authz_us: string | null;
  readonly source: string | null;
  readonly destination: string | null;
  readonly method: string;
  readonly path: string;
  readonly request_id: string;
  readonly response_code: number;
  readonly response_flags: string;
  readonly response_code_details: string;
  readonly duration_ms: number;
}

/** A certificate and its key. */
type LeafFiles = Pick<Leaf, 'certFile' | 'keyFile'>;

/** What a test or the demo puts in the place of a deployment's addresses and files. */
export interface EnvoyOptions {
  readonly bundleFile: string;
  /** Envoy's identity towards the PDP. */
  readonly pep: LeafFiles;
  readonly ledgerApi: LeafFiles;
  readonly reportsApi: LeafFiles;
  readonly pdpPort: number;
  readonly upstreamPort: number;
  /** How long Envoy waits for the PDP, such as `2s`, for machines too busy for the 0.2s that is deployed. */
  readonly pdpTimeout?: string;
  /** A last change, for a test of what another deployment would do. The object is the parsed configuration. */
  readonly edit?: (config: EnvoyConfig) => void;
}

/** A running Envoy. Disposing kills it and removes its files. */
export interface Envoy extends AsyncDisposable {
  /** Where each listener got its port on 127.0.0.1. */
  readonly ports: Readonly<Record<Listener, number>>;
  readonly adminPort: number;
  /** The access log once it holds at least `count` entries, in order. Throws after 10 s. */
  accessLog(count: number): Promise<AccessLogEntry[]>;
}

interface Socket {
  address: string;
  port_value: number;
}
interface FileSource {
  filename: string;
}
interface TlsContext {
  validation_context: {
    trusted_ca?: FileSource;
    custom_validator_config?: { typed_config: { trust_domains: { trust_bundle: FileSource }[] } };
  };
  tls_certificates: { certificate_chain: FileSource; private_key: FileSource }[];
}
/** As much of Envoy's bootstrap configuration as tests touch. */
export interface EnvoyConfig {
  admin: { address: { socket_address: Socket } };
  static_resources: {
    listeners: {
      name: Listener;
      address: { socket_address: Socket };
      filter_chains: {
        transport_socket: { typed_config: { common_tls_context: TlsContext } };
        filters: { typed_config: HttpConnectionManager }[];
      }[];
    }[];
    clusters: {
      name: string;
      transport_socket?: { typed_config: { common_tls_context: TlsContext } };
      load_assignment: {
        endpoints: { lb_endpoints: { endpoint: { address: { socket_address: Socket } } }[] }[];
      };
    }[];
  };
}
interface HttpConnectionManager {
  forward_client_cert_details: string;
  http_filters: { name: string; typed_config: Record<string, unknown> }[];
}

/** The deployed configuration as plain data: anchors resolved, nothing shared, the `templates` that hold them gone. */
export async function readEnvoyYaml(): Promise<EnvoyConfig> {
  // logLevel: the parser would warn of Envoy's own tag `!ignore`.
  const config = parse(await readFile(ENVOY_YAML, 'utf8'), { logLevel: 'error' }) as EnvoyConfig & {
    templates?: unknown;
  };
  delete config.templates;
  return JSON.parse(JSON.stringify(config)) as EnvoyConfig;
}

/**
 * The deployed configuration with addresses, ports and files replaced, and the time that the PDP has to be connected to and to answer, where
 * asked for; nothing else. Ports
 * are 0: Envoy chooses.
 */
export async function localEnvoyConfig(options: EnvoyOptions): Promise<EnvoyConfig> {
  const config = await readEnvoyYaml();
  config.admin.address.socket_address.port_value = 0;
  for (const listener of config.static_resources.listeners) {
    listener.address.socket_address = { address: '127.0.0.1', port_value: 0 };
    const leaf = listener.name === 'reports-api' ? options.reportsApi : options.ledgerApi;
    for (const chain of listener.filter_chains) {
      useCertificates(chain.transport_socket.typed_config.common_tls_context, leaf, options.bundleFile);
      if (options.pdpTimeout !== undefined) setPdpTimeout(chain.filters, options.pdpTimeout);
    }
  }
  for (const cluster of config.static_resources.clusters) {
    const port = cluster.name === 'cedar-pdp' ? options.pdpPort : options.upstreamPort;
    // A handshake on a machine that is busy with other tests may take longer than one in a mesh.
    if (cluster.name === 'cedar-pdp' && options.pdpTimeout !== undefined)
      Object.assign(cluster, { connect_timeout: options.pdpTimeout });
    const tls = cluster.transport_socket?.typed_config.common_tls_context;
    if (tls) useCertificates(tls, options.pep, options.bundleFile);
    for (const { endpoint } of cluster.load_assignment.endpoints.flatMap(
      ({ lb_endpoints }) => lb_endpoints,
    )) {
      endpoint.address.socket_address = { address: '127.0.0.1', port_value: port };
    }
  }
  options.edit?.(config);
  return config;
}

function setPdpTimeout(filters: readonly { typed_config: HttpConnectionManager }[], timeout: string): void {
  for (const { name, typed_config } of filters.flatMap((filter) => filter.typed_config.http_filters)) {
    if (name === 'envoy.filters.http.ext_authz')
      (typed_config['grpc_service'] as { timeout: string }).timeout = timeout;
  }
}

function useCertificates(tls: TlsContext, leaf: LeafFiles, bundleFile: string): void {
  tls.tls_certificates = [
    { certificate_chain: { filename: leaf.certFile }, private_key: { filename: leaf.keyFile } },
  ];
  const { trusted_ca, custom_validator_config } = tls.validation_context;
  if (trusted_ca) trusted_ca.filename = bundleFile;
  for (const domain of custom_validator_config?.typed_config.trust_domains ?? []) {
    domain.trust_bundle.filename = bundleFile;
  }
}

/** Starts a real Envoy and returns when it serves. Throws where none is at hand (`scripts/parts.mjs`) or it does not start. */
export async function startEnvoy(options: EnvoyOptions): Promise<Envoy> {
  const binary = findEnvoy();
  if (binary === undefined) throw new Error("no Envoy at hand: run 'node scripts/parts.mjs'");
  const folder = await mkdtemp(join(tmpdir(), 'pdp-envoy-'));
  const file = (name: string): string => join(folder, name);
  await writeFile(file('envoy.json'), JSON.stringify(await localEnvoyConfig(options)));
  const args = ['-c', file('envoy.json'), '--admin-address-path', file('admin'), '--disable-hot-restart'];
  const quick = ['--concurrency', '1', '--file-flush-interval-msec', '20', '--log-level', 'warning'];
  const child = spawn(binary, [...args, ...quick], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = async (): Promise<void> => {
    await stopProcess(child);
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  };
  try {
    const log = collect(child.stderr);
    const lines = collect(child.stdout);
    const adminPort = await untilReady(child, file('admin'), log);
    return {
      ports: await listenerPorts(adminPort),
      adminPort,
      accessLog: (count) => accessLog(lines, count),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return () => text;
}

async function untilReady(child: ChildProcess, adminFile: string, log: () => string): Promise<number> {
  return eventually('Envoy is ready', async () => {
    if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}:\n${log()}`);
    const address = await readFile(adminFile, 'utf8').catch(() => '');
    const port = Number(/:(\d+)$/.exec(address.trim())?.[1] ?? 0);
    if (port === 0) return undefined;
    const ready = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
    return ready?.status === 200 ? port : undefined;
  });
}

interface ListenerStatuses {
  listener_statuses: { name: string; local_address: { socket_address: Socket } }[];
}

async function listenerPorts(adminPort: number): Promise<Record<Listener, number>> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/listeners?format=json`);
  const { listener_statuses } = (await answer.json()) as ListenerStatuses;
  const port = (name: Listener): number => {
    const status = listener_statuses.find((candidate) => candidate.name === name);
    if (status === undefined) throw new Error(`Envoy has no listener '${name}'`);
    return status.local_address.socket_address.port_value;
  };
  return { 'ledger-api': port('ledger-api'), 'reports-api': port('reports-api'), edge: port('edge') };
}

async function accessLog(text: () => string, count: number): Promise<AccessLogEntry[]> {
  return eventually(`Envoy logged ${count} requests`, () => {
    // The last piece is a line that is still being written, or nothing.
    const lines = text().split('\n').slice(0, -1);
    return lines.length >= count ? lines.map((line) => JSON.parse(line) as AccessLogEntry) : undefined;
  });
}
