import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEMO_PIPS } from './app.ts';
import { type Envoy, type EnvoyConfig, type Listener, startEnvoy } from './envoy.ts';
import { type PdpProcess, type PdpTls, startPdp } from './pdp-process.ts';
import { type Leaf, type TestCa, createTestCa } from './test-ca.ts';
import { type TestIssuer, type TokenClaims, createTestIssuer } from './test-issuer.ts';
import { type Upstream, startUpstream } from './upstream.ts';

const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
const TRUST_DOMAIN = 'prod.example.com';

/** The workloads of the sample scenarios that ask or are asked, with the paths of their SPIFFE IDs. */
const WORKLOADS = {
  paymentApi: '/ns/payments/sa/payment-api',
  web: '/ns/frontend/sa/web',
  dashboardApp: '/ns/finance/sa/dashboard-app',
  ledgerApi: '/ns/ledger/sa/ledger-api',
  reportsApi: '/ns/finance/sa/reports-api',
  pep: '/ns/mesh/sa/pep',
  pdp: '/ns/cedar-pdp/sa/cedar-pdp',
} as const;

/** One request of a client of the mesh. */
export interface MeshRequest {
  readonly to: Listener;
  /** Whose certificate the client shows; none where not given. */
  readonly as?: Leaf;
  readonly method?: string;
  /** Goes on the wire as it is. */
  readonly path: string;
  /** Added as they are, in order, duplicates included. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** User token for `Authorization: Bearer`. */
  readonly token?: string;
}

/** What the client got. */
export interface MeshAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Milliseconds from sending to the end of the answer, connection included where one had to be made. */
  readonly ms: number;
}

/** Envoy, the PDP and a service behind them, with certificates and an issuer. All of it is real. */
export interface Mesh extends AsyncDisposable {
  readonly ca: TestCa;
  readonly workloads: Readonly<Record<keyof typeof WORKLOADS, Leaf>>;
  readonly pdp: PdpProcess;
  readonly envoy: Envoy;
  readonly upstream: Upstream;
  /** A token of the issuer that the PDP knows: alice, with MFA, on laptop-1, unless said otherwise. */
  token(claims?: TokenClaims): Promise<string>;
  /** Sends one request through Envoy. Rejects where the connection is refused. */
  send(request: MeshRequest): Promise<MeshAnswer>;
}

/** What is special about one mesh. */
export interface MeshOptions {
  /** SPIFFE IDs that the PDP lets ask; Envoy's own where not given. */
  readonly allow?: readonly string[];
  /**
   * Whether Envoy waits for the PDP as long as deployed (0.2 s), and the PDP for itself (50 ms). Where not given, both wait for
   * seconds: tests share their machine, and a test of a decision is not one of a deadline.
   */
  readonly deployedTimeouts?: boolean;
  /** Paths of SPIFFE IDs in the place of the usual ones; host names stay. */
  readonly identities?: Partial<Readonly<Record<keyof typeof WORKLOADS, string>>>;
  /** Trust bundles that the PDP has beside that of the mesh's own trust domain. */
  readonly bundles?: PdpTls['bundles'];
  /** Added to the configuration of the PDP, by top-level key. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Further settings of the gRPC surface of the PDP. */
  readonly grpc?: Readonly<Record<string, unknown>>;
  /** See `EnvoyOptions.edit`. */
  readonly editEnvoy?: (config: EnvoyConfig) => void;
}

