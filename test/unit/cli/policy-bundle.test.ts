import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { policyKeygen, policyPack, policySign } from '../../../src/cli/policy-bundle.ts';
import { runCli } from '../../../src/cli/run.ts';
import { openBundle } from '../../../src/pdp/bundle/bundle.ts';
import { keyIdOf, readSigningKey, readVerifyingKey } from '../../../src/pdp/bundle/signature.ts';
import { verifyFolder } from '../../../src/pdp/bundle/signed-folder.ts';
import { folderWith } from '../pdp/bundle/sample-sets.ts';

const commands = [policyKeygen, policyPack, policySign];

async function pdp(...args: readonly string[]) {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => (out += text),
    err: (text: string) => (err += text),
    interactive: false,
  };
  const code = await runCli(commands, ['policy', ...args], terminal);
  return { code, out, err };
}

async function workplace() {
  const root = folderWith();
  const prefix = join(folderWith({}), 'keys', 'policies');
  await pdp('keygen', '--out', prefix);
  const privateFile = `${prefix}.key.pem`;
  const publicKeys = [readVerifyingKey(`${prefix}.pub.pem`)];
  return {
    root,
    sets: [join(root, 'full'), join(root, 'plain')],
    out: join(root, 'out.tar.gz'),
    privateFile,
    publicKeys,
  };
}

afterEach(() => void vi.unstubAllEnvs());

describe('pdp policy keygen', () => {
  test('writes a key pair, the private key readable by its owner alone', async () => {
    const prefix = join(folderWith({}), 'policies');
    const { code, out } = await pdp('keygen', '--out', prefix);
    const id = keyIdOf(readVerifyingKey(`${prefix}.pub.pem`));
    expect(code).toBe(0);
    expect(out).toContain(`key ${id}`);
    expect(out).not.toContain('PRIVATE KEY');
    expect(keyIdOf(readSigningKey(`${prefix}.key.pem`))).toBe(id);
    expect(statSync(`${prefix}.key.pem`).mode & 0o777).toBe(0o600);
  });

  test.each(['.key.pem', '.pub.pem'])('leaves an existing %s alone', async (ending) => {
    const prefix = join(folderWith({ [`policies${ending}`]: 'mine' }), 'policies');
    const { code, err } = await pdp('keygen', '--out', prefix);
    expect(code).toBe(2);
    expect(err).toContain(`policies${ending}: exists already`);
    expect(readFileSync(`${prefix}${ending}`, 'utf8')).toBe('mine');
    expect([`${prefix}.key.pem`, `${prefix}.pub.pem`].filter((file) => existsSync(file))).toHaveLength(1);
  });
});

describe('pdp policy pack', () => {
  test('writes a signed bundle that a server takes', async () => {
    const { sets, out, privateFile, publicKeys } = await workplace();
    const result = await pdp('pack', ...sets, '--out', out, '--revision', '7', '--sign', privateFile);
    expect(result).toMatchObject({ code: 0, err: '' });
    expect(result.out).toMatch(
      /out\.tar\.gz: revision 7, signed by [0-9a-f]{16}, \d+ bytes, 3 policies, sha256:/,
    );
    expect(await openBundle(readFileSync(out), { publicKeys })).toMatchObject({ revision: 7 });
  });

  test('writes an unsigned bundle and says so', async () => {
    const { sets, out } = await workplace();
    expect((await pdp('pack', ...sets, '--out', out, '--revision', '1')).out).toContain(
      'revision 1, unsigned',
    );
    expect(await openBundle(readFileSync(out), { publicKeys: [] })).toMatchObject({ revision: 1 });
  });

  test('writes the same bytes again under SOURCE_DATE_EPOCH', async () => {
    const { sets, out, privateFile } = await workplace();
    vi.stubEnv('SOURCE_DATE_EPOCH', '1767225600');
    const pack = () => pdp('pack', ...sets, '--out', out, '--revision', '7', '--sign', privateFile);
    await pack();
    const before = readFileSync(out);
    await pack();
    expect(readFileSync(out)).toEqual(before);
    expect(await openBundle(before, { publicKeys: [] })).toMatchObject({
      created: '2026-01-01T00:00:00.000Z',
    });
    vi.stubEnv('SOURCE_DATE_EPOCH', 'yesterday');
    expect((await pack()).err).toContain('SOURCE_DATE_EPOCH: is not a Unix time');
  });

  test('writes nothing where a policy is not valid, and says where', async () => {
    const { root, sets, out } = await workplace();
    writeFileSync(
      join(root, 'plain/plain.cedar'),
      '@id("x")\npermit (principal == Nobody::"x", action, resource);\n',
    );
    const { code, err } = await pdp('pack', ...sets, '--out', out, '--revision', '7');
    expect(code).toBe(2);
    expect(err).toMatch(/plain\/plain\.cedar:2:\d+: /);
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [['--out', 'x', '--revision', '1'], 'expected at least one policy set folder'],
    [['full', '--revision', '1'], 'expected --out FILE'],
    [['full', '--out', 'x'], 'expected --revision N'],
    [['full', '--out', 'x', '--revision', '0'], 'is not an integer from 1'],
    [['full', '--out', 'x', '--revision', '1e3'], 'is not an integer from 1'],
    [['full', '--out', 'x', '--revision', '9007199254740992'], 'is not an integer from 1'],
    [
      ['full', '--out', 'x', '--revision', '1', '--sign', 'no-such-key'],
      'no-such-key: cannot be read as a private key',
    ],
    [['full', '--out', 'x', '--revision', '1', '--nonsense'], '--nonsense'],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await pdp('pack', ...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  test('says when the file cannot be written', async () => {
    const { sets, root } = await workplace();
    const { code, err } = await pdp('pack', ...sets, '--out', join(root, 'none', 'x'), '--revision', '1');
    expect(code).toBe(2);
    expect(err).toContain('cannot be written (ENOENT');
  });
});

describe('pdp policy sign', () => {
  test('signs the sets of a folder in place, again and again', async () => {
    const { root, privateFile, publicKeys } = await workplace();
    const result = await pdp('sign', root, '--revision', '7', '--sign', privateFile);
    expect(result).toMatchObject({ code: 0, err: '' });
    expect(result.out).toContain(
      `revision 7, signed by ${keyIdOf(readSigningKey(privateFile))}, 3 policies, sha256:`,
    );
    expect(verifyFolder(root, { publicKeys }).revision).toBe(7);
    await pdp('sign', root, '--revision', '8', '--sign', privateFile);
    expect(verifyFolder(root, { publicKeys }).revision).toBe(8);
  });

  test('signs nothing where a policy is not valid, and says where', async () => {
    const { root, privateFile } = await workplace();
    writeFileSync(join(root, 'plain/plain.cedar'), 'permit');
    const { code, err } = await pdp('sign', root, '--revision', '7', '--sign', privateFile);
    expect(code).toBe(2);
    expect(err).toContain(join(root, 'plain/plain.cedar'));
    expect(existsSync(join(root, 'manifest.json'))).toBe(false);
  });

  test('demands a key', async () => {
    const { root } = await workplace();
    expect((await pdp('sign', root, '--revision', '7')).err).toContain('expected --sign KEYFILE');
  });
});
