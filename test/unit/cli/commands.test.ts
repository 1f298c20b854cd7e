import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { mintDemoToken } from '../../../src/demo-issuer.ts';
import { loadConfig } from '../../../src/config/file.ts';
import { createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { POLICIES, createPolicyFolder } from '../../support/snapshot.ts';

async function configFolder(overrides?: Readonly<Record<string, unknown>>) {
  const folder = await createConfigFolder(overrides);
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}
const SETS = ['mesh-call', 'finance-dashboard'].map((set) => join(POLICIES, set));

describe('config check', () => {
  test('of a good one is ok', async () => {
    const { configFile } = await configFolder();
    expect(await runPdp('config', 'check', '--config', configFile)).toEqual({
      code: 0,
      out: 'the configuration is valid\n',
      err: '',
    });
  });

  test('of a bad one tells every problem and is bad input', async () => {
    const { configFile } = await configFolder({ ops: { address: 'x' }, zzz: 1 });
    const { code, out, err } = await runPdp('config', 'check', '-c', configFile);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/ops\.address/);
    expect(err).toMatch(/unknown key 'zzz'/);
  });

  test('takes no arguments', async () => {
    expect((await runPdp('config', 'check', 'x')).code).toBe(2);
  });

  test.each([[['config', 'check']], [['serve']]])('%j without a file says so', async (words) => {
    const { code, err } = await runPdp(...words);
    expect(code).toBe(2);
    expect(err).toContain('(no configuration file: ./pdp.yaml is not there; give --config)');
  });
});

test('config print shows what is in force, ready to be loaded again', async () => {
  const { configFile, path } = await configFolder();
  const { code, out } = await runPdp('config', 'print', '--config', configFile);
  expect(code).toBe(0);
  const printed = join(path, 'printed.yaml');
  await writeFile(printed, out);
  expect(loadConfig(printed, {}).config).toEqual(loadConfig(configFile, {}).config);
});

test('config schema is JSON', async () => {
  const { code, out } = await runPdp('config', 'schema');
  expect(code).toBe(0);
  expect(parse(out)).toHaveProperty('properties.policies');
});

describe('policy validate', () => {
  test('of good sets is ok, together and with their digest', async () => {
    const { code, out, err } = await runPdp('policy', 'validate', ...SETS);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/\d+ policies.*sha256:[0-9a-f]{64}/);
  });

  test('of a bad one tells file, line and column', async () => {
    const folder = await createPolicyFolder('@id("a")\npermit(');
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const { code, out, err } = await runPdp('policy', 'validate', folder.path);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/main\.cedar:2:\d+: /);
  });

  test('tells warnings, which do not fail it', async () => {
    const folder = await createPolicyFolder(
      '@id("never") permit(principal, action, resource) when { false };',
    );
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const { code, err } = await runPdp('policy', 'validate', folder.path);
    expect(code).toBe(0);
    expect(err).toMatch(/warning: .*impossible/);
  });

  test.each([[['policy', 'validate']], [['policy', 'digest']], [['policy', 'validate', '/nowhere']]])(
    '%j is bad usage or input',
    async (args) => {
      expect((await runPdp(...args)).code).toBe(2);
    },
  );
});

test('policy digest is the digest that a server answers with', async () => {
  const folder = await configFolder();
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  expect(await runPdp('policy', 'digest', ...SETS)).toEqual({
    code: 0,
    out: `${app.policies.current()?.digest}\n`,
    err: '',
  });
});

describe('demo token', () => {
  test('is refused outside of demo mode', async () => {
    const { configFile } = await configFolder({ demo: false });
    const { code, out, err } = await runPdp('demo', 'token', '--user', 'alice', '--config', configFile);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('demo mode only');
    await expect(
      mintDemoToken(loadConfig(configFile, {}).config, { user: 'alice', mfa: true }),
    ).rejects.toThrow(/demo mode only/);
  });

  test('is refused before a server made the key', async () => {
    const { configFile } = await configFolder();
    const { code, err } = await runPdp('demo', 'token', '--user', 'alice', '--config', configFile);
    expect(code).toBe(2);
    expect(err).toContain('start the server first');
  });

  test.each([[[]], [['--user']], [['--user', 'a', '--lifetime', 'long']], [['--user', 'a', 'extra']]])(
    'with %j is bad usage',
    async (args) => {
      const { configFile } = await configFolder();
      expect((await runPdp('demo', 'token', '--config', configFile, ...args)).code).toBe(2);
    },
  );
});

describe('audit verify', () => {
  test('of a whole log is ok; of one with a line missing it says no', async () => {
    const folder = await configFolder();
    const app = await startTestApp(folder);
    await app.stop();
    const { code, out } = await runPdp('audit', 'verify', folder.auditDir);
    expect(code).toBe(0);
    expect(out).toMatch(/COMPLETENESS: +OK/);
    const report = await runPdp('audit', 'verify', '--config', folder.configFile, '--json');
    expect(report.code).toBe(0);
    expect(JSON.parse(report.out)).toMatchObject({ completeness: 'ok' });
  });
});
