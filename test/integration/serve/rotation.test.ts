import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type PdpProcess, readRecords, startPdp } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { metric, putLeaf, replaceFile, untilShown } from '../../support/rotation.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type RawClient, connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from './load.ts';

const PEP = 'spiffe://prod.example.com/ns/mesh/sa/envoy';
const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';

/** Files that something else rotates, as cert-manager or a sidecar would. */
async function createSvidFolder(leaf: Leaf, cas: readonly TestCa[]) {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-rotation-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const files = {
    certFile: join(folder, 'svid.pem'),
    keyFile: join(folder, 'svid-key.pem'),
    bundleFile: join(folder, 'bundle.pem'),
  };
  const putBundle = (next: readonly TestCa[]) =>
    replaceFile(files.bundleFile, next.map(({ bundle }) => bundle).join(''));
  await Promise.all([putLeaf(files, leaf), putBundle(cas)]);
  return { ...files, putLeaf: (next: Leaf) => putLeaf(files, next), putBundle };
}

/** Who calls, and whom callers trust; replaced during the test. */
interface Callers {
  leaf: Leaf;
  roots: string;
}

/** Checks without a pause in lanes, each on connections of its own that are made anew after some calls. */
function load(pdp: PdpProcess, callers: Callers) {
  const result = { answered: 0, connections: 0, wrong: [] as unknown[], failures: [] as string[] };
  const running = { stop: false };
  const lane = async (callsEach: number): Promise<void> => {
    while (!running.stop) {
      const { leaf } = callers;
      using client = clientOf(pdp, leaf, callers.roots);
      result.connections += 1;
      for (let call = 0; call < callsEach && leaf === callers.leaf && !running.stop; call += 1) {
        const answer = await client.check(checkRequestBytes(), { deadlineMs: 10_000 }).catch(String);
        if (typeof answer === 'string') result.failures.push(answer);
        else if (answer.allowed) result.answered += 1;
        else result.wrong.push(answer);
      }
    }
  };
  const lanes = [1, 5, 20, Infinity].map(lane);
  return {
    result,
    async stop() {
      running.stop = true;
      await Promise.all(lanes);
      return result;
    },
  };
}

function clientOf(pdp: PdpProcess, leaf: Leaf, roots: string): RawClient {
  const channel = credentials.createSsl(Buffer.from(roots), Buffer.from(leaf.key), Buffer.from(leaf.cert));
  return connect(`127.0.0.1:${pdp.grpcPort}`, channel, true);
}

async function untilKnown(pdp: PdpProcess, leaf: Leaf, roots: string): Promise<void> {
  await eventually('callers of the new CA are known', async () => {
    using client = clientOf(pdp, leaf, roots);
    return await client.check(checkRequestBytes(), { deadlineMs: 1000 }).then(
      () => true,
      () => undefined,
    );
  });
}

test('SVID and trust bundle rotate under load, CA included, and every check is answered', async () => {
  await using old = await createTestCa('prod.example.com');
  await using next = await createTestCa('prod.example.com');
  const pdpLeaf = (ca: TestCa) => ca.issue({ spiffeId: PDP, dns: ['pdp.test'] });
  const folder = await createSvidFolder(await pdpLeaf(old), [old]);
  const ca = { trustDomain: 'prod.example.com', bundleFile: folder.bundleFile };
  await using pdp = await startPdp({
    tls: { leaf: folder, ca, allow: [PEP], grpc: { max_connection_age_s: 1 } },
    config: sampleConfig({ decision: { timeout_ms: 5000 } }),
  });
  const oldPep = await old.issue({ spiffeId: PEP });
  const newPep = await next.issue({ spiffeId: PEP });
  const both = old.bundle + next.bundle;
  const callers = { leaf: oldPep, roots: both };
  const traffic = load(pdp, callers);

  // The SVID is renewed by the same CA.
  const renewed = await pdpLeaf(old);
  await folder.putLeaf(renewed);
  await untilShown(pdp, renewed);
  // The next CA is announced before anything is issued by it.
  await folder.putBundle([old, next]);
  await untilKnown(pdp, newPep, both);
  // We move to the next CA, then the callers do.
  const moved = await pdpLeaf(next);
  await folder.putLeaf(moved);
  await untilShown(pdp, moved);
  callers.leaf = newPep;
  const before = traffic.result.connections;
  await eventually('all callers have moved', () =>
    traffic.result.connections > before + 20 ? true : undefined,
  );
  // The old CA is taken out: its callers are strangers now.
  await folder.putBundle([next]);
  await eventually('callers of the old CA are refused', async () => {
    using client = clientOf(pdp, oldPep, both);
    return await client.check(checkRequestBytes(), { deadlineMs: 1000 }).then(
      () => undefined,
      () => true,
    );
  });
  const answeredSoFar = traffic.result.answered;
  await eventually('more checks', () => (traffic.result.answered > answeredSoFar + 50 ? true : undefined));

  const { answered, wrong, failures } = await traffic.stop();
  expect(failures).toEqual([]);
  expect(wrong).toEqual([]);
  expect(answered).toBeGreaterThan(100);
  expect(await metric(pdp, 'pdp_svids_taken_total')).toBe(3);
  expect(pdp.output()).toMatch(
    /a connection was refused: .*no authority of the bundle|a connection was refused/,
  );
  expect(
    await metric(pdp, 'pdp_connections_refused_total\\{surface="grpc",cause="chain"\\}'),
  ).toBeGreaterThan(0);
  const records = await readRecords(pdp.auditDir);
  expect(records.every(({ pep }) => pep.spiffe_id === PEP)).toBe(true);
  expect(records.length).toBeGreaterThanOrEqual(answered);
});

