import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CONFIG = fileURLToPath(new URL('plain-line/vitest.config.ts', import.meta.url));
const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));

/** Last line and exit code of a run of one fixture. */
function run(
  fixture: string,
  env: Readonly<Record<string, string>> = {},
): { line: string | undefined; status: number | null } {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(CI|VITEST.*|NODE_ENV)$/.test(name));
  const result = spawnSync(process.execPath, [VITEST, 'run', '--config', CONFIG, fixture], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...Object.fromEntries(inherited), ...env },
  });
  return { line: result.stdout.trimEnd().split('\n').at(-1), status: result.status };
}

describe('the last line of a test run', () => {
  test.each([
    ['counts passed tests', 'passing', '2 passed, 0 failed, 0 skipped', 0],
    ['counts failed tests', 'failing', '1 passed, 1 failed, 0 skipped', 1],
    ['counts skipped tests and ones that are not written', 'skipped', '1 passed, 0 failed, 3 skipped', 0],
    ['counts a hook that fails as a failure', 'broken-hook', '0 passed, 1 failed, 1 skipped', 1],
    [
      'counts a file that cannot be collected as a failure',
      'broken-file',
      '0 passed, 1 failed, 0 skipped',
      1,
    ],
    ['counts nothing where nothing was found', 'no-such', '0 passed, 0 failed, 0 skipped', 1],
  ])('%s', (_behaviour, fixture, line, status) => {
    expect(run(fixture)).toEqual({ line, status });
  });

  test('is the same in CI, where a skipped test fails the run', () => {
    expect(run('passing', { CI: 'true' })).toEqual({ line: '2 passed, 0 failed, 0 skipped', status: 0 });
    expect(run('skipped', { CI: 'true' })).toEqual({ line: '1 passed, 0 failed, 3 skipped', status: 1 });
  });
});
