import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { policyFingerprint, readPolicyTexts } from '../../../src/pdp/policy-source.ts';
import { problemsOf } from '../../support/snapshot.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pdp-policy-source-'));
  onTestFinished(() => rm(root, { recursive: true, force: true, maxRetries: 20 }));
});

async function files(tree: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

describe('a policy set', () => {
  test('is its policies in order of their names, its schema and its entities', async () => {
    await files({
      'a/z.cedar': 'z',
      'a/b.cedar': 'b',
      'a/schema.cedarschema': 's',
      'a/entities.json': '[]',
      'a/notes.txt': '',
      'a/sub/x.cedar': 'x',
    });
    const at = (file: string) => join(root, 'a', file);
    expect(readPolicyTexts([join(root, 'a')])).toEqual({
      policies: [
        { file: at('b.cedar'), text: 'b' },
        { file: at('z.cedar'), text: 'z' },
      ],
      schemas: [{ file: at('schema.cedarschema'), text: 's' }],
      entities: [{ file: at('entities.json'), text: '[]' }],
      bindings: [],
      links: [],
    });
  });

  test('finds its schema in a folder above; one that is shared counts once, the nearest one wins', async () => {
    await files({
      'schema.cedarschema': 'shared',
      'a/p.cedar': '',
      'b/p.cedar': '',
      'c/p.cedar': '',
      'c/schema.cedarschema': 'own',
    });
    const { schemas } = readPolicyTexts(['a', 'b', 'c'].map((set) => join(root, set)));
    expect(schemas.map(({ text }) => text)).toEqual(['shared', 'own']);
  });

  test('finds no schema above its repository', async () => {
    await files({ 'schema.cedarschema': 'outside', 'repo/.git/HEAD': '', 'repo/set/p.cedar': '' });
    expect(problemsOf(() => readPolicyTexts([join(root, 'repo/set')]))).toMatchObject([
      { message: expect.stringMatching(/finds no schema/) as string },
    ]);
  });

  test('tells every problem of every set at once', async () => {
    await files({ 'empty/readme': '', 'repo/.git/HEAD': '' });
    const problems = problemsOf(() => readPolicyTexts([join(root, 'nowhere'), join(root, 'empty')]));
    expect(problems.map(({ where }) => where)).toContain(join(root, 'nowhere'));
    expect(problems.map(({ message }) => message).join()).toMatch(/at least one/);
  });

  test('follows links, as mounted configuration has them', async () => {
    await files({ 'data/p.cedar': 'p', 'schema.cedarschema': 's' });
    await mkdir(join(root, 'set'));
    await symlink(join(root, 'data/p.cedar'), join(root, 'set/p.cedar'));
    expect(readPolicyTexts([join(root, 'set')]).policies).toMatchObject([{ text: 'p' }]);
  });
});

describe('the fingerprint', () => {
  const fingerprint = () => policyFingerprint([join(root, 'a')]);

  test.each<[string, Record<string, string>, boolean]>([
    ['a policy', { 'a/p.cedar': 'other' }, true],
    ['a policy more', { 'a/q.cedar': '' }, true],
    ['the entities', { 'a/entities.json': '[]' }, true],
    ['the schema above', { 'schema.cedarschema': 'other' }, true],
    ['a schema of its own', { 'a/schema.cedarschema': 's' }, true],
    ['another file', { 'a/README.md': '' }, false],
    ['the bindings', { 'a/bindings.yaml': '' }, true],
    ['the template links', { 'a/links.json': '[]' }, true],
    ['nothing', {}, false],
  ])('%s', async (_what, change, changes) => {
    await files({ 'a/p.cedar': 'p', 'schema.cedarschema': 's' });
    const before = fingerprint();
    await files(change);
    expect(fingerprint() !== before).toBe(changes);
  });

  test('of what cannot be read is one too', async () => {
    expect(policyFingerprint([join(root, 'nowhere')])).toMatch(/^[0-9a-f]{64}$/);
    await files({ 'schema.cedarschema': 's' });
    await mkdir(join(root, 'a'));
    await symlink(join(root, 'gone'), join(root, 'a/p.cedar'));
    expect(fingerprint()).toMatch(/^[0-9a-f]{64}$/);
  });
});
