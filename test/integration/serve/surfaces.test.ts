import { readFile, readdir } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { derOf, startWorkloadApi, svidMessage } from '../../support/workload-api-server.ts';
import { eventually } from '../../support/eventually.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const id = (path: string): string => `spiffe://prod.example.com/ns/${path}`;

function statusOf(address: string, path: string, { cert, key }: Leaf): Promise<number | undefined> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    request({ host, port, path, rejectUnauthorized: false, cert, key }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

/** Whether a check is permitted; `undefined` where the caller is not even connected. */
async function isAllowed(address: string, { bundle }: TestCa, { key, cert }: Leaf) {
  const channel = credentials.createSsl(Buffer.from(bundle), Buffer.from(key), Buffer.from(cert));
  using client = connect(address, channel, true);
  return await client.check(checkRequestBytes(), { deadlineMs: 2000 }).then(
    ({ allowed }) => allowed,
    () => undefined,
  );
}

test('one SVID serves every surface over mutual TLS, and each has an allow list of its own', async () => {
  await using ca = await createTestCa('prod.example.com');
  const pdp = await ca.issue({ spiffeId: id('cedar-pdp/sa/cedar-pdp'), dns: ['pdp.test'] });
  const callers = {
    grpc: await ca.issue({ spiffeId: id('mesh/sa/pep') }),
    http: await ca.issue({ spiffeId: id('ledger/sa/ledger-api') }),
    ops: await ca.issue({ spiffeId: id('monitoring/sa/prometheus') }),
  };
  const surface = (name: keyof typeof callers) => ({
    address: '127.0.0.1:0',
    plaintext: false,
    allow: [callers[name].spiffeId],
  });
  await using folder = await createConfigFolder({
    spiffe: {
      source: 'files',
      cert_file: pdp.certFile,
      key_file: pdp.keyFile,
      bundles: [{ trust_domain: 'prod.example.com', file: ca.bundleFile }],
    },
    grpc: surface('grpc'),
    http: surface('http'),
    ops: surface('ops'),
    onward_identity: { issuer: 'https://pdp.example.com' },
  });
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const { addresses } = app;
  const allowed = (leaf: Leaf) => isAllowed(addresses.grpc, ca, leaf);
  for (const [name, leaf] of Object.entries(callers)) {
    expect([name, await allowed(leaf)]).toEqual([name, name === 'grpc']);
    const keys = await statusOf(addresses.http ?? '', '/.well-known/jwks.json', leaf);
    expect([name, keys]).toEqual([name, name === 'http' ? 200 : 403]);
    const ready = await statusOf(addresses.ops, '/readyz', leaf);
    expect([name, ready]).toEqual([name, name === 'ops' ? 200 : 403]);
  }
});

test.each([
  ['no surface where all are over mutual TLS', false, []],
  ['those on loopback where only gRPC is over mutual TLS', undefined, ['http', 'ops']],
])('the decision log says at its start which surfaces are plaintext: %s', async (_what, plaintext, names) => {
  await using ca = await createTestCa('prod.example.com');
  const pdp = await ca.issue({ spiffeId: id('cedar-pdp/sa/cedar-pdp') });
  const address = '127.0.0.1:0';
  const surface = { address, ...(plaintext !== undefined && { plaintext }) };
  await using folder = await createConfigFolder({
    spiffe: {
      source: 'files',
      cert_file: pdp.certFile,
      key_file: pdp.keyFile,
      bundles: [{ trust_domain: 'prod.example.com', file: ca.bundleFile }],
    },
    grpc: { address },
    http: surface,
    ops: surface,
  });
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const [segment = ''] = (await readdir(folder.auditDir)).filter((name) => name.endsWith('.ndjson'));
  const [line = ''] = (await readFile(join(folder.auditDir, segment), 'utf8')).split('\n');
  expect(JSON.parse(line)).toMatchObject({ kind: 'boot', plaintext: names });
});

test('the HTTP surface is closed while nothing is served on it', async () => {
  await using folder = await createConfigFolder();
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  expect(app.addresses).not.toHaveProperty('http');
});

test('an SVID of the Workload API is waited for, rotates, and is used no more when it is withdrawn', async () => {
  await using ca = await createTestCa('prod.example.com');
  await using partner = await createTestCa('partner.example.org');
  await using api = await startWorkloadApi();
  const federated = { 'spiffe://partner.example.org': derOf(partner.bundle) };
  api.send('FetchX509Bundles', {
    bundles: { 'spiffe://prod.example.com': derOf(ca.bundle), ...federated },
  });
  api.send('FetchJWTBundles', {
    bundles: { 'spiffe://prod.example.com': Buffer.from('{"keys":[]}') },
  });
  const issue = async () => {
    const leaf = await ca.issue({ spiffeId: id('cedar-pdp/sa/cedar-pdp'), dns: ['pdp.test'] });
    api.send('FetchX509SVID', {
      svids: [svidMessage(leaf, ca.bundle)],
      federated_bundles: federated,
    });
  };
  await using folder = await createConfigFolder({
    spiffe: { source: 'workload_api', endpoint: api.endpoint },
    grpc: { address: '127.0.0.1:0', allow: ['spiffe://partner.example.org/*'] },
  });
  const starting = startTestApp(folder);
  await eventually('it asks', () => (api.opened('FetchX509SVID') > 0 ? true : undefined));
  await issue();
  const app = await starting;
  onTestFinished(() => app.stop());
  const caller = await partner.issue({ spiffeId: 'spiffe://partner.example.org/ns/mesh/sa/pep' });
  const isCalled = () => isAllowed(app.addresses.grpc, ca, caller);
  expect(await isCalled()).toBe(true);
  await issue();
  expect(await isCalled()).toBe(true);
  api.refuse('FetchX509SVID', status.PERMISSION_DENIED);
  await eventually('nobody is let in', async () => ((await isCalled()) === undefined ? true : undefined));
  expect(app.readiness().problems).toEqual([
    expect.stringMatching(/^we hold no SVID of our own: the SPIFFE Workload API gives us none/),
  ]);
});
