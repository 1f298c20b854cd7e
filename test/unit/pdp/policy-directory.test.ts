import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { InputError } from '../../../src/pdp/errors.ts';
import { PolicyDirectory } from '../../../src/pdp/policy-directory.ts';
import { openFolders } from '../../../src/pdp/policy-folders.ts';
import { createManualClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { SAMPLE_SCHEMA, createPolicyFolder } from '../../support/snapshot.ts';

const policy = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;

async function open(reloadMs = 0) {
  const folder = await createPolicyFolder(policy('first'));
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const clock = createManualClock();
  const events: string[] = [];
  const logged: string[] = [];
  const write = (level: string) => (_fields: object, message: string) =>
    void logged.push(`${level} ${message}`);
  const reloaded: (() => void)[] = [];
  const directory = new PolicyDirectory({
    folders: openFolders([folder.path]),
    clock,
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    reloadMs,
    onReload(outcome, snapshot) {
      events.push(`${outcome} ${snapshot?.policyIds.join()}`);
      for (const tell of reloaded.splice(0)) tell();
    },
  });
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const nextReload = () => new Promise<void>((resolve) => void reloaded.push(resolve));
  return { folder, clock, events, logged, directory, nextReload };
}

test('a good new version is taken, and the digest with it', async () => {
  const { folder, directory, events, clock } = await open();
  const before = directory.current();
  await folder.write('main.cedar', policy('second'));
  clock.advance(1000);
  await directory.reloadIfChanged();
  expect(events).toEqual(['loaded second']);
  expect(directory.current()?.policyIds).toEqual(['second']);
  expect(directory.current()?.digest).not.toBe(before?.digest);
  expect(directory.current()?.loadedAt).toBe(clock.now());
  expect(before?.policyIds).toEqual(['first']);
});

describe('a bad new version leaves the old one in force', () => {
  test.each<[string, (folder: Awaited<ReturnType<typeof createPolicyFolder>>) => Promise<void>]>([
    ['a syntax error', (folder) => folder.write('main.cedar', 'permit(')],
    [
      'a policy without an id',
      (folder) => folder.write('main.cedar', 'permit(principal, action, resource);'),
    ],
    [
      'a misspelt attribute',
      (folder) => folder.write('main.cedar', `${policy('x').replace(';', '')} when { context.mtsl };`),
    ],
    ['a schema that does not parse', (folder) => folder.write('schema.cedarschema', 'entity')],
    [
      'a schema that the policies do not fit',
      (folder) =>
        folder
          .write('schema.cedarschema', 'entity U; action a appliesTo { principal: [U], resource: [U] }; // x')
          .then(() => folder.write('main.cedar', `${policy('x').replace(';', '')} when { context.mtls };`)),
    ],
    ['entities that are no JSON', (folder) => folder.write('entities.json', '[')],
    [
      'a policy that would trap the engine',
      (folder) =>
        folder.write(
          'main.cedar',
          `${policy('x').replace(';\n', '')} when { ${'('.repeat(2000)}true${')'.repeat(2000)} };`,
        ),
    ],
    ['no policy file any more', (folder) => rm(join(folder.path, 'main.cedar'))],
    ['no folder any more', (folder) => rm(folder.path, { recursive: true })],
  ])('%s', async (_what, spoil) => {
    const { folder, directory, events, logged } = await open();
    const before = directory.current();
    await spoil(folder);
    await directory.reloadIfChanged();
    expect(events).toEqual(['refused first']);
    expect(directory.current()).toBe(before);
    expect(directory.refusal).toBeTruthy();
    expect(
      logged.some((line) => line.startsWith('error') && line.includes('the active snapshot stays')),
    ).toBe(true);
  });

  test('is told with file, line and column, and only once', async () => {
    const { folder, directory, events } = await open();
    await folder.write('main.cedar', `${policy('ok')}@id("bad") permit(`);
    await directory.reloadIfChanged();
    await directory.reloadIfChanged();
    expect(events).toEqual(['refused first']);
    expect(directory.refusal).toContain(`${join(folder.path, 'main.cedar')}:2:`);
  });

  test('until it is mended', async () => {
    const { folder, directory, events } = await open();
    await folder.write('main.cedar', 'permit(');
    await directory.reloadIfChanged();
    await folder.write('main.cedar', policy('mended'));
    await directory.reloadIfChanged();
    expect(events).toEqual(['refused first', 'loaded mended']);
    expect(directory.refusal).toBeUndefined();
  });

  test('or taken back', async () => {
    const { folder, directory } = await open();
    const digest = directory.current()?.digest;
    await folder.write('main.cedar', 'permit(');
    await directory.reloadIfChanged();
    await folder.write('main.cedar', policy('first'));
    await directory.reloadIfChanged();
    expect(directory.refusal).toBeUndefined();
    expect(directory.current()?.digest).toBe(digest);
  });
});

test('nothing changed: nothing happens, also where another file did', async () => {
  const { folder, directory, events } = await open();
  const before = directory.current();
  await folder.write('README.md', 'for readers');
  await directory.reloadIfChanged();
  expect(events).toEqual([]);
  expect(directory.current()).toBe(before);
});

test('a set without a single policy is refused', async () => {
  const { folder, directory, events } = await open();
  await folder.write('main.cedar', '// nothing yet');
  await directory.reloadIfChanged();
  expect(events).toEqual(['refused first']);
});

test('rewriting the same content changes nothing', async () => {
  const { folder, directory, events } = await open();
  const before = directory.current();
  await folder.write('main.cedar', policy('first'));
  await directory.reloadIfChanged();
  expect(events).toEqual([]);
  expect(directory.current()).toBe(before);
});

test('looks by itself as often as it is told', async () => {
  const { folder, directory } = await open(5);
  await folder.write('main.cedar', policy('second'));
  // It may look while the file is being written, and then once more.
  await eventually('the new policies are served', () =>
    directory.current()?.policyIds.includes('second') === true ? true : undefined,
  );
  expect(directory.current()?.policyIds).toEqual(['second']);
});

test('warnings of the validator are logged', async () => {
  const { folder, directory, logged } = await open();
  await folder.write('main.cedar', '@id("never") permit(principal, action, resource) when { false };');
  await directory.reloadIfChanged();
  expect(logged.some((line) => line.startsWith('warn policy warning:') && line.includes('impossible'))).toBe(
    true,
  );
});

test('does not open on a folder that is not valid', async () => {
  const folder = await createPolicyFolder('permit(');
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const options = {
    clock: createManualClock(),
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    reloadMs: 0,
    onReload: () => undefined,
  };
  expect(() => new PolicyDirectory({ ...options, folders: openFolders([folder.path]) })).toThrow(InputError);
  expect(
    () => new PolicyDirectory({ ...options, folders: openFolders([join(folder.path, 'nowhere')]) }),
  ).toThrow(/cannot be read as a policy set folder/);
  expect(SAMPLE_SCHEMA).toContain('ZeroTrust');
});