test('waits for an SVID of its own, says so, and serves as soon as it has one', async () => {
  await using ca = await createTestCa('prod.example.com');
  const leaf = await ca.issue({ spiffeId: PDP, dns: ['pdp.test'] });
  const folder = await createSvidFolder(leaf, [ca]);
  await rm(folder.certFile);
  const starting = startPdp({
    tls: { leaf: folder, ca: { trustDomain: ca.trustDomain, bundleFile: folder.bundleFile }, allow: [PEP] },
    config: sampleConfig(),
    onSpawn: async (opsPort) => {
      const readiness = await eventually('readiness says what is missing', async () => {
        const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined);
        return answer && ((await answer.json()) as { ready: boolean; problems: string[] });
      });
      expect(readiness.ready).toBe(false);
      expect(readiness.problems).toContain(
        'we hold no SVID of our own: the certificate cannot be read: the file does not exist',
      );
      await folder.putLeaf(leaf);
    },
  });
  await using pdp = await starting;
  expect(pdp.output()).toContain('waiting for an SVID of our own');
  using client = clientOf(pdp, await ca.issue({ spiffeId: PEP }), ca.bundle);
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  expect(await metric(pdp, 'pdp_svid_expiry_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000);
});

test('can be stopped while it waits for an SVID', async () => {
  await using ca = await createTestCa('prod.example.com');
  const folder = await createSvidFolder(await ca.issue({ spiffeId: PDP }), [ca]);
  await rm(folder.certFile);
  const starting = startPdp({
    tls: { leaf: folder, ca: { trustDomain: ca.trustDomain, bundleFile: folder.bundleFile }, allow: [PEP] },
    config: sampleConfig(),
    onSpawn: async (opsPort, child) => {
      await eventually('it waits', () => fetch(`http://127.0.0.1:${opsPort}/livez`).catch(() => undefined));
      child.kill('SIGTERM');
    },
  });
  await expect(starting).rejects.toThrow(/the PDP ended with 0[^]*stopped before serving/);
});

test('readiness falls before the SVID expires, and rises with a new one', async () => {
  await using ca = await createTestCa('prod.example.com');
  const pdpLeaf = (lifetimeMs: number) => ca.issue({ spiffeId: PDP, dns: ['pdp.test'], lifetimeMs });
  const folder = await createSvidFolder(await pdpLeaf(3_600_000), [ca]);
  await using pdp = await startPdp({
    tls: { leaf: folder, ca: { trustDomain: ca.trustDomain, bundleFile: folder.bundleFile }, allow: [PEP] },
    config: sampleConfig({ decision: { timeout_ms: 5000 } }),
    spiffe: { expiry_margin_s: 120 },
  });
  await folder.putLeaf(await pdpLeaf(100_000));
  const ready = () => fetch(`http://127.0.0.1:${pdp.opsPort}/readyz`);
  const fallen = await eventually('readiness has fallen', async () => {
    const answer = await ready();
    return answer.status === 503 ? await answer.text() : undefined;
  });
  expect(fallen).toMatch(/our own SVID expires at .* and no new one has come/);
  // Checks are still answered: whoever looks at readiness has time to go elsewhere.
  using client = clientOf(pdp, await ca.issue({ spiffeId: PEP }), ca.bundle);
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  await folder.putLeaf(await pdpLeaf(3_600_000));
  await eventually('readiness has risen', async () => ((await ready()).status === 200 ? true : undefined));
});
