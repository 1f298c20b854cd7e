import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packBundle } from '../../../src/pdp/bundle/bundle.ts';
import { PolicyBundle } from '../../../src/pdp/policy-bundle.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { createPolicyFolder } from '../../support/snapshot.ts';
import { type Behaviour, serving, startHttpSource } from './http-source.ts';

const KEYS = generateKeyPairSync('ed25519');
const policy = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;

async function bundleOf(id: string, revision: number, text = policy(id), keys = KEYS): Promise<Buffer> {
  await using folder = await createPolicyFolder(text);
  return packBundle([folder.path], { revision, privateKey: keys.privateKey, now: 0 });
}

async function cacheFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-bundle-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  return folder;
}

function open(url: string, folder: string) {
  const events: string[] = [];
  const source = new PolicyBundle({
    url,
    cacheFile: join(folder, 'cache'),
    publicKeys: [KEYS.publicKey],
    pollMs: 3_600_000,
    timeoutMs: 2000,
    clock: MACHINE_CLOCK,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    onReload: (outcome, snapshot) =>
      void events.push(`${outcome} ${snapshot?.policyIds.join() ?? 'nothing'}`),
  });
  onTestFinished(() => source[Symbol.asyncDispose]());
  return { source, events };
}

test('the first bundle is there when it has started, and later ones follow', async () => {
  await using http = await startHttpSource(serving(await bundleOf('first', 1), '"1"'));
  const { source, events } = open(http.url, await cacheFolder());
  expect(source.current()).toBeUndefined();
  await source.start();
  expect([source.current()?.policyIds, source.refusal]).toEqual([['first'], undefined]);
  http.behave(serving(await bundleOf('second', 2), '"2"'));
  await source.reloadIfChanged();
  expect(events).toEqual(['loaded first', 'loaded second']);
  expect(source.describe()).toMatchObject({
    source: 'bundle',
    revision: 2,
    fetched_at: expect.stringMatching(/^20/),
  });
});

test.each<[string, () => Promise<Buffer>, RegExp]>([
  [
    'of another key',
    () => bundleOf('evil', 2, policy('evil'), generateKeyPairSync('ed25519')),
    /not among the keys/,
  ],
  ['that is older', () => bundleOf('old', 0 + 1), /revision 1, older than revision 2/],
  [
    'that does not validate',
    () => bundleOf('bad', 3, `${policy('bad').replace(';', '')} when { 1 };`),
    /main\.cedar:2:9:/,
  ],
  ['without a policy', () => bundleOf('none', 3, '// nothing'), /not one policy left/],
])('a bundle %s is refused once, and what was in force stays', async (_what, make, words) => {
  await using http = await startHttpSource(serving(await bundleOf('first', 2)));
  const { source, events } = open(http.url, await cacheFolder());
  await source.start();
  http.behave(serving(await make(), '"bad"'));
  await source.reloadIfChanged();
  await source.reloadIfChanged();
  expect(events).toEqual(['loaded first', 'refused first']);
  expect(source.refusal).toMatch(words);
  expect(source.current()?.policyIds).toEqual(['first']);
});

test('a restart without the source serves what was cached, also while the source hangs', async () => {
  const folder = await cacheFolder();
  const hang: Behaviour = () => undefined;
  await using http = await startHttpSource(serving(await bundleOf('first', 1)));
  const first = open(http.url, folder).source;
  await first.start();
  await first[Symbol.asyncDispose]();
  http.behave(hang);
  const { source } = open(http.url, folder);
  await source.start();
  expect(source.current()?.policyIds).toEqual(['first']);
  await http.stop();
  const again = open(http.url, folder);
  await again.source.start();
  await again.source.reloadIfChanged();
  expect(again.source.current()?.policyIds).toEqual(['first']);
  expect(again.source.refusal).toMatch(/cannot be fetched/);
});

test('without source and cache it starts with nothing, and says why', async () => {
  await using http = await startHttpSource((_request, response) => void response.writeHead(503).end());
  const { source, events } = open(http.url, await cacheFolder());
  await source.start();
  expect([source.current(), events]).toEqual([undefined, []]);
  expect(source.refusal).toMatch(/503/);
  expect(source.describe()).toEqual({ source: 'bundle' });
});
