import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openIdentity } from '../../../src/compose/svid.ts';
import { Spiffe } from '../../../src/config/surfaces.ts';
import { createMetrics } from '../../../src/telemetry.ts';
import { eventually } from '../../support/eventually.ts';
import { type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type ManualClock, type MemoryLog, START, manualClock, memoryLog } from '../pip/fixture.ts';

const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';

let stack: AsyncDisposableStack;
let folder: string;
let ca: TestCa;
let clock: ManualClock;
let log: MemoryLog;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'pdp-identity-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  ca = stack.use(await createTestCa('prod.example.com'));
  clock = manualClock();
  clock.advance(Date.now() - START);
  log = memoryLog();
});

afterEach(() => stack.disposeAsync());

const inFolder = (name: string): string => join(folder, name);

async function open() {
  const spiffe = Spiffe.parse({
    source: 'files',
    cert_file: inFolder('svid.pem'),
    key_file: inFolder('key.pem'),
    bundles: [
      { trust_domain: 'prod.example.com', file: ca.bundleFile },
      { trust_domain: 'partner.example.org', file: inFolder('partner.pem') },
    ],
  });
  const identity = await openIdentity(spiffe, { clock, log, metrics: createMetrics() }, stack);
  if (!identity) throw new Error('there is no identity');
  return identity;
}

test('whoever waits for an SVID is told why, again every thirty seconds, and with the newest reason', async () => {
  const identity = await open();
  const held = identity.held(undefined);
  const waiting = () => log.entries.filter(({ message }) => message.startsWith('waiting for an SVID'));
  expect(waiting()).toMatchObject([
    {
      fields: {
        problem: 'we hold no SVID of our own: the certificate cannot be read: the file does not exist',
      },
    },
  ]);
  const [leaf, other] = [await ca.issue({ spiffeId: PDP }), await ca.issue({ spiffeId: PDP })];
  await writeFile(inFolder('key.pem'), other.key);
  await writeFile(inFolder('svid.pem'), leaf.cert);
  await eventually('it is refused', () =>
    identity.problem()?.includes('does not belong to the certificate') ? true : undefined,
  );
  expect(waiting()).toHaveLength(1);
  clock.advance(30_000);
  await eventually('it is told again', () => (waiting().length > 1 ? true : undefined));
  expect(JSON.stringify(waiting()[1])).toContain('does not belong to the certificate');
  await writeFile(inFolder('key.pem'), leaf.key);
  await held;
  expect(identity.problem()).toBeUndefined();
  expect(identity.health().refused).toBeGreaterThan(0);
});

test('a bundle that is missing and an SVID that is refused while one is held are warnings', async () => {
  const leaf = await ca.issue({ spiffeId: PDP });
  await writeFile(inFolder('key.pem'), leaf.key);
  await writeFile(inFolder('svid.pem'), leaf.cert);
  const identity = await open();
  expect(identity.problem()).toBeUndefined();
  expect(identity.warnings()).toEqual([
    "no usable bundle of trust domain 'partner.example.org': the file does not exist",
  ]);
  await writeFile(inFolder('partner.pem'), ca.bundle);
  await eventually('it is taken', () => (identity.warnings().length === 0 ? true : undefined));
  await writeFile(inFolder('partner.pem'), 'garbage');
  await writeFile(inFolder('svid.pem'), 'garbage');
  const warnings = await eventually('both are refused', () =>
    identity.warnings().length === 2 ? identity.warnings() : undefined,
  );
  expect(warnings).toEqual([
    'no new SVID was taken: there is no certificate in PEM',
    expect.stringMatching(/^the bundle of trust domain 'partner.example.org' is not renewed: the bundle /),
  ]);
  expect(identity.problem()).toBeUndefined();
});

test('the metrics say when each trust bundle was confirmed and how many SVIDs were refused', async () => {
  const identity = await open();
  const metrics = createMetrics();
  const nothing = () => 0;
  metrics.watch({
    inFlight: nothing,
    overload: { shed: () => new Map(), shedding: () => false, waitedMs: nothing },
    cacheEntries: nothing,
    cacheBytes: nothing,
    policies: nothing,
    snapshotLoadedAt: nothing,
    observedRoutes: nothing,
    ready: () => true,
    svidExpiresAt: () => identity.expiresAt(),
    svidsRefused: () => 3,
    bundles: () => identity.health().bundles,
    issuerKeys: () => [],
    informationPoints: () => [],
    threatLists: () => [],
  });
  await metrics.registry.metrics();
  const text = await metrics.registry.metrics();
  const confirmed =
    /^pdp_trust_bundle_confirmed_timestamp_seconds\{trust_domain="prod.example.com"\} (.*)$/m.exec(text);
  expect(Number(confirmed?.[1])).toBeCloseTo(clock.now() / 1000, 0);
  expect(text).toContain(
    'pdp_trust_bundle_confirmed_timestamp_seconds{trust_domain="partner.example.org"} 0\n',
  );
  expect(text).toContain('pdp_svid_refused_total 3\n');
});
