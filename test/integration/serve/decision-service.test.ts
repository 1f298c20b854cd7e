import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChannelCredentials, credentials, status } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { loadDecisionServiceTypes } from '../../../src/api/protos.ts';
import { createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { type Leaf, createTestCa } from '../../support/test-ca.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { struct } from '../../unit/api/decision-service/fixture.ts';

const TYPES = loadDecisionServiceTypes();
const TRUST_DOMAIN = 'prod.example.com';
const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';
const PEP = 'spiffe://prod.example.com/ns/mesh/sa/envoy';
const APP = 'spiffe://prod.example.com/ns/clinic/sa/appointments-app';
const OPERATOR = 'spiffe://prod.example.com/ns/ops/sa/operator';

interface Answer {
  readonly code: number;
  readonly details?: string;
  readonly message: { readonly [name: string]: unknown };
}

/** A client of the decision service; with a leaf over mutual TLS. */
function clientOf(address: string, channel?: ChannelCredentials) {
  const client = connect(address, channel);
  onTestFinished(() => client[Symbol.dispose]());
  return async (method: 'Check' | 'BatchCheck' | 'Explain', message: object): Promise<Answer> => {
    const request = TYPES[`${method}Request`];
    const response = TYPES[`${method}Response`];
    const bytes = request.encode(request.fromObject(message)).finish();
    try {
      const answer = await client.unary(`/pdp.v1.DecisionService/${method}`, bytes);
      return {
        code: status.OK,
        message: response.toObject(response.decode(answer), { enums: String, longs: Number }),
      };
    } catch (error) {
      const { code, details } = error as { code: number; details: string };
      return { code, details, message: {} };
    }
  };
}

const as = (leaf: Leaf, roots: string) =>
  credentials.createSsl(Buffer.from(roots), Buffer.from(leaf.key), Buffer.from(leaf.cert));

/** The clinic, over mutual TLS, with the facts of its doctors and appointments. */
async function startClinic(check: object, more: object = {}) {
  const ca = await createTestCa(TRUST_DOMAIN);
  onTestFinished(() => ca[Symbol.asyncDispose]());
  const pdp = await ca.issue({ spiffeId: PDP, dns: ['pdp.test'] });
  const folder = await createConfigFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const facts = async (name: string, content: object) => {
    const file = join(folder.path, `${name}.json`);
    await writeFile(file, JSON.stringify(content));
    return { name, kind: 'static_file', file };
  };
  const doctor = { groups: ['clinic/doctors'], department: 'cardiology', hospital: 'north' };
  const config = {
    demo: true,
    spiffe: {
      source: 'files',
      cert_file: pdp.certFile,
      key_file: pdp.keyFile,
      bundles: [{ trust_domain: TRUST_DOMAIN, file: ca.bundleFile }],
    },
    grpc: { address: '127.0.0.1:0', allow: [PEP] },
    ops: { address: '127.0.0.1:0', plaintext: true },
    http: { address: '127.0.0.1:0', plaintext: true },
    policies: { sets: [join(POLICIES, 'clinic')] },
    decision: { timeout_ms: 2000 },
    check,
    pips: [
      {
        ...(await facts('directory', { 'demo/dr-grey': doctor })),
        subject: 'user',
        gives: ['groups', 'department', 'hospital'],
      },
      {
        ...(await facts('appointments', {
          '7': { department: 'cardiology', hospital: 'north', doctor: 'dr-grey' },
          '8': { department: 'oncology', hospital: 'north', doctor: 'dr-bailey' },
        })),
        subject: 'appointment',
        gives: ['department', 'hospital', 'doctor'],
      },
    ],
    audit: { dir: folder.auditDir },
    ...more,
  };
  await writeFile(folder.configFile, JSON.stringify(config));
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const asking = async (spiffeId: string) =>
    clientOf(app.addresses.grpc, as(await ca.issue({ spiffeId }), ca.bundle));
  const token = async () => {
    const config = ['--config', folder.configFile];
    const scope = ['--scope', 'appointments:read'];
    const minted = await runPdp('demo', 'token', '--user', 'dr-grey', ...scope, ...config);
    return minted.out.trim();
  };
  return { folder, app, asking, token };
}

const appointment = (id: string) => ({ type: 'Appointment', id });

test('an application asks over mutual TLS about the user it serves, and is the source of the access', async () => {
  const { folder, asking, token } = await startClinic({
    namespace: 'Clinic',
    callers: [{ allow: [APP], resources: ['Appointment'] }],
    explain: { allow: ['spiffe://prod.example.com/ns/ops/*'] },
  });
  const app = await asking(APP);
  const subject = { token: await token() };
  const question = { subject, action: { name: 'view' }, resource: appointment('7') };

  const permitted = await app('Check', question);
  expect(permitted.message).toMatchObject({ decision: 'DECISION_ALLOW', reason: 'permitted' });
  expect(permitted.message['policies']).toBeUndefined();
  const batch = await app('BatchCheck', { ...question, items: [{}, { resource: appointment('8') }] });
  expect(batch.message['results']).toMatchObject([
    { response: { reason: 'permitted' } },
    { response: { decision: 'DECISION_DENY', reason: 'no_permit' } },
  ]);

  // Neither a word of its own about the object, nor another type, nor an explanation was granted.
  const forged = { ...appointment('8'), properties: struct({ department: 'cardiology' }) };
  expect((await app('Check', { ...question, resource: forged })).code).toBe(status.PERMISSION_DENIED);
  expect((await app('Explain', { check: question })).code).toBe(status.PERMISSION_DENIED);

  const operator = await asking(OPERATOR);
  expect((await operator('Check', question)).code).toBe(status.PERMISSION_DENIED);
  const why = await operator('Explain', { check: { ...question, resource: appointment('8') } });
  expect(why.message['text']).toContain('clinic.doctors-view-their-department');
  expect(why.message['text']).toContain('appointments-app');

  const records = await eventually('the records', async () => {
    const all = await readRecords(folder.auditDir);
    return all.length >= 7 ? all : undefined;
  });
  expect(records[0]).toMatchObject({
    surface: 'check',
    user: 'demo/dr-grey',
    source_identity: { spiffe_id: APP },
    pep: { spiffe_id: APP },
    resource: 'Clinic::Appointment::"7"',
    pip: [{ source: 'directory' }, { source: 'appointments' }],
  });
  expect(records.at(-1)).toMatchObject({ explained: true, enforced: false, pep: { spiffe_id: OPERATOR } });
  expect(JSON.stringify(records)).not.toContain(subject.token);
});

test('where PEPs must send the certificate of the source, callers are proven by their own connection, and explanations are given', async () => {
  const { folder, asking, token } = await startClinic(
    {
      namespace: 'Clinic',
      callers: [{ allow: [APP], resources: ['Appointment'] }],
      explain: { allow: [OPERATOR] },
    },
    { workloads: { verify_source_certificates: 'chain' } },
  );
  const question = {
    subject: { token: await token() },
    action: { name: 'view' },
    resource: appointment('7'),
  };
  const app = await asking(APP);
  expect((await app('Check', question)).message).toMatchObject({ reason: 'permitted' });
  const operator = await asking(OPERATOR);
  const http = {
    method: 'GET',
    path: '/appointments/7',
    host: 'clinic.example',
    scheme: 'https',
    source: APP,
  };
  for (const asked of [{ check: question }, { http }]) {
    const { message } = await operator('Explain', asked);
    expect(message['response']).toMatchObject({ decision: 'DECISION_DENY' });
    expect(message['response']).not.toMatchObject({ reason: 'workload_evidence_invalid' });
  }
  const records = await eventually('the records', async () => {
    const all = await readRecords(folder.auditDir);
    return all.length >= 3 ? all : undefined;
  });
  expect(records.map(({ source_identity: source }) => source)).toMatchObject([
    { spiffe_id: APP },
    { spiffe_id: OPERATOR },
    { spiffe_id: APP },
  ]);
});

test('the token of a subject is verified for its issuer, in whatever header a request would carry it', async () => {
  const proxy = await createTestIssuer({ issuer: 'https://proxy.example.com', audience: 'clinic' });
  const { issuer, algorithm } = proxy;
  await using files = await createConfigFolder();
  const file = join(files.path, 'proxy.jwks.json');
  await writeFile(file, JSON.stringify(proxy.jwks));
  const rules = { audiences: ['clinic'], algorithms: [algorithm], jwks: { file } };
  const { folder, asking } = await startClinic(
    { namespace: 'Clinic', callers: [{ allow: [APP], resources: ['Appointment'] }] },
    { issuers: [{ name: 'proxy', issuer, header: 'x-proxy-assertion', ...rules }] },
  );
  const app = await asking(APP);
  const ask = (token: string) =>
    app('Check', { subject: { token }, action: { name: 'view' }, resource: appointment('7') });
  const denied = await ask(await proxy.sign({ sub: 'dr-grey' }));
  expect(denied.message).toMatchObject({ reason: 'policy_forbids' });
  expect((await ask(await proxy.sign({ aud: 'others' }))).message).toMatchObject({
    reason: 'token_audience_wrong',
  });
  const unknown = await ask(await proxy.sign({ iss: 'https://other.example.com' }));
  expect(unknown.message).toMatchObject({ reason: 'token_issuer_unknown' });
  const records = await eventually('the records', async () => {
    const all = await readRecords(folder.auditDir);
    return all.length >= 3 ? all : undefined;
  });
  expect(records[0]).toMatchObject({ user: 'proxy/dr-grey', source_identity: { spiffe_id: APP } });
});

test('a PEP that may ask for its requests may ask nothing here, and nobody may where nobody was granted anything', async () => {
  const { asking, token } = await startClinic({});
  const question = { subject: { token: await token() }, action: { name: 'GET' }, resource: appointment('7') };
  for (const spiffeId of [PEP, APP]) {
    const ask = await asking(spiffeId);
    expect(await ask('Check', question)).toMatchObject({ code: status.PERMISSION_DENIED });
    expect(await ask('BatchCheck', { items: [question] })).toMatchObject({ code: status.PERMISSION_DENIED });
    expect(await ask('Explain', { check: question })).toMatchObject({ code: status.PERMISSION_DENIED });
  }
});

test('callers of a plaintext listener may ask only what was chosen; health, reflection and metrics know the service', async () => {
  await using folder = await createConfigFolder({
    check: {
      plaintext_callers: { subjects: ['User'], resources: ['Endpoint'], properties: ['resource.host'] },
    },
  });
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const ask = clientOf(app.addresses.grpc);
  const question = {
    subject: { type: 'User', id: 'demo/alice' },
    action: { name: 'GET' },
    resource: {
      type: 'Endpoint',
      id: 'spiffe://prod.example.com/ns/finance/sa/reports-api /reports',
      properties: struct({ host: 'reports-api.finance' }),
    },
  };
  expect((await ask('Check', question)).message).toMatchObject({ decision: 'DECISION_DENY' });
  expect((await ask('Explain', { check: question })).code).toBe(status.PERMISSION_DENIED);
  const workload = { type: 'Workload', id: PEP };
  expect((await ask('Check', { ...question, subject: workload })).code).toBe(status.PERMISSION_DENIED);

  using raw = connect(app.addresses.grpc);
  // HealthCheckRequest{service}, HealthCheckResponse{status: SERVING}
  const name = Buffer.from('pdp.v1.DecisionService');
  const healthy = await raw.unary(
    '/grpc.health.v1.Health/Check',
    Buffer.concat([Buffer.from([0x0a, name.length]), name]),
  );
  expect([...healthy]).toEqual([0x08, 1]);
  const listed = await listServices(raw);
  expect(listed).toContain('pdp.v1.DecisionService');
  const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
  expect(metrics).toMatch(/pdp_checks_total\{surface="check",decision="DENY",reason="caller_not_allowed"/);
});

/** What server reflection lists. */
async function listServices({ client }: ReturnType<typeof connect>): Promise<string> {
  const asIs = (bytes: Buffer) => bytes;
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const stream = client.makeBidiStreamRequest(path, asIs, asIs);
  // ServerReflectionRequest{list_services: "*"}
  stream.write(Buffer.from([0x3a, 1, 0x2a]));
  stream.end();
  const answers: Buffer[] = [];
  for await (const bytes of stream) answers.push(bytes as Buffer);
  return Buffer.concat(answers).toString('latin1');
}
