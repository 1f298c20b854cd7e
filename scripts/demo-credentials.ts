// Makes the throw-away certificates and tokens that deploy/docker/compose.yaml mounts.
// Usage: node scripts/demo-credentials.ts FOLDER
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestCa } from '../test/support/test-ca.ts';
import { createTestIssuer } from '../test/support/test-issuer.ts';

const DAY_MS = 86_400_000;
const WORKLOADS = {
  'ledger-api': '/ns/ledger/sa/ledger-api',
  'reports-api': '/ns/finance/sa/reports-api',
  pep: '/ns/mesh/sa/pep',
  'cedar-pdp': '/ns/cedar-pdp/sa/cedar-pdp',
  'payment-api': '/ns/payments/sa/payment-api',
  web: '/ns/frontend/sa/web',
  'dashboard-app': '/ns/finance/sa/dashboard-app',
};

const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: node scripts/demo-credentials.ts FOLDER');
  process.exitCode = 2;
} else {
  await mkdir(folder, { recursive: true });
  await using ca = await createTestCa('prod.example.com');
  // Readable by the users that the containers run as. These keys open nothing but the demo, for a day.
  const save = (name: string, text: string): Promise<void> =>
    writeFile(join(folder, name), text, { mode: 0o644 });
  await save('bundle.pem', ca.bundle);
  for (const [name, path] of Object.entries(WORKLOADS)) {
    const spiffeId = `spiffe://${ca.trustDomain}${path}`;
    const leaf = await ca.issue({ spiffeId, dns: ['localhost', name], lifetimeMs: DAY_MS });
    await save(`${name}.pem`, leaf.cert);
    await save(`${name}-key.pem`, leaf.key);
  }
  const issuer = await createTestIssuer(join(folder, 'jwks.json'));
  await save('alice.jwt', await issuer.token({ lifetimeS: DAY_MS / 1000 }));
  console.log(`certificates, keys, jwks.json and alice.jwt are in ${folder}; they end in a day`);
}
