import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { EnvoyConfig } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { DecisionRecord } from '../support/pdp-process.ts';
import { POLICIES } from '../support/snapshot.ts';
import { type Leaf, type TestCa, createTestCa } from '../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';

/** Trust domain of the scenarios. */
export const DOMAIN = 'spiffe://prod.example.com';

/**
 * Who is asked, by the name that clients use; each has a proxy of its own, which shows its certificate. The email provider is
 * outside: the egress gateway in front of it shows a name and no SPIFFE ID.
 */
const SERVICES: Readonly<Record<string, string | undefined>> = {
  'decision-engine.regulatory': '/ns/regulatory/sa/decision-engine',
  'evidence-store.regulatory': '/ns/regulatory/sa/evidence-store',
  'sanction-service.regulatory': '/ns/regulatory/sa/sanction-service',
  'notification-service.regulatory': '/ns/regulatory/sa/notification-service',
  'api.mail.example.net': undefined,
  'api.mail.example.org': undefined,
  'db-reader.data': '/ns/data/sa/db-reader',
  'appointments.clinic': '/ns/clinic/sa/appointments-api',
};

const NORTH = { department: 'cardiology', hospital: 'north' };
/** What the clinic's staff directory knows. */
const DIRECTORY = {
  'clinic/grey': NORTH,
  'clinic/south': { ...NORTH, hospital: 'south' },
  'clinic/hahn': { department: 'oncology', hospital: 'north' },
};
/** What the clinic's records know. */
const APPOINTMENTS = {
  'a-17': { ...NORTH, doctor: 'grey' },
  'a-18': { ...NORTH, doctor: 'yang' },
  'o-1': { department: 'oncology', hospital: 'north', doctor: 'hahn' },
};

/** Names of the issuers of user tokens. */
export type IssuerName = 'staff' | 'customers' | 'clinic';
const AUDIENCES: Readonly<Record<IssuerName, string>> = {
  staff: 'db-reader',
  customers: 'db-reader',
  clinic: 'appointments',
};

/** One call of a workload to a service. */
export interface Call {
  /** Path of the caller's SPIFFE ID; `null`: it shows no certificate. */
  readonly from: string | null;
  /** Name of the service, as in `SERVICES`. */
  readonly to: string;
  readonly method?: string;
  /** Goes on the wire as it is. */
  readonly path: string;
  readonly token?: string;
}

/** What a call came to: what the client got, what the PDP wrote down, and whether the service was asked. */
export interface CallOutcome {
  readonly status: number;
  /** Of the problem in the body; `undefined` where the call was served. */
  readonly reason: string | undefined;
  readonly message: string | undefined;
  readonly challenge: string | undefined;
  readonly record: DecisionRecord | undefined;
  readonly served: boolean;
}

/** The services of several scenarios behind one Envoy, which is the proxy of each of them. */
export interface ScenarioMesh extends AsyncDisposable {
  readonly issuers: Readonly<Record<IssuerName, TestIssuer>>;
  /** Makes one call; one at a time. */
  call(call: Call): Promise<CallOutcome>;
}

