import { expect, onTestFinished, test } from 'vitest';
import { startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';

test.skipIf(findEnvoy() === undefined)(
  'an Envoy that renews its connections before their age at the PDP loses no request',
  async () => {
    const mesh = await startMesh({
      grpc: { max_connection_age_s: 2 },
      editEnvoy(config) {
        const pdp = config.static_resources.clusters.find(({ name }) => name === 'cedar-pdp');
        const options = JSON.stringify(pdp);
        // The deployed duration is half of the default age, as it is here.
        expect(options).toContain('"max_connection_duration":"900s"');
        Object.assign(pdp ?? {}, JSON.parse(options.replace('"900s"', '"1s"')));
      },
    });
    onTestFinished(() => mesh[Symbol.asyncDispose]());
    const request = {
      to: 'ledger-api',
      as: mesh.workloads.paymentApi,
      method: 'POST',
      path: '/internal/entries',
    } as const;
    const statuses = new Set<number>();
    const end = performance.now() + 6000;
    const lane = async (): Promise<void> => {
      while (performance.now() < end) statuses.add((await mesh.send(request)).status);
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
    expect([...statuses]).toEqual([200]);
    const records = await mesh.pdp.records(1);
    expect(new Set(records.map(({ pep }) => pep.address)).size).toBeGreaterThanOrEqual(4);
  },
  30_000,
);
