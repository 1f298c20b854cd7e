import { existsSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type LoadedConfig, loadConfig } from '../config/file.ts';
import { InputError } from '../pdp/errors.ts';

/** Exit codes of the CLI. */
export const EXIT = {
  ok: 0,
  /** The check itself says no: denied, tampered, failed, changed. */
  no: 1,
  /** Bad usage or input. */
  usage: 2,
  /** Could not be checked. */
  unchecked: 3,
} as const;

/** What a command writes to; tests bring their own. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Whether colours and progress lines are welcome. */
  readonly interactive: boolean;
}

/** One verb of the CLI. */
export interface Command {
  /** The words that choose it, e.g. `config check`. */
  readonly name: string;
  /** Arguments as shown in the usage. */
  readonly usage: string;
  readonly summary: string;
  /** Runs it and returns the exit code. Throws `InputError` for bad usage or input. */
  run(args: readonly string[], terminal: Terminal): Promise<number>;
}

/** Parses the arguments of a command; unknown ones are an `InputError`. */
export function parseCommandArgs<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new InputError('bad usage:', [{ where: 'pdp', message: (error as Error).message }]);
  }
}

/** The `--config` option that many commands share. */
export const CONFIG_OPTION = { config: { type: 'string', short: 'c' } } as const;

/** The configuration file to use: `--config`, `PDP_CONFIG`, `pdp.yaml` in the working directory, or none. */
export function configPath(option: string | undefined): string | undefined {
  return option ?? process.env['PDP_CONFIG'] ?? (existsSync('pdp.yaml') ? 'pdp.yaml' : undefined);
}

/** Loads the configuration that `--config` means, telling warnings. */
export function configFor(option: string | undefined, terminal: Terminal): LoadedConfig['config'] {
  const { config, warnings } = loadConfig(configPath(option), process.env);
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`);
  return config;
}

/** Exactly `count` positional arguments, or an `InputError` naming them. */
export function positionals(found: readonly string[], ...names: readonly string[]): readonly string[] {
  if (found.length === names.length) return found;
  const expected = names.length === 0 ? 'no argument' : names.join(' ');
  throw new InputError('bad usage:', [
    { where: 'pdp', message: `expected ${expected}, got ${found.length === 0 ? 'none' : found.join(' ')}` },
  ]);
}

/** The folder of the configured decision log. Throws `InputError`; where there is no configuration at all, it says what to give in its place. */
export function auditDirFor(option: string | undefined, terminal: Terminal): string {
  try {
    return configFor(option, terminal).audit.dir;
  } catch (error) {
    if (!(error instanceof InputError) || configPath(option) !== undefined) throw error;
    const message = 'give the folder of a decision log, or --config FILE: there is no pdp.yaml here';
    throw new InputError('bad usage:', [{ where: 'DIR', message }]);
  }
}