/** Starts them, with the policy sets of these names together. */
export async function startScenarios(sets: readonly string[]): Promise<ScenarioMesh> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'pdp-scenarios-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const ca = stack.use(await createTestCa('prod.example.com'));
  const proxies = await issueProxies(ca);
  const issuers = {
    staff: await issuerOf('staff'),
    customers: await issuerOf('customers'),
    clinic: await issuerOf('clinic'),
  };
  const config = {
    policies: { sets: sets.map((name) => join(POLICIES, name)) },
    issuers: await Promise.all(Object.entries(issuers).map(([name, one]) => issuerConfig(folder, name, one))),
    pips: await pipConfigs(folder),
  };
  const mesh = stack.use(await startMesh({ config, editEnvoy: (envoy) => serveAll(envoy, ca, proxies) }));
  const owned = stack.move();
  return {
    issuers,
    call: (call) => outcomeOf(mesh, ca, call),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const issuerOf = (name: IssuerName): Promise<TestIssuer> =>
  createTestIssuer({ issuer: `https://sso.example.com/realms/${name}`, audience: AUDIENCES[name] });

async function issueProxies(ca: TestCa): Promise<ReadonlyMap<string, Leaf>> {
  const issue = async ([host, path]: [string, string | undefined]): Promise<[string, Leaf]> => [
    host,
    await ca.issue({
      spiffeId: `${DOMAIN}${path ?? ''}`,
      dns: [host],
      ...(path === undefined && { uris: [] }),
    }),
  ];
  return new Map(await Promise.all(Object.entries(SERVICES).map(issue)));
}

async function issuerConfig(folder: string, name: string, issuer: TestIssuer): Promise<object> {
  const file = join(folder, `${name}.jwks.json`);
  await writeFile(file, JSON.stringify(issuer.jwks));
  return {
    name,
    issuer: issuer.issuer,
    audiences: [issuer.audience],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    jwks: { file },
    claims: { groups: 'groups', attributes: { scope: { claim: 'scope', type: 'string_set' } } },
  };
}

async function pipConfigs(folder: string): Promise<object[]> {
  const facts = async (name: string, content: object): Promise<object> => {
    const file = join(folder, `${name}.json`);
    await writeFile(file, JSON.stringify(content));
    return { name, kind: 'static_file', file };
  };
  return [
    { ...(await facts('directory', DIRECTORY)), subject: 'user', gives: ['department', 'hospital'] },
    {
      ...(await facts('appointments', APPOINTMENTS)),
      subject: 'appointment',
      gives: ['department', 'hospital', 'doctor'],
    },
  ];
}

/** Has two listeners, the one that asks for certificates and the one that does without, answer as every service by its name. */
function serveAll({ static_resources }: EnvoyConfig, ca: TestCa, proxies: ReadonlyMap<string, Leaf>): void {
  for (const listener of static_resources.listeners) {
    const [chain] = listener.filter_chains;
    if (chain === undefined) continue;
    listener.filter_chains = [...proxies].map(([host, leaf]) => {
      const own = { ...structuredClone(chain), filter_chain_match: { server_names: [host] } };
      const tls = own.transport_socket.typed_config.common_tls_context;
      tls.tls_certificates = [
        { certificate_chain: { filename: leaf.certFile }, private_key: { filename: leaf.keyFile } },
      ];
      const { trusted_ca, custom_validator_config } = tls.validation_context;
      if (trusted_ca) trusted_ca.filename = ca.bundleFile;
      for (const { trust_bundle } of custom_validator_config?.typed_config.trust_domains ?? [])
        trust_bundle.filename = ca.bundleFile;
      return own;
    });
    const typed_config = {
      '@type': 'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
    };
    Object.assign(listener, {
      listener_filters: [{ name: 'envoy.filters.listener.tls_inspector', typed_config }],
    });
  }
}

async function outcomeOf({ envoy, pdp, upstream }: Mesh, ca: TestCa, call: Call): Promise<CallOutcome> {
  const [asked, seen] = [(await pdp.records(0)).length, upstream.seen.length];
  const leaf = call.from === null ? undefined : await ca.issue({ spiffeId: `${DOMAIN}${call.from}` });
  const answer = await send(call, envoy.ports[leaf ? 'ledger-api' : 'edge'], ca, leaf);
  const records = (await pdp.records(asked + 1)).slice(asked);
  expect(records).toHaveLength(1);
  return { ...answer, record: records[0], served: upstream.seen.length > seen };
}

type Answer = Omit<CallOutcome, 'record' | 'served'>;

function send(call: Call, port: number, ca: TestCa, leaf: Leaf | undefined): Promise<Answer> {
  const options = {
    host: '127.0.0.1',
    port,
    servername: call.to,
    ca: ca.bundle,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    method: call.method ?? 'GET',
    path: call.path,
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(options, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const status = incoming.statusCode ?? 0;
        const problem = status === 200 ? {} : (JSON.parse(body) as { reason?: string; detail?: string });
        resolve({
          status,
          reason: problem.reason,
          message: problem.detail,
          challenge: incoming.headers['www-authenticate'],
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.setHeader('host', call.to);
    if (call.token !== undefined) outgoing.setHeader('authorization', `Bearer ${call.token}`);
    if (options.method !== 'GET') outgoing.setHeader('content-length', '0');
    outgoing.end();
  });
}

/** What a row of a scenario expects. */
export interface Expected {
  /** Of a deny; default 403. */
  readonly status?: number;
  readonly reason: string;
  /** Policies that decided; default none. */
  readonly policies?: readonly string[];
}

/** Makes the call, and asserts that the answer, the record and what the service saw tell the same. */
export async function expectCall(
  mesh: ScenarioMesh,
  call: Call,
  { status = 403, reason, policies = [] }: Expected,
): Promise<CallOutcome> {
  const outcome = await mesh.call(call);
  const allowed = reason === 'permitted';
  // A request that is refused before policies are asked has no identities in its record.
  const proven = call.from !== null && !/^(?:token|path)_/.test(reason);
  const source = { spiffe_id: `${DOMAIN}${call.from ?? ''}`, evidence: 'principal' };
  expect(outcome.record).toMatchObject({
    decision: allowed ? 'ALLOW' : 'DENY',
    reason,
    method: call.method ?? 'GET',
    host: call.to,
    ...(proven && { source_identity: source }),
  });
  expect(outcome.record?.path ?? outcome.record?.path_raw).toBe(call.path);
  if (call.from === null) expect(outcome.record).not.toHaveProperty('source_identity');
  expect(outcome.record?.policies.toSorted()).toEqual(policies.toSorted());
  expect(outcome).toMatchObject({ status: allowed ? 200 : status, served: allowed });
  if (!allowed) expect(outcome.reason).toBe(reason);
  return outcome;
}
