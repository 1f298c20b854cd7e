import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type ClientHttp2Session, connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EnvoyConfig, Listener } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { Leaf } from '../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';
import { type Outcome, outcomeIn } from './careless-mesh.ts';
import { BYPASS_POLICIES, issuerConfig, wireField } from './fixture.ts';
import { tlsOptions } from './raw-http.ts';

const PATIENCE_MS = 5000;
const TYPES = 'type.googleapis.com/envoy.extensions.filters.http';

/** What the PDP is told of a route by Envoy's configuration, by the value of `x-route` that chooses the route. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  good: { first: 'one', second: 'two' },
  told: { route: 'known' },
  other: { route: 'other' },
  swapped: { first: 'two', second: 'one' },
  half: { first: 'one' },
  'other-half': { second: 'two' },
  shifted: { first: 'on', second: 'etwo' },
  joined: { first: 'onetwo', second: '' },
  'joined-other': { first: '', second: 'onetwo' },
  json: { first: 'one","second":"two' },
  comma: { first: 'one,second=two' },
  newline: { first: 'one\nsecond\ntwo' },
  named: { 'first":"one","second': 'two' },
};

/** One request through the proxy. */
export interface BypassRequest {
  /** Default: `ledger-api` with a client certificate, else `edge`. */
  readonly to?: Listener;
  readonly path: string;
  readonly host?: string;
  readonly token?: string;
  /** Names the route, and with it what Envoy tells of it. */
  readonly route?: string;
  /** What a filter of Envoy puts into the metadata that the PDP reads. */
  readonly metadata?: { readonly verified: object };
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Makes it a POST. */
  readonly body?: string;
}

/** One connection to the proxy, HTTP/2. */
export interface Line extends AsyncDisposable {
  /** Sends one request and gives what it came to; one at a time. */
  ask(request: BypassRequest): Promise<Outcome>;
  /** The status alone, for requests that are under way at once. */
  status(request: BypassRequest): Promise<number>;
}

/** A PDP with the bypass suite's policies behind an Envoy that passes on what it can: bodies, facts of routes, metadata. */
export interface BypassMesh extends AsyncDisposable {
  readonly mesh: Mesh;
  /** The issuer `idp`. */
  readonly issuer: TestIssuer;
  /** The issuer `rotating`, whose keys are in `rotatingFile`. */
  readonly rotating: TestIssuer;
  readonly rotatingFile: string;
  /** Routes whose facts are like those of `good`, and are not. */
  readonly similar: readonly string[];
  /** Sends one request over a connection of its own. */
  ask(request: BypassRequest): Promise<Outcome>;
  connect(as?: Leaf, to?: Listener): Promise<Line>;
}

