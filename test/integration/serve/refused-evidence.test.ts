import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadDecisionServiceTypes } from '../../../src/api/protos.ts';
import type { App } from '../../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, demoConfig, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { PAYMENT_API, type RequestOptions, checkRequestBytes } from '../../support/requests.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const OTHER = { aud: 'another' };
const LONG_AGO = { iat: 1, exp: 2 };

let folder: ConfigFolder;
let app: App;
const issuers = new Map<string, TestIssuer>();

async function addIssuer(name: string, typ: string, rest: object): Promise<object> {
  const issuer = await createTestIssuer({ issuer: `https://${name}.example`, audience: 'pdp', typ });
  issuers.set(name, issuer);
  const file = join(folder.path, `${name}.json`);
  await writeFile(file, JSON.stringify(issuer.jwks));
  const common = { name, issuer: issuer.issuer, audiences: ['pdp'], algorithms: ['ES256'], jwks: { file } };
  return { ...common, ...rest };
}

async function token(name: string, claims: object = {}): Promise<string> {
  const issuer = issuers.get(name);
  if (!issuer) throw new Error(`no issuer ${name}`);
  return issuer.sign({ ...claims });
}

beforeAll(async () => {
  folder = await createConfigFolder();
  const config = {
    ...demoConfig(folder.path),
    demo: false,
    pips: [],
    check: { plaintext_callers: { subjects: ['User'], resources: ['Endpoint'] } },
    issuers: [
      await addIssuer('idp', 'at+jwt', { types: ['at+jwt'] }),
      await addIssuer('mdm', 'device+jwt', { types: ['device+jwt'], use: 'device' }),
      await addIssuer('cluster', 'JWT', {
        use: 'workload',
        kubernetes: { trust_domain: 'prod.example.com' },
      }),
    ],
  };
  await writeFile(folder.configFile, stringify(config));
  app = await startTestApp(folder);
});

afterAll(async () => {
  await app.stop();
  await folder[Symbol.asyncDispose]();
});

async function counted(kind: string, cause: string): Promise<number> {
  const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
  const line = new RegExp(`^pdp_evidence_refused_total\\{kind="${kind}",cause="${cause}"\\} (\\d+)$`, 'm');
  return Number(line.exec(metrics)?.[1] ?? 0);
}

async function recordOf(id: unknown): Promise<unknown> {
  return await eventually('the record is in the log', async () =>
    (await readRecords(folder.auditDir)).find(({ decision_id }) => decision_id === id),
  );
}

const bearer = async (claims: object): Promise<RequestOptions> => ({
  headers: [['authorization', `Bearer ${await token('idp', claims)}`]],
});
const device = async (claims: object): Promise<RequestOptions> => ({
  headers: [['x-device-assertion', await token('mdm', claims)]],
});
const workload = async (claims: object): Promise<RequestOptions> => ({
  headers: [['x-workload-token', await token('cluster', claims)]],
});
const junk = (header: string, value: string) => (): Promise<RequestOptions> =>
  Promise.resolve({ headers: [[header, value]] });
const principal = (source: string) => (): Promise<RequestOptions> => Promise.resolve({ source });

test.each<[kind: string, cause: string, what: () => Promise<RequestOptions>]>([
  ['token', 'audience', () => bearer(OTHER)],
  ['token', 'expired', () => bearer(LONG_AGO)],
  ['token', 'issuer', () => bearer({ iss: 'https://elsewhere.example' })],
  ['token', 'malformed', junk('authorization', 'Bearer a.b.c')],
  ['device', 'audience', () => device(OTHER)],
  ['device', 'expired', () => device(LONG_AGO)],
  ['device', 'malformed', junk('x-device-assertion', 'a.b.c')],
  ['workload', 'audience', () => workload(OTHER)],
  ['workload', 'expired', () => workload(LONG_AGO)],
  ['workload', 'spiffe_id', principal('spiffe://prod.example.com/ns//sa/x')],
])('evidence about a %s with its %s wrong is counted and recorded as that', async (kind, cause, what) => {
  const before = await counted(kind, cause);
  using client = connect(app.addresses.grpc);
  const answer = await client.check(checkRequestBytes(await what()));
  expect(answer.allowed).toBe(false);
  expect(await counted(kind, cause)).toBe(before + 1);
  const proven = { source_identity: { spiffe_id: PAYMENT_API, evidence: 'principal' }, mtls: true };
  const record = await recordOf(answer.metadata['decision_id']);
  expect(record).toMatchObject({ cause, ...(kind === 'workload' ? {} : proven) });
  if (kind === 'token') expect(record).toMatchObject({ token: { state: 'invalid' } });
  else expect(record).not.toHaveProperty('token');
  if (kind === 'workload')
    for (const member of ['source_identity', 'mtls']) expect(record).not.toHaveProperty(member);
});

test('a caller that may not ask is counted', async () => {
  const { CheckRequest } = loadDecisionServiceTypes();
  // Callers of a plaintext listener have no identity to be granted more.
  const question = CheckRequest.fromObject({
    subject: { type: 'Workload', id: PAYMENT_API },
    action: { name: 'GET' },
    resource: { type: 'Service', id: 'spiffe://prod.example.com/ns/a/sa/b' },
  });
  const bytes = CheckRequest.encode(question).finish();
  using client = connect(app.addresses.grpc);
  await expect(client.unary('/pdp.v1.DecisionService/Check', bytes)).rejects.toMatchObject({ code: 7 });
  expect(await counted('caller', 'not_allowed')).toBe(1);
});
