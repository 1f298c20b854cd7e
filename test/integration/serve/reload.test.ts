import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { startPdp } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { POLICIES, createPolicyFolder } from '../../support/snapshot.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const permit = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;

test('policies change under load: a bad set is refused and told, a good one is taken, and no check fails', async () => {
  await using folder = await createPolicyFolder(permit('first'));
  await using pdp = await startPdp({
    config: { policies: { sets: [folder.path], reload_ms: 20 }, decision: { timeout_ms: 2000 } },
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const seen = new Map<string, string>();
  const failures: unknown[] = [];
  const stop = new AbortController();
  let answered = 0;
  const lane = async (): Promise<void> => {
    // A test that failed leaves its server: nobody is to ask that until the memory is full.
    while (!stop.signal.aborted && failures.length < 1000) {
      const answer = await client
        .check(checkRequestBytes())
        .catch((error: unknown) => void failures.push(error));
      if (!answer) continue;
      answered += 1;
      if (!answer.allowed) failures.push(answer);
      seen.set(String(answer.metadata['snapshot']), String(answer.metadata['policies']));
    }
  };
  const load = Promise.all(Array.from({ length: 8 }, lane));
  const ops = (path: string) => fetch(`http://127.0.0.1:${pdp.opsPort}${path}`);
  const metric = async (outcome: string) =>
    Number(
      new RegExp(`^pdp_policy_reloads_total\\{outcome="${outcome}",slot="sets"\\} (\\d+)$`, 'm').exec(
        await (await ops('/metrics')).text(),
      )?.[1] ?? 0,
    );

  await folder.write('main.cedar', `${permit('first')}@id("bad") permit(`);
  await eventually('the bad set is refused', async () =>
    (await metric('refused')) === 1 ? true : undefined,
  );
  const told = (await (await ops('/readyz')).json()) as {
    ready: boolean;
    details: { refused_change?: string };
  };
  expect(told.ready).toBe(true);
  expect(told.details.refused_change).toMatch(/main\.cedar:2:\d+/);
  expect(pdp.output()).toMatch(/the active snapshot stays/);
  const before = answered;
  await eventually('checks go on', () => (answered > before + 50 ? true : undefined));
  expect([...seen.values()]).toEqual(['first']);

  await folder.write('main.cedar', permit('second'));
  await eventually('the good set is in force', () =>
    [...seen.values()].includes('second') ? true : undefined,
  );
  expect(await metric('loaded')).toBe(1);
  expect(((await (await ops('/readyz')).json()) as { details: object }).details).not.toHaveProperty(
    'refused_change',
  );

  stop.abort();
  await load;
  expect(failures).toEqual([]);
  expect([...seen.values()]).toEqual(['first', 'second']);
  // Each record names the snapshot that decided it.
  const records = (await pdp.records(answered)) as unknown as { snapshot: string; policies: string[] }[];
  for (const { snapshot, policies } of records) expect(seen.get(snapshot)).toBe(policies.join());
});

test('SIGHUP looks at the policies at once', async () => {
  await using folder = await createPolicyFolder(permit('first'));
  await using pdp = await startPdp({ config: { policies: { sets: [folder.path], reload_ms: 0 } } });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  await folder.write('main.cedar', permit('second'));
  expect((await client.check(checkRequestBytes())).metadata['policies']).toEqual(['first']);
  pdp.signal('SIGHUP');
  await eventually('the new policies are in force', async () => {
    const { metadata } = await client.check(checkRequestBytes());
    return String(metadata['policies']) === 'second' ? true : undefined;
  });
});

test('SIGHUP while it starts does not end it', async () => {
  await using pdp = await startPdp({
    config: { workers: 2, policies: { sets: [join(POLICIES, 'mesh-call')] } },
    onSpawn: async (opsPort, child) => {
      // With workers the ops surface is there before them.
      await eventually('it starts', async () => {
        const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined);
        return answer?.status === 503 || undefined;
      });
      child.kill('SIGHUP');
    },
  });
  expect(await pdp.stop()).toBe(0);
});
