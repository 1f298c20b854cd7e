import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { encodeCheckRequest } from '../../../src/api/ext-authz/client.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { type DecisionRecord, readRecords } from '../../support/pdp-process.ts';
import { EXT_AUTHZ_TYPES, PAYMENT_API, accessRequest } from '../../support/requests.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { crowdStrikeAssessment, fleetHost } from '../../unit/pip/device/mappings/payloads.ts';
import { type Behaviour, type FactsServer, answering, startFactsServer } from '../pip/facts-server.ts';

const POLICY = `@id("finance-on-a-good-device") permit (principal in ZeroTrust::Group::"Finance", action, resource) when {
  principal has department && principal.department == "finance" &&
  context has device && context.device has disk_encrypted && context.device.disk_encrypted &&
  context.device has compliant && context.device.compliant &&
  context.device has risk && context.device.risk == "low" &&
  context.device has vendor && context.device.vendor has crowdstrike &&
  context.device.vendor.crowdstrike has zta_score && context.device.vendor.crowdstrike.zta_score > 80
};`;
const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';

let folder: ConfigFolder;
let app: App;
let idp: TestIssuer;
let directory: FactsServer;
let fleet: FactsServer;
let falcon: FactsServer;

const alice: Behaviour = answering({
  schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
  totalResults: 1,
  Resources: [
    {
      id: '1',
      userName: 'alice',
      active: true,
      [ENTERPRISE]: { department: 'finance' },
      groups: [{ value: 'g2', display: 'Finance' }],
    },
  ],
});
const goodHost = (parts: object = {}): Behaviour =>
  answering(fleetHost({ detail_updated_at: now(), policy_updated_at: now(), ...parts }));
const assessed = (score: number): Behaviour => {
  const [resource] = crowdStrikeAssessment(score).resources;
  return answering({ resources: [{ ...resource, modified_time: now() }] });
};
const now = (): string => new Date().toISOString();

beforeAll(async () => {
  [directory, fleet, falcon] = await Promise.all([
    startFactsServer(alice),
    startFactsServer(goodHost()),
    startFactsServer(assessed(90)),
  ]);
  idp = await createTestIssuer({ issuer: 'https://idp.example.com', audience: 'pdp' });
  folder = await createConfigFolder();
  const set = join(folder.path, 'set');
  await mkdir(set);
  await writeFile(join(set, 'policy.cedar'), POLICY);
  const schema = await readFile(join(POLICIES, 'schema.cedarschema'), 'utf8');
  await writeFile(join(set, 'schema.cedarschema'), schema);
  await writeFile(join(folder.path, 'idp.json'), JSON.stringify(idp.jwks));
  await writeFile(join(folder.path, 'token'), 'fleet-token\n');
  const fresh = { fresh_ms: 1, absent_ms: 0, timeout_ms: 2000, breaker: { failures: 1000 } };
  await using config = await createConfigFolder({
    demo: false,
    policies: { sets: [set] },
    audit: { dir: folder.auditDir },
    decision: { timeout_ms: 5000, cache: { max_age_ms: 0 } },
    issuers: [
      {
        name: 'idp',
        issuer: idp.issuer,
        audiences: ['pdp'],
        algorithms: ['ES256'],
        types: ['at+jwt'],
        jwks: { file: join(folder.path, 'idp.json') },
        claims: { device_id: 'device_id' },
      },
    ],
    pips: [
      {
        ...fresh,
        name: 'directory',
        kind: 'scim',
        subject: 'user',
        gives: ['department', 'groups'],
        url: `${directory.origin}/scim/v2`,
        issuer: 'idp',
        group_id: 'display',
        attributes: { department: `/${ENTERPRISE}/department` },
      },
      {
        ...fresh,
        name: 'fleet',
        kind: 'http',
        mapping: 'fleet',
        subject: 'device',
        gives: ['compliant', 'disk_encrypted', 'os'],
        url: `${fleet.origin}/api/v1/fleet/hosts/identifier/{name}?exclude_software=true`,
        issuer: 'idp',
        token_file: join(folder.path, 'token'),
      },
      {
        ...fresh,
        name: 'falcon',
        kind: 'http',
        mapping: 'crowdstrike',
        subject: 'device',
        gives: ['risk', 'vendor'],
        url: `${falcon.origin}/zero-trust-assessment/entities/assessments/v1?ids={name}`,
        issuer: 'idp',
      },
    ],
  });
  app = await startTestApp(config);
});

afterAll(async () => {
  await app.stop();
  for (const part of [directory, fleet, falcon, folder]) await part[Symbol.asyncDispose]();
});

beforeEach(() => {
  directory.behave(alice);
  fleet.behave(goodHost());
  falcon.behave(assessed(90));
});

async function ask(sub = 'alice'): Promise<DecisionRecord> {
  const token = await idp.sign({ sub, device_id: 'laptop-1' });
  const headers = [['authorization', `Bearer ${token}`]] as const;
  const request = accessRequest({ source: PAYMENT_API, method: 'GET', headers });
  using client = connect(app.addresses.grpc);
  const { metadata } = await client.check(encodeCheckRequest(request, EXT_AUTHZ_TYPES.CheckRequest));
  return await eventually('the record', async () =>
    (await readRecords(folder.auditDir)).find(({ decision_id: id }) => id === metadata['decision_id']),
  );
}

test('a user of a directory, on a device that its vendors speak well of, is let in', async () => {
  expect(await ask()).toMatchObject({ decision: 'ALLOW' });
  expect(fleet.asked.at(-1)).toMatchObject({
    url: '/api/v1/fleet/hosts/identifier/laptop-1?exclude_software=true',
    headers: { authorization: 'Bearer fleet-token' },
  });
});

test.each<[string, () => void]>([
  [
    'the directory does not know the user',
    () =>
      directory.behave(
        answering({ schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'], totalResults: 0 }),
      ),
  ],
  ['the device is not encrypted', () => fleet.behave(goodHost({ disk_encryption_enabled: false }))],
  [
    'it is not known whether the device is encrypted',
    () => fleet.behave(goodHost({ disk_encryption_enabled: null })),
  ],
  [
    'a policy of Fleet fails on the device',
    () => fleet.behave(goodHost({ policies: [{ response: 'fail' }] })),
  ],
  ['the device is not known', () => fleet.behave((_asked, response) => response.writeHead(404).end())],
  ['the score of the device is low', () => falcon.behave(assessed(20))],
])('nobody is let in where %s', async (_what, change) => {
  change();
  expect(await ask()).toMatchObject({ decision: 'DENY', reason: 'no_permit' });
});

test.each<[string, () => void, string]>([
  [
    'the directory fails',
    () => directory.behave((_asked, response) => response.writeHead(500).end('secret')),
    'directory: answered with status 500',
  ],
  [
    'the directory answers nonsense',
    () => directory.behave(answering(['secret'])),
    'directory: answered with a list that is not an object',
  ],
  [
    "a vendor's answer is not as documented",
    () => fleet.behave(goodHost({ disk_encryption_enabled: 'secret' })),
    "fleet: answered with JSON that has no true or false at '/disk_encryption_enabled'",
  ],
])('nobody is let in where %s, and the record says so', async (_what, change, detail) => {
  change();
  const record = (await ask()) as DecisionRecord & { readonly detail: string };
  expect(record).toMatchObject({ decision: 'DENY', reason: 'attribute_unavailable' });
  expect(record.detail).toContain(detail);
  expect(JSON.stringify(record)).not.toContain('secret');
});