/** Starts a mesh on free loopback ports, with the sample policies. Needs `dist/` and an Envoy. */
export async function startMesh(options: MeshOptions = {}): Promise<Mesh> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'pdp-mesh-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const ca = stack.use(await createTestCa(TRUST_DOMAIN));
  const workloads = await issueWorkloads(ca, { ...WORKLOADS, ...options.identities });
  const issuer = await createTestIssuer(join(folder, 'jwks.json'));
  const upstream = stack.use(await startUpstream());
  const allow = options.allow ?? [workloads.pep.spiffeId];
  const tls = { leaf: workloads.pdp, ca, allow, bundles: options.bundles ?? [], grpc: options.grpc ?? {} };
  const pdp = stack.use(
    await startPdp({ tls, config: { ...pdpConfig(issuer, options), ...options.config } }),
  );
  const envoy = stack.use(
    await startEnvoy({
      bundleFile: ca.bundleFile,
      ...workloads,
      pdpPort: pdp.grpcPort,
      upstreamPort: upstream.port,
      ...(!options.deployedTimeouts && { pdpTimeout: '5s' }),
      ...(options.editEnvoy && { edit: options.editEnvoy }),
    }),
  );
  const agent = new Agent({ keepAlive: true });
  stack.defer(() => agent.destroy());
  const owned = stack.move();
  return {
    ca,
    workloads,
    pdp,
    envoy,
    upstream,
    token: (claims) => issuer.token(claims),
    send: (what) => send(what, envoy.ports[what.to], ca, agent),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function issueWorkloads(
  ca: TestCa,
  paths: Readonly<Record<keyof typeof WORKLOADS, string>>,
): Promise<Record<keyof typeof WORKLOADS, Leaf>> {
  const hosts: Readonly<Record<string, string>> = WORKLOADS;
  const issue = async ([name, path]: [string, string]): Promise<[string, Leaf]> => {
    const dns = [`${hosts[name]?.split('/').at(-1) ?? name}.mesh.example.com`];
    return [name, await ca.issue({ spiffeId: `spiffe://${ca.trustDomain}${path}`, dns })];
  };
  const leaves = await Promise.all(Object.entries(paths).map(issue));
  return Object.fromEntries(leaves) as Record<keyof typeof WORKLOADS, Leaf>;
}

/** As `deploy/local/pdp.yaml`, with an issuer of our own in the place of the demo issuer. */
function pdpConfig(
  { jwksFile, issuer, audience }: TestIssuer,
  { deployedTimeouts }: MeshOptions,
): Record<string, unknown> {
  return {
    ...(!deployedTimeouts && { decision: { timeout_ms: 4000 } }),
    policies: { sets: [join(POLICIES, 'mesh-call'), join(POLICIES, 'finance-dashboard')] },
    issuers: [
      {
        name: 'demo',
        issuer,
        audiences: [audience],
        algorithms: ['ES256'],
        types: ['at+jwt'],
        jwks: { file: jwksFile },
        claims: { device_id: 'device_id', attributes: { amr: { claim: 'amr', type: 'string_set' } } },
      },
    ],
    pips: DEMO_PIPS,
  };
}

function hostOf(listener: Listener): string {
  return listener === 'reports-api' ? 'reports-api.mesh.example.com' : 'ledger-api.mesh.example.com';
}

function send(what: MeshRequest, port: number, ca: TestCa, agent: Agent): Promise<MeshAnswer> {
  const host = hostOf(what.to);
  const pairs: (readonly [string, string])[] = [['host', host], ...(what.headers ?? [])];
  if (what.token !== undefined) pairs.push(['authorization', `Bearer ${what.token}`]);
  const identity = what.as && { cert: what.as.cert, key: what.as.key };
  const method = what.method ?? 'GET';
  if (method === 'POST') pairs.push(['content-length', '0']);
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const outgoing = request(
      // The server's certificate is verified against its DNS name; `path` and `headers` go out untouched.
      {
        host: '127.0.0.1',
        port,
        servername: host,
        ca: ca.bundle,
        ...identity,
        method,
        path: what.path,
        agent,
      },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (body += chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const ms = performance.now() - started;
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body, ms });
        });
      },
    );
    outgoing.on('error', reject);
    for (const [name, values] of grouped(pairs)) outgoing.setHeader(name, values);
    outgoing.end();
  });
}

/** Values by name, so that duplicates go out as separate fields. */
function grouped(pairs: readonly (readonly [string, string])[]): Map<string, string[]> {
  const result = new Map<string, string[]>();
  for (const [name, value] of pairs) result.set(name, [...(result.get(name) ?? []), value]);
  return result;
}
