import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { writeFile } from 'node:fs/promises';
import type { Terminal } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import { runCli } from '../../src/cli/run.ts';
import { type App, startApp } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/file.ts';
import { createLogger } from '../../src/telemetry.ts';
import { POLICIES } from './snapshot.ts';

const FACTS = join(POLICIES, 'finance-dashboard/facts');

/** The facts of the sample policies. */
export const DEMO_PIPS: readonly object[] = [
  {
    name: 'directory',
    kind: 'static_file',
    subject: 'user',
    gives: ['groups', 'revoked'],
    file: join(FACTS, 'directory.json'),
  },
  {
    name: 'devices',
    kind: 'static_file',
    subject: 'device',
    gives: ['managed', 'compliant', 'disk_encrypted', 'screen_lock', 'firewall', 'risk', 'os'],
    file: join(FACTS, 'devices.json'),
  },
];

/** The sample policies with their facts, in demo mode on free loopback ports, with files in `folder`. */
export function demoConfig(folder: string): Record<string, unknown> {
  return {
    demo: true,
    grpc: { address: '127.0.0.1:0', plaintext: true },
    ops: { address: '127.0.0.1:0' },
    http: { address: '127.0.0.1:0' },
    policies: { sets: [join(POLICIES, 'mesh-call'), join(POLICIES, 'finance-dashboard')] },
    // A busy machine must not make a deny of a permit.
    decision: { timeout_ms: 2000 },
    pips: DEMO_PIPS,
    audit: { dir: join(folder, 'audit') },
  };
}

/** A folder with a configuration file; disposing removes it. */
export interface ConfigFolder extends AsyncDisposable {
  readonly path: string;
  readonly configFile: string;
  readonly auditDir: string;
}

/** Writes {@link demoConfig}, changed by `overrides` at the top level, to a folder of its own. */
export async function createConfigFolder(
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<ConfigFolder> {
  const path = await mkdtemp(join(tmpdir(), 'pdp-app-'));
  const configFile = join(path, 'pdp.yaml');
  await writeFile(configFile, stringify({ ...demoConfig(path), ...overrides }));
  return {
    path,
    configFile,
    auditDir: join(path, 'audit'),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 20 }),
  };
}

/** A busy machine must not make a deny of a permit. */
export const UNHURRIED = { PDP_DECISION_OVERLOAD_TARGET_MS: '0' };

/** Starts the whole application in this process. The caller stops it. */
export function startTestApp(
  folder: ConfigFolder,
  env: Readonly<Record<string, string>> = UNHURRIED,
): Promise<App> {
  return startApp(loadConfig(folder.configFile, env).config, createLogger('silent'));
}

/** What a command answered. */
export interface CliAnswer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process, as `pdp` would. Rejects where `pdp` would exit with 3. */
export async function runPdp(...args: readonly string[]): Promise<CliAnswer> {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    interactive: false,
  };
  const code = await runCli(commands, args, terminal);
  return { code, out, err };
}
