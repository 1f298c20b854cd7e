import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readRootFolder } from '../../../src/pdp/bundle/policy-folders.ts';
import { signFolder } from '../../../src/pdp/bundle/signed-folder.ts';
import { InputError } from '../../../src/pdp/errors.ts';
import { PolicyDirectory } from '../../../src/pdp/policy-directory.ts';
import { openFolders, openSignedFolder } from '../../../src/pdp/policy-folders.ts';
import { createManualClock } from '../../support/clock.ts';
import { SAMPLE_SCHEMA } from '../../support/snapshot.ts';

const KEYS = generateKeyPairSync('ed25519');
const policy = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;

async function signedFolder(id = 'first') {
  const root = mkdtempSync(join(tmpdir(), 'pdp-signed-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true, maxRetries: 20 }));
  mkdirSync(join(root, 'app'));
  writeFileSync(join(root, 'schema.cedarschema'), SAMPLE_SCHEMA);
  const write = (name: string, text: string): void => writeFileSync(join(root, name), text);
  const sign = (revision: number, keys = KEYS): Promise<void> =>
    signFolder(root, readRootFolder(root), { revision, privateKey: keys.privateKey, now: 0 });
  const publish = (revision: number, policyId: string): Promise<void> => {
    write('app/main.cedar', policy(policyId));
    return sign(revision);
  };
  await publish(2, id);
  return { root, write, sign, publish };
}

function openDirectory(root: string, startsEmpty = false) {
  const events: string[] = [];
  const logged: string[] = [];
  const directory = new PolicyDirectory({
    folders: openSignedFolder(root, [KEYS.publicKey]),
    clock: createManualClock(),
    log: {
      info: () => undefined,
      warn: () => undefined,
      error: (_fields, message) => void logged.push(message),
    },
    reloadMs: 0,
    startsEmpty,
    onReload: (outcome, snapshot) =>
      void events.push(`${outcome} ${snapshot?.policyIds.join() ?? 'nothing'}`),
  });
  onTestFinished(() => directory[Symbol.asyncDispose]());
  return { directory, events, logged };
}

describe('a signed folder', () => {
  test('is loaded, and says which revision and whose', async () => {
    const { root } = await signedFolder();
    const { directory } = openDirectory(root);
    expect(directory.current()?.policyIds).toEqual(['first']);
    expect(directory.describe()).toEqual({
      source: 'signed folder',
      revision: 2,
      signed_by: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
  });

  test('follows what is signed anew', async () => {
    const { root, publish } = await signedFolder();
    const { directory, events } = openDirectory(root);
    await publish(3, 'second');
    await directory.reloadIfChanged();
    expect([directory.current()?.policyIds, events]).toEqual([['second'], ['loaded second']]);
    expect(directory.describe()['revision']).toBe(3);
    await directory.reloadIfChanged();
    expect(events).toHaveLength(1);
  });

  type Folder = Awaited<ReturnType<typeof signedFolder>>;
  test.each<[string, (folder: Folder) => unknown, RegExp]>([
    ['a changed file', ({ write }) => write('app/main.cedar', policy('evil')), /main\.cedar.*/],
    ['an added file', ({ write }) => write('app/more.cedar', policy('evil')), /more\.cedar/],
    ['a file in the root', ({ write }) => write('more.cedar', policy('evil')), /more\.cedar/],
    [
      'an added set',
      ({ root, write }) => [mkdirSync(join(root, 'b')), write('b/b.cedar', policy('evil'))],
      /b\/b\.cedar/,
    ],
    ['a removed file', ({ root }) => rmSync(join(root, 'app/main.cedar')), /main\.cedar|no policy set/],
    [
      'a changed schema',
      ({ write }) => write('schema.cedarschema', `${SAMPLE_SCHEMA}\n`),
      /schema\.cedarschema/,
    ],
    ['no signature', ({ root }) => rmSync(join(root, 'manifest.sig')), /manifest\.sig.*missing/],
    ['no manifest', ({ root }) => rmSync(join(root, 'manifest.json')), /manifest\.json.*missing/],
    [
      'the signature of another key',
      ({ sign }) => sign(3, generateKeyPairSync('ed25519')),
      /not among the keys/,
    ],
    ['an older revision', ({ publish }) => publish(1, 'old'), /revision 1, older than revision 2/],
    [
      'other content under the same revision',
      ({ publish }) => publish(2, 'other'),
      /revision 2 like the one taken before/,
    ],
    [
      'signed policies that are not valid',
      ({ write, sign }) => [write('app/main.cedar', 'permit('), sign(3)][1],
      /main\.cedar:1:/,
    ],
  ])('with %s is refused, and what was in force stays', async (_what, spoil, words) => {
    const folder = await signedFolder();
    const { directory, events, logged } = openDirectory(folder.root);
    const before = directory.current();
    await spoil(folder);
    await directory.reloadIfChanged();
    expect(directory.current()).toBe(before);
    expect(events).toEqual(['refused first']);
    expect(directory.refusal).toMatch(words);
    expect(logged.join('\n')).toMatch(/the active snapshot stays/);
    expect(directory.describe()['revision']).toBe(2);
  });

  test('with a bad revision in between still takes the next good one, from the same revision on', async () => {
    const { root, write, sign, publish } = await signedFolder();
    const { directory, events } = openDirectory(root);
    write('app/main.cedar', 'permit(');
    await sign(3);
    await directory.reloadIfChanged();
    await publish(3, 'mended');
    await directory.reloadIfChanged();
    expect(events).toEqual(['refused first', 'loaded mended']);
    expect(directory.refusal).toBeUndefined();
  });

  test('does not open tampered with; a candidate waits to be mended', async () => {
    const { root, write, publish } = await signedFolder();
    write('app/main.cedar', policy('evil'));
    expect(() => openDirectory(root)).toThrow(InputError);
    const { directory, events, logged } = openDirectory(root, true);
    expect([directory.current(), events]).toEqual([undefined, ['refused nothing']]);
    expect(logged.join('\n')).toMatch(/^no policies: .*main\.cedar/s);
    await publish(3, 'mended');
    await directory.reloadIfChanged();
    expect(directory.current()?.policyIds).toEqual(['mended']);
  });
});

test('the fingerprint of folders that are gone is told, not thrown', () => {
  const nowhere = join(tmpdir(), 'pdp-nowhere');
  expect(openFolders([nowhere]).fingerprint()).toMatch(/^[0-9a-f]{64}$/);
  expect(openSignedFolder(nowhere, []).fingerprint()).toContain('unreadable');
  expect(openFolders([nowhere]).describe()).toEqual({ source: 'folders' });
});
