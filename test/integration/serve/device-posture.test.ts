import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeCheckRequest } from '../../../src/api/ext-authz/client.ts';
import type { App } from '../../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { type DecisionRecord, readRecords } from '../../support/pdp-process.ts';
import { EXT_AUTHZ_TYPES, accessRequest } from '../../support/requests.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const AUDIENCE = 'pdp';
/** Only a device whose holder was proven, and that is encrypted. */
const POLICY = `@id("bound") permit (principal, action, resource) when {
  context has device_evidence && context.device_evidence == "bound_assertion" &&
  context has device && context.device has disk_encrypted && context.device.disk_encrypted
};`;

let folder: ConfigFolder;
let app: App;
let ca: TestCa;
let mdm: TestIssuer;
let idp: TestIssuer;
let laptop: Leaf;

const issuer = (
  name: string,
  use: string,
  { issuer: iss }: TestIssuer,
  type: string,
  claims: object = {},
) => ({
  name,
  issuer: iss,
  use,
  audiences: [AUDIENCE],
  algorithms: ['ES256'],
  types: [type],
  jwks: { file: join(folder.path, `${name}.json`) },
  claims,
});

beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  laptop = await ca.issue({ spiffeId: 'spiffe://prod.example.com/device/laptop-1' });
  mdm = await createTestIssuer({ issuer: 'https://mdm.example.com', audience: AUDIENCE, typ: 'posture+jwt' });
  idp = await createTestIssuer({ issuer: 'https://idp.example.com', audience: AUDIENCE });
  folder = await createConfigFolder();
  const set = join(folder.path, 'set');
  await mkdir(set);
  await writeFile(join(set, 'bound.cedar'), POLICY);
  await writeFile(
    join(set, 'schema.cedarschema'),
    await readFile(join(POLICIES, 'schema.cedarschema'), 'utf8'),
  );
  await writeFile(join(folder.path, 'mdm.json'), JSON.stringify(mdm.jwks));
  await writeFile(join(folder.path, 'idp.json'), JSON.stringify(idp.jwks));
  await using config = await createConfigFolder({
    demo: false,
    policies: { sets: [set] },
    audit: { dir: folder.auditDir },
    pips: [],
    issuers: [
      issuer('mdm', 'device', mdm, 'posture+jwt'),
      issuer('idp', 'user', idp, 'at+jwt', { device_id: 'device_id', device_issuer: 'mdm' }),
    ],
    devices: { max_posture_age_s: 3600, max_posture_age_s_by_issuer: { mdm: 600 } },
  });
  app = await startTestApp(config);
});
afterAll(async () => {
  await app.stop();
  await folder[Symbol.asyncDispose]();
  await ca[Symbol.asyncDispose]();
});

const fingerprint = ({ chain: [leaf = Buffer.alloc(0)] }: Leaf) =>
  createHash('sha256').update(leaf).digest('base64url');

const assertion = (claims: object = {}) =>
  mdm.sign({ sub: 'laptop-1', posture: { disk_encrypted: true }, ...claims });

/** Asks about a request that came over mutual TLS with a certificate. */
async function ask(
  from: Leaf,
  headers: readonly (readonly [string, string])[],
): Promise<DecisionRecord & { readonly device: { readonly id: string; readonly evidence: string } | null }> {
  const request = accessRequest({ source: from.spiffeId, method: 'GET', headers });
  const certificate = encodeURIComponent(from.cert);
  using client = connect(app.addresses.grpc);
  const { metadata } = await client.check(
    encodeCheckRequest(
      { ...request, source: { ...request.source, certificate } },
      EXT_AUTHZ_TYPES.CheckRequest,
    ),
  );
  return await eventually('the record', async () => {
    const records = await readRecords(folder.auditDir);
    return records.find(({ decision_id: id }) => id === metadata['decision_id']) as Awaited<
      ReturnType<typeof ask>
    >;
  });
}

describe('a device posture that is bound to a certificate', () => {
  test('is taken from whoever showed the certificate, and recorded as bound', async () => {
    const bound = await assertion({ cnf: { 'x5t#S256': fingerprint(laptop) } });
    expect(await ask(laptop, [['x-device-assertion', bound]])).toMatchObject({
      decision: 'ALLOW',
      device: { id: 'mdm/laptop-1', evidence: 'bound_assertion' },
    });
  });

  test('is refused from whoever has stolen it', async () => {
    const thief = await ca.issue({ spiffeId: 'spiffe://prod.example.com/device/laptop-2' });
    const bound = await assertion({ cnf: { 'x5t#S256': fingerprint(laptop) } });
    const record = await ask(thief, [['x-device-assertion', bound]]);
    expect(record).toMatchObject({
      decision: 'DENY',
      reason: 'device_assertion_invalid',
      detail: expect.stringContaining('another certificate') as string,
    });
    expect(record).not.toHaveProperty('device');
  });

  test('is what the policy can ask for, and a bearer assertion is not it', async () => {
    expect(await ask(laptop, [['x-device-assertion', await assertion()]])).toMatchObject({
      decision: 'DENY',
      reason: 'no_permit',
      device: { evidence: 'assertion' },
    });
  });

  test('must be as young as its issuer’s may be', async () => {
    const cnf = { 'x5t#S256': fingerprint(laptop) };
    const observed = Math.floor(Date.now() / 1000) - 900;
    const posture = { disk_encrypted: true, observed_at: observed };
    expect(await ask(laptop, [['x-device-assertion', await assertion({ cnf, posture })]])).toMatchObject({
      decision: 'DENY',
      reason: 'device_assertion_invalid',
      detail: expect.stringContaining('may be 600 s at most') as string,
    });
  });

  test('must be of the device that the user’s token names, by the issuer that the configuration says', async () => {
    const bound = await assertion({ cnf: { 'x5t#S256': fingerprint(laptop) } });
    const headersOf = async (device: string): Promise<[string, string][]> => [
      ['x-device-assertion', bound],
      ['authorization', `Bearer ${await idp.sign({ device_id: device })}`],
    ];
    expect(await ask(laptop, await headersOf('laptop-1'))).toMatchObject({
      decision: 'ALLOW',
      user: 'idp/alice',
    });
    expect(await ask(laptop, await headersOf('laptop-2'))).toMatchObject({
      decision: 'DENY',
      reason: 'evidence_conflict',
    });
  });
});