/** Starts it. */
export async function startBypassMesh(): Promise<BypassMesh> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'pdp-bypass-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const [file, rotatingFile] = [join(folder, 'idp.json'), join(folder, 'rotating.json')];
  const issuer = await createTestIssuer({ issuer: 'https://idp.example.com', audience: 'app' });
  const rotating = await createTestIssuer({ issuer: 'https://rotating.example.com', audience: 'app' });
  await writeFile(file, JSON.stringify(issuer.jwks));
  await writeFile(rotatingFile, JSON.stringify(rotating.jwks));
  const issuers = [
    issuerConfig(issuer, { file }),
    { ...issuerConfig(rotating, { file: rotatingFile }), name: 'rotating' },
  ];
  const config = { policies: { sets: [BYPASS_POLICIES] }, pips: [], issuers };
  const mesh = stack.use(await startMesh({ config, editEnvoy: passOn }));
  const owned = stack.move();
  const line = (as?: Leaf, to?: Listener): Promise<Line> => openLine(mesh, as, to);
  return {
    mesh,
    issuer,
    rotating,
    rotatingFile,
    similar: Object.keys(ROUTES).filter((name) => name !== 'good'),
    connect: line,
    async ask(request) {
      const to = request.to ?? 'edge';
      // The edge alone lets in who shows no certificate.
      await using own = await line(to === 'edge' ? undefined : mesh.workloads.web, to);
      return await own.ask(request);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openLine(mesh: Mesh, as?: Leaf, to: Listener = as ? 'ledger-api' : 'edge'): Promise<Line> {
  const servername = `${to === 'reports-api' ? to : 'ledger-api'}.mesh.example.com`;
  const { port, ...options } = { ...tlsOptions({ mesh, to, ...(as && { as }) }), servername };
  const session = connect(`https://127.0.0.1:${port}`, options);
  session.on('error', () => undefined);
  await once(session, 'connect');
  const status = (request: BypassRequest): Promise<number> => statusOf(session, request);
  return {
    status,
    ask: (request) => outcomeIn(mesh, () => status(request)),
    [Symbol.asyncDispose]: async () => session.destroy(),
  };
}

function statusOf(session: ClientHttp2Session, request: BypassRequest): Promise<number> {
  const stream = session.request(headersOf(request), { endStream: request.body === undefined });
  // The end in a frame of its own: else Envoy need not hold the body, and has no limit for it.
  if (request.body !== undefined) stream.write(request.body, () => stream.end());
  return new Promise((resolve, reject) => {
    let status = 0;
    stream.on('response', (answer) => (status = answer[':status'] ?? 0));
    stream.on('error', reject);
    stream.on('close', () => (status > 0 ? resolve(status) : reject(new Error('the stream was reset'))));
    stream.setTimeout(PATIENCE_MS, () => stream.close());
    stream.resume();
  });
}

/** As name and value in turn: a header may be called `__proto__`, which a plain object would swallow. */
function headersOf({ path, host = 'app.example', ...request }: BypassRequest): string[] {
  const { token, route, metadata, headers = [], body } = request;
  const pairs: (readonly [string, string])[] = [
    [':method', body === undefined ? 'GET' : 'POST'],
    [':scheme', 'https'],
    [':authority', host],
    [':path', path],
    ...headers,
  ];
  if (token !== undefined) pairs.push(['authorization', `Bearer ${token}`]);
  if (route !== undefined) pairs.push(['x-route', route]);
  if (metadata) pairs.push(['x-verified', valueOf(metadata.verified).toString('base64')]);
  return pairs.flat();
}

/** The bytes of a `google.protobuf.Value` of nested objects and booleans. */
function valueOf(value: unknown): Buffer {
  if (typeof value === 'boolean') return Buffer.of(0x20, value ? 1 : 0);
  const fields = Object.entries(value as object).map(([key, member]) =>
    wireField(1, Buffer.concat([wireField(1, Buffer.from(key)), wireField(2, valueOf(member))])),
  );
  return wireField(5, Buffer.concat(fields));
}

interface Manager {
  common_http_protocol_options: Record<string, unknown>;
  http_filters: { name: string; typed_config: Record<string, unknown> }[];
  route_config: { virtual_hosts: { routes: object[] }[] };
}

function passOn({ static_resources }: EnvoyConfig): void {
  for (const { name, filter_chains } of static_resources.listeners)
    for (const { typed_config } of filter_chains.flatMap(({ filters }) => filters)) {
      const manager = typed_config as unknown as Manager;
      manager.common_http_protocol_options['headers_with_underscores_action'] = 'ALLOW';
      for (const { routes } of manager.route_config.virtual_hosts) routes.unshift(...toldRoutes());
      for (const filter of manager.http_filters)
        if (filter.name === 'envoy.filters.http.ext_authz')
          filter.typed_config['with_request_body'] = bodySettings(name);
      manager.http_filters.unshift(metadataFromHeader());
    }
}

function bodySettings(name: Listener): object {
  const allow_partial_message = name !== 'reports-api';
  return { max_request_bytes: 64, allow_partial_message, pack_as_bytes: name === 'ledger-api' };
}

function toldRoutes(): object[] {
  return Object.entries(ROUTES).map(([exact, context_extensions]) => ({
    match: { prefix: '/', headers: [{ name: 'x-route', string_match: { exact } }] },
    route: { cluster: 'application' },
    typed_per_filter_config: {
      'envoy.filters.http.ext_authz': {
        '@type': `${TYPES}.ext_authz.v3.ExtAuthzPerRoute`,
        check_settings: { context_extensions },
      },
    },
  }));
}

/** Stands for a filter that verified something: writes into the namespace that the PDP may read. */
function metadataFromHeader(): { name: string; typed_config: Record<string, unknown> } {
  const on_header_present = {
    metadata_namespace: 'envoy.filters.http.jwt_authn',
    key: 'verified',
    type: 'PROTOBUF_VALUE',
    encode: 'BASE64',
  };
  return {
    name: 'envoy.filters.http.header_to_metadata',
    typed_config: {
      '@type': `${TYPES}.header_to_metadata.v3.Config`,
      request_rules: [{ header: 'x-verified', on_header_present, remove: true }],
    },
  };
}
