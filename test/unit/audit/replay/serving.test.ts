import { expect, it } from 'vitest';
import { createConfigFolder, runPdp, startTestApp } from '../../../support/app.ts';
import { eventually } from '../../../support/eventually.ts';
import { checkRequestBytes } from '../../../support/requests.ts';
import { connect } from '../../api/grpc-client.ts';
import { logFolder } from './fixture.ts';

async function metrics(ops: string): Promise<string> {
  return await (await fetch(`http://${ops}/metrics`)).text();
}

it('replays while it serves, counts it, and records it', async () => {
  using log = logFolder();
  await using folder = await createConfigFolder({
    audit: { dir: log.dir, self_replay: { sample: 1, interval_s: 1 } },
  });
  const app = await startTestApp(folder);
  try {
    using client = connect(app.addresses.grpc);
    for (let i = 0; i < 3; i++) await client.check(checkRequestBytes());
    const match = /pdp_self_replay_records_total\{verdict="match"\} 3/;
    const text = await eventually('three are replayed', async () => {
      const found = await metrics(app.addresses.ops);
      return match.test(found) ? found : undefined;
    });
    expect(text).toContain('pdp_self_replay_records_total{verdict="mismatch"} 0');
    expect(text).toContain('pdp_self_replay_failures_total 0');
    expect(app.readiness().warnings).toEqual([]);
  } finally {
    await app.stop();
  }
  const { code } = await runPdp('audit', 'replay', '--config', folder.configFile);
  expect(code).toBe(0);
});

it('does nothing of it where it is turned off', async () => {
  using log = logFolder();
  await using folder = await createConfigFolder({ audit: { dir: log.dir, self_replay: { sample: 0 } } });
  const app = await startTestApp(folder);
  try {
    expect(await metrics(app.addresses.ops)).not.toContain('pdp_self_replay');
  } finally {
    await app.stop();
  }
});
