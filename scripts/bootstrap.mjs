// Makes the checkout ready to run, with Node.js built-ins only: this file runs before anything is installed, on any
// Node.js from 20 on. Usage: node scripts/bootstrap.mjs [--build] [--test-parts]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const wants = new Set(process.argv.slice(2));

function say(text) {
  process.stderr.write(`cedar-pdp: ${text}\n`);
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status === 0) return;
  say(
    `'${[command, ...args].join(' ')}' failed${result.error ? `: ${result.error.message}` : ''}; see its output above.`,
  );
  process.exit(3);
}

function digestOf(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function filesUnder(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length))
    .sort();
}

/** Runs `action` unless the stamp says that it already ran for exactly these inputs. */
function once(stamp, digest, label, action) {
  const file = join(root, stamp);
  if (existsSync(file) && readFileSync(file, 'utf8') === digest) return;
  say(label);
  action();
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, digest);
}

if (Number(process.versions.node.split('.')[0]) < 20) {
  say(`needs Node.js 20 or newer to start from; this is ${process.versions.node}.`);
  process.exit(3);
}
once(
  'node_modules/.cedar-pdp-installed',
  digestOf(['package-lock.json']),
  'installing dependencies (npm ci) …',
  () =>
    run('npm', ['ci', '--include=optional', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']),
);
const pinned = join(root, 'node_modules/.bin/node');
// The pinned runtime is an optional dependency: where there is none for this platform, the machine's own must do.
const node = existsSync(pinned) ? pinned : process.execPath;
if (wants.has('--build')) {
  if (!existsSync(join(root, 'dist/main.js'))) rmSync(join(root, 'dist'), { recursive: true, force: true });
  const how = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'scripts/build.mjs'];
  const inputs = [...how, ...filesUnder('src')];
  once('dist/.built', digestOf(inputs), 'building …', () => run(node, ['scripts/build.mjs']));
}
if (wants.has('--test-parts')) run(node, ['scripts/parts.mjs']);
