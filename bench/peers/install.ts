import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { progress } from '../load/progress.ts';

/** A peer's program, or why there is none here. */
export type Program =
  { readonly path: string; readonly version: string; readonly from: string } | { readonly missing: string };

/** The versions that are compared with. */
const CERBOS = '0.55.0';
const OPA = 'v1.22.2';
const OPA_ENVOY = 'v1.14.1-envoy';
const INSTALL_MS = 900_000;

/**
 * Cerbos: `PDP_BENCH_CERBOS`, or its npm package for this platform, installed into `folder`, which is a project of its own:
 * neither our dependencies nor our lock file know of it.
 */
export function cerbos(folder: string): Program {
  const own = given('PDP_BENCH_CERBOS', ['--version']);
  if (own) return own;
  const name = `@cerbos/cerbos-${process.platform}-${process.arch}`;
  const project = join(folder, 'cerbos');
  const installed = () => executableIn(join(project, 'node_modules', name));
  if (installed() === undefined) {
    mkdirSync(project, { recursive: true });
    writeFileSync(join(project, 'package.json'), '{ "private": true }\n');
    const why = run(
      'npm',
      ['install', '--prefix', project, '--no-audit', '--no-fund', `${name}@${CERBOS}`],
      project,
    );
    if (why !== undefined) return { missing: why };
  }
  const path = installed();
  if (path === undefined) return { missing: `${name} holds no program` };
  return { path, version: versionOf(path, ['--version']), from: `npm, ${name}@${CERBOS}` };
}

/** OPA with the Envoy plugin: `PDP_BENCH_OPA_ENVOY`, or built with Go into `folder`. */
export function opaEnvoy(folder: string): Program {
  const name = 'github.com/open-policy-agent/opa-envoy-plugin';
  return (
    given('PDP_BENCH_OPA_ENVOY', ['version']) ??
    build(join(folder, 'opa-envoy'), `${name}/cmd/opa-envoy-plugin`, OPA_ENVOY)
  );
}

/** Plain OPA: `PDP_BENCH_OPA`, or built with Go into `folder`. */
export function opa(folder: string): Program {
  return (
    given('PDP_BENCH_OPA', ['version']) ?? build(join(folder, 'opa'), 'github.com/open-policy-agent/opa', OPA)
  );
}

function given(variable: string, ask: readonly string[]): Program | undefined {
  const path = process.env[variable];
  if (path === undefined) return undefined;
  if (!existsSync(path)) return { missing: `${variable} names no file` };
  return { path, version: versionOf(path, ask), from: `given by ${variable}` };
}

/** A module of its own that requires the program: replacements in its go.mod would stand in the way of `go install`. */
function build(folder: string, module: string, version: string): Program {
  const path = join(folder, 'program');
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'go.mod'), 'module peer\n\ngo 1.26\n');
    writeFileSync(join(folder, 'tools.go'), `//go:build tools\n\npackage tools\n\nimport _ "${module}"\n`);
    const why =
      run('go', ['get', `${module}@${version}`], folder) ?? run('go', ['build', '-o', path, module], folder);
    if (why !== undefined) return { missing: why };
  }
  return { path, version: versionOf(path, ['version']), from: `Go, ${module}@${version}` };
}

/** `undefined` when it went well, else what was tried and the last thing that it said. */
function run(command: string, args: readonly string[], cwd: string): string | undefined {
  progress(`${command} ${args.join(' ')}`);
  const { status, error, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: INSTALL_MS });
  if (status === 0) return undefined;
  const last = error?.message ?? stderr.trim().split('\n').slice(-2).join(' ').trim();
  return `\`${command} ${args[0]}\` failed: ${last}`
    .replaceAll(cwd, '.')
    .replaceAll(/https?:\/\/\S+/g, 'the registry');
}

function versionOf(path: string, ask: readonly string[]): string {
  const { stdout, stderr } = spawnSync(path, ask, { encoding: 'utf8', timeout: 10_000 });
  return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

/** The first ELF or Mach-O program below `folder`; scripts are none. */
function executableIn(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.startsWith('cerbos'))
    .map((entry) => join(entry.parentPath, entry.name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  const magic = Buffer.alloc(4);
  const file = openSync(path, 'r');
  readSync(file, magic, 0, 4, 0);
  closeSync(file);
  return ['7f454c46', 'cffaedfe'].includes(magic.toString('hex'));
}
