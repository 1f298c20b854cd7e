import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commands } from '../../../src/cli/commands.ts';
import { runPdp } from '../../support/app.ts';
import { freePort } from '../../support/free-port.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const REQUEST = 'deploy/local/requests/payment-api-posts-entry.json';
const main = (...args: string[]) =>
  spawnSync(process.execPath, ['src/main.ts', ...args], { cwd: ROOT, encoding: 'utf8' });

describe('usage', () => {
  test.each(['help', '--help', '-h'])('%s names every command, and is ok', async (word) => {
    const { code, out } = await runPdp(word);
    expect(code).toBe(0);
    for (const { name } of commands) expect(out).toContain(`pdp ${name}`);
    expect(out).toContain('Exit codes');
  });

  test('without arguments is told, and is bad usage', async () => {
    expect(await runPdp()).toMatchObject({ code: 2, err: '' });
  });

  test.each([
    ['nonsense'],
    ['policy'],
    ['policy', 'nonsense'],
    ['--server'],
    ['policy', 'nonsense', '--help'],
  ])('%s is no command', async (...args) => {
    const { code, out, err } = await runPdp(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('no command');
  });

  test.each(commands)('$name explains itself and each of its options', async ({ name, usage }) => {
    for (const word of ['--help', '-h']) {
      const { code, out, err } = await runPdp(...name.split(' '), 'an-argument', word);
      expect([code, err]).toEqual([0, '']);
      expect(out.split('\n')[0]).toBe(`pdp ${name} ${usage}`.trimEnd());
      const lines = out.split('\n').filter((line) => line.startsWith('  --'));
      expect(lines.map((line) => line.match(/--[a-z-]+/)?.[0])).toEqual([
        ...new Set(usage.match(/--[a-z-]+/g)),
      ]);
      for (const line of lines) expect(line).toMatch(/^ {2}--\S.* {2}\S/);
    }
  });

  test.each([
    ['policy', ['--help']],
    ['policy', ['-h', 'nonsense']],
    ['audit', ['--help']],
    ['config', ['--help']],
    ['demo', ['--help']],
  ])('%s %j names the commands that begin so, and no other', async (group, rest) => {
    const { code, out, err } = await runPdp(group, ...rest);
    expect([code, err]).toEqual([0, '']);
    for (const { name } of commands) {
      const named = new RegExp(`^  pdp ${name}( |$)`, 'm').test(out);
      expect([name, named]).toEqual([name, name.startsWith(`${group} `)]);
    }
  });

  test.each(commands.map(({ name }) => name))('%s refuses an option that it does not know', async (name) => {
    const { code, out, err } = await runPdp(...name.split(' '), '--nonsense');
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('--nonsense');
  });
});

describe('the process', () => {
  test('exits with what the command says', () => {
    expect(main('config', 'schema').status).toBe(0);
    expect(main('nonsense').status).toBe(2);
  });

  test('exits with 3 where it could not be checked, and says why in one line', async () => {
    const { status, stderr, stdout } = main('check', `--server=127.0.0.1:${await freePort()}`, REQUEST);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/^pdp: .*UNAVAILABLE.*\n$/);
  });
});
