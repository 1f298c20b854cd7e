// Compiles src/ to dist/. The old build is replaced only by a whole new one: somebody may be running it.
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const next = `${root}dist.next`;
rmSync(next, { recursive: true, force: true });
execFileSync(`${root}node_modules/.bin/tsc`, ['-p', 'tsconfig.build.json', '--outDir', next], {
  cwd: root,
  stdio: 'inherit',
});
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(next, `${root}dist`);
