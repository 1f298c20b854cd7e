import { loadConfig } from '../config/file.ts';
import { isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { type ServerAnswer, type ServerTarget, askServer, readTokenFile } from './ask-server.ts';
import { CONFIG_OPTION, EXIT, type Terminal, configPath } from './command.ts';

/** The options of commands that talk to a running server. */
export const OPS_OPTIONS = {
  ...CONFIG_OPTION,
  ops: { type: 'string' },
  'token-file': { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** Their values. */
export interface OpsOptions {
  readonly config?: string | undefined;
  readonly ops?: string | undefined;
  readonly 'token-file'?: string | undefined;
}

const DEFAULT_ADDRESS = '127.0.0.1:8282';

/**
 * Asks the ops surface of a running server: where `--ops` says, else where the configuration says it listens; with the token of
 * `--token-file`, else with the one that `tokenFileOf` finds in the configuration; over mutual TLS where the configuration has it so. Tells refusals. Throws `InputError`
 * for bad options, a token that cannot be read, and an address that is none.
 */
export function askOps(
  path: string,
  options: OpsOptions,
  terminal: Terminal,
  body?: object,
  tokenFileOf = ({ ops }: Config) => ops.admin_token_file,
): Promise<ServerAnswer> {
  return askServer(targetOf(options, tokenFileOf), { path, exitOf, ...(body && { body }) }, terminal);
}

/** Refused as things stand, asked wrongly, or broken. */
function exitOf(status: number): number {
  if (status === 409) return EXIT.no;
  return status < 500 ? EXIT.usage : EXIT.unchecked;
}

function targetOf(
  { config: configOption, ops, 'token-file': tokenFile }: OpsOptions,
  tokenFileOf: (config: Config) => string | undefined,
): ServerTarget {
  // `--ops` alone is a plaintext address, whatever configuration lies about here.
  const file = ops === undefined ? configPath(configOption) : configOption;
  // Its warnings are for those who serve with it.
  const config = file === undefined ? undefined : loadConfig(file, process.env).config;
  const path = tokenFile ?? (config && tokenFileOf(config));
  return {
    option: '--ops',
    address: ops ?? config?.ops.address ?? DEFAULT_ADDRESS,
    token: path === undefined ? undefined : readTokenFile(path),
    spiffe: config && !isPlaintext('ops', config.ops) ? config.spiffe : undefined,
  };
}
