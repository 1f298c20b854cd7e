import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EnvoySecrets, createEnvoySecrets } from '../support/envoy-secrets.ts';
import { eventually } from '../support/eventually.ts';
import { type Mesh, type MeshRequest, startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';
import { checkRequestBytes } from '../support/requests.ts';
import { metric, putLeaf, replaceFile, untilShown } from '../support/rotation.ts';
import { type Leaf, type TestCa, createTestCa } from '../support/test-ca.ts';
import { connect } from '../unit/api/grpc-client.ts';

const POLICIES = fileURLToPath(new URL('../../policies/rotation', import.meta.url));
const DOMAIN = 'prod.example.com';
const BILLER = `spiffe://${DOMAIN}/ns/billing/sa/biller`;
const INVOICES = '/ns/billing/sa/invoices';
const PEP = `spiffe://${DOMAIN}/ns/mesh/sa/pep`;
const CONTEXTS = 'cluster\\.cedar-pdp\\.client_ssl_socket_factory\\.ssl_context_update_by_sds';
const RETIRED = 'cluster\\.cedar-pdp\\.upstream_cx_max_duration_reached';

const asBiller = (as: Leaf): MeshRequest => ({ to: 'ledger-api', as, method: 'POST', path: '/invoices' });

/** One counter of Envoy; `name` is a pattern. */
async function counter({ envoy }: Mesh, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${envoy.adminPort}/stats?filter=${encodeURIComponent(name)}`);
  const [, value] = /: (\d+)/.exec(await answer.text()) ?? [];
  if (value === undefined) throw new Error(`Envoy has no counter ${name}`);
  return Number(value);
}

async function grows(mesh: Mesh, name: string, by: number, action: () => Promise<void>): Promise<void> {
  const before = await counter(mesh, name);
  await action();
  await eventually(`${name} has grown by ${by}`, async () =>
    (await counter(mesh, name)) >= before + by ? true : undefined,
  );
}

const nothing = (): Promise<void> => Promise.resolve();

/** Requests without a pause, in lanes, until stopped. */
function load(mesh: Mesh, request: MeshRequest) {
  const statuses = new Map<number | string, number>();
  let sent = 0;
  const running = { isStopped: false };
  const lane = async (): Promise<void> => {
    while (!running.isStopped) {
      sent += 1;
      const outcome = await mesh.send(request).then(({ status }) => status, String);
      statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
    }
  };
  const lanes = [lane(), lane(), lane()];
  return {
    async stop() {
      running.isStopped = true;
      await Promise.all(lanes);
      return { sent, statuses };
    },
  };
}

/** Whether the PDP lets a PEP with this certificate ask. */
async function mayAsk({ pdp }: Mesh, { cert, key }: Leaf, roots: string): Promise<boolean> {
  const channel = credentials.createSsl(Buffer.from(roots), Buffer.from(key), Buffer.from(cert));
  using client = connect(`127.0.0.1:${pdp.grpcPort}`, channel, true);
  return await client.check(checkRequestBytes(), { deadlineMs: 2000 }).then(
    () => true,
    () => false,
  );
}

describe.skipIf(findEnvoy() === undefined)('rotation between Envoy and the PDP', () => {
  let mesh: Mesh;
  let next: TestCa;
  let biller: Leaf;
  let strangers: TestCa;
  let secrets: EnvoySecrets;

  beforeAll(async () => {
    secrets = await createEnvoySecrets();
    [next, strangers] = await Promise.all([createTestCa(DOMAIN), createTestCa('staging.example.com')]);
    mesh = await startMesh({
      identities: { ledgerApi: INVOICES },
      config: { policies: { sets: [POLICIES] }, decision: { timeout_ms: 4000 } },
      editEnvoy: (config) => secrets.edit(config),
    });
    biller = await mesh.ca.issue({ spiffeId: BILLER });
  });
  afterAll(async () => {
    await mesh[Symbol.asyncDispose]();
    await Promise.all([next, strangers, secrets].map((one) => one[Symbol.asyncDispose]()));
  });

  /** The next SVID of the PDP, once it is shown to whoever connects. */
  const rotatePdp = async (ca: TestCa): Promise<void> => {
    const { spiffeId } = mesh.workloads.pdp;
    const leaf = await ca.issue({ spiffeId, dns: ['pdp.test'] });
    await putLeaf(mesh.workloads.pdp, leaf);
    await untilShown(mesh.pdp, leaf);
  };
  const putPdpBundle = (...cas: readonly TestCa[]): Promise<void> =>
    replaceFile(mesh.ca.bundleFile, cas.map(({ bundle }) => bundle).join(''));
  /** Envoy has taken the secret, and has no connection left that was made before. */
  const moveEnvoy = async (leaf: Leaf): Promise<void> => {
    await grows(mesh, CONTEXTS, 1, () => secrets.putIdentity(leaf));
    await grows(mesh, RETIRED, 3, nothing);
  };

  test('SVIDs rotate and a CA is replaced under load, and each request is answered by a recorded decision', async () => {
    const old = mesh.ca;
    const oldPep = mesh.workloads.pep;
    const newPep = await next.issue({ spiffeId: PEP });
    const both = old.bundle + next.bundle;
    const traffic = load(mesh, asBiller(biller));

    for (const ca of [old, old, old]) await rotatePdp(ca);
    // The next CA is known to both sides before anything is issued by it.
    await putPdpBundle(old, next);
    await eventually('the PDP knows callers of the next CA', async () =>
      (await mayAsk(mesh, newPep, both)) ? true : undefined,
    );
    await grows(mesh, CONTEXTS, 1, () => secrets.putBundle([old, next]));
    await rotatePdp(next);
    await moveEnvoy(newPep);
    await putPdpBundle(next);
    await eventually('the PDP refuses callers of the old CA', async () =>
      (await mayAsk(mesh, oldPep, both)) ? undefined : true,
    );
    await grows(mesh, CONTEXTS, 1, () => secrets.putBundle([next]));
    await grows(mesh, RETIRED, 2, nothing);

    const { sent, statuses } = await traffic.stop();
    expect([...statuses]).toEqual([[200, sent]]);
    expect(sent).toBeGreaterThan(200);
    expect(await metric(mesh.pdp, 'pdp_svids_taken_total')).toBe(5);
    const entries = await mesh.envoy.accessLog(sent);
    expect(
      entries.filter(({ decision, response_code }) => decision !== 'ALLOW' || response_code !== 200),
    ).toEqual([]);
    const records = await mesh.pdp.records(sent);
    const recorded = new Set(records.map(({ decision_id }) => decision_id));
    expect(entries.filter(({ decision_id }) => !recorded.has(decision_id ?? ''))).toEqual([]);
    expect(new Set(records.map(({ pep }) => pep.spiffe_id))).toEqual(new Set([PEP]));
  });

  test.each([
    [
      'whose SVID has expired is refused, and the log says expiry',
      () => next.issue({ spiffeId: PEP, lifetimeMs: -3_600_000 }),
      /"cause":"expired".*a connection was refused: the certificate of spiffe:\/\/prod\.example\.com\/ns\/mesh\/sa\/pep expired 1 hour ago, at .*our clock says .*: rotation failed, or a clock is wrong/,
    ],
    [
      'whose SVID begins later is refused, and the log says clock',
      () => next.issue({ spiffeId: PEP, notBefore: Date.now() + 1_800_000, lifetimeMs: 3_600_000 }),
      /"cause":"not_yet_valid".*a connection was refused: the certificate of spiffe:\/\/prod\.example\.com\/ns\/mesh\/sa\/pep is not valid for another \d+ minutes, until .*our clock says .*: compare it with the issuer's/,
    ],
    [
      'of an unknown trust domain is refused, and the log says trust domain',
      () => strangers.issue({ spiffeId: 'spiffe://staging.example.com/ns/mesh/sa/pep' }),
      /"cause":"trust_domain".*a connection was refused: no bundle is held for the trust domain 'staging\.example\.com'/,
    ],
  ])('a PEP %s', async (_what, issue, words) => {
    await putPdpBundle(mesh.ca, next);
    await grows(mesh, CONTEXTS, 1, async () => secrets.putIdentity(await issue()));
    const send = () => mesh.send(asBiller(biller));
    // Fail closed: the one answer that is not the PDP's.
    await eventually('requests are refused', async () => ((await send()).status === 503 ? true : undefined));
    await eventually('the log says why', () => (words.test(mesh.pdp.output()) ? true : undefined));
    await grows(mesh, CONTEXTS, 1, async () => secrets.putIdentity(await next.issue({ spiffeId: PEP })));
    await eventually('it is good again with a good one', async () =>
      (await send()).status === 200 ? true : undefined,
    );
  });
});
