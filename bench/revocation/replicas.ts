import { Client, type ClientUnaryCall, credentials } from '@grpc/grpc-js';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadExtAuthzTypes } from '../../src/api/protos.ts';
import { type PdpProcess, startPdp } from '../../test/support/pdp-process.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';
const SCHEMA = fileURLToPath(new URL('../../policies/schema.cedarschema', import.meta.url));
const TYPES = loadExtAuthzTypes();

/** The token by which the measurement revokes. */
export const ADMIN_TOKEN = 'bench-revocation-admin-token-0123456789';

/** One PDP of several on one Redis, and a connection to it. */
export interface Replica extends AsyncDisposable {
  readonly pdp: PdpProcess;
  /** Asks about a workload; whether it is permitted, and the HTTP status where it is not. */
  ask(workload: string): Promise<{ readonly allowed: boolean; readonly status: number }>;
}

/** What all replicas have in common. */
export interface ReplicaSettings {
  /** A folder for files. */
  readonly folder: string;
  readonly redisUrl: string;
  /** Added to the configuration, by top-level key. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Starts replicas that permit every workload until it is revoked. */
export async function startReplicas(count: number, settings: ReplicaSettings): Promise<Replica[]> {
  const { folder, redisUrl } = settings;
  const set = join(folder, 'policies');
  mkdirSync(set, { recursive: true });
  writeFileSync(join(set, 'schema.cedarschema'), readFileSync(SCHEMA));
  writeFileSync(
    join(set, 'all.cedar'),
    '@id("bench.workloads") permit (principal is ZeroTrust::Workload, action, resource);\n',
  );
  const tokenFile = join(folder, 'admin-token');
  writeFileSync(tokenFile, ADMIN_TOKEN);
  const config = {
    policies: { sets: [set] },
    decision: { timeout_ms: 2000 },
    shared_state: { kind: 'redis', url: redisUrl },
    revocation: { admin_token_file: tokenFile },
    telemetry: { log_level: 'warn' },
    ...settings.config,
  };
  return await Promise.all(Array.from({ length: count }, () => startReplica(config)));
}

async function startReplica(config: Readonly<Record<string, unknown>>): Promise<Replica> {
  const pdp = await startPdp({ config });
  const client = new Client(`127.0.0.1:${pdp.grpcPort}`, credentials.createInsecure());
  return {
    pdp,
    ask: (workload) => ask(client, workload),
    async [Symbol.asyncDispose]() {
      client.close();
      await pdp[Symbol.asyncDispose]();
    },
  };
}

async function ask(client: Client, workload: string) {
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const call: ClientUnaryCall = client.makeUnaryRequest(
      CHECK_PATH,
      (message: Buffer) => message,
      (message: Buffer) => message,
      question(workload),
      { deadline: Date.now() + 5000 },
      (error, answer) => (error || !answer ? reject(error ?? new Error('empty answer')) : resolve(answer)),
    );
    call.on('error', () => undefined);
  });
  const { CheckResponse } = TYPES;
  const message = CheckResponse.toObject(CheckResponse.decode(bytes)) as {
    status?: { code?: number };
    deniedResponse?: { status?: { code: number } };
  };
  const allowed = (message.status?.code ?? 0) === 0;
  return { allowed, status: allowed ? 200 : (message.deniedResponse?.status?.code ?? 0) };
}

function question(workload: string): Buffer {
  const { CheckRequest } = TYPES;
  const peer = (principal: string) => ({
    address: { socketAddress: { address: '10.1.2.3', portValue: 4000 } },
    principal,
  });
  const http = { method: 'GET', path: '/', host: 'api.example.com', scheme: 'https', protocol: 'HTTP/2' };
  const attributes = {
    source: peer(workload),
    destination: peer('spiffe://prod.example.com/ns/bench/sa/api'),
    request: { http: { ...http, id: '1', size: -1 } },
  };
  return CheckRequest.encode(CheckRequest.fromObject({ attributes })).finish() as Buffer;
}
