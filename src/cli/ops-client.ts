import { readFileSync } from 'node:fs';
import { loadConfig } from '../config-file.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
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

/** An answer of the ops surface: what it said, or the exit code that its refusal comes to. */
export type OpsAnswer = { readonly value: unknown } | { readonly exit: number };

const DEFAULT_ADDRESS = '127.0.0.1:8282';
const TIMEOUT_MS = 15_000;

/**
 * Asks the ops surface of a running server: where `--ops` says, else where the configuration says it listens; with the token of
 * `--token-file`, else with the configured one. Tells refusals. Throws `InputError` for bad options, a token that cannot be read, and an
 * address that is none.
 */
export async function askOps(
  path: string,
  options: OpsOptions,
  terminal: Terminal,
  body?: object,
): Promise<OpsAnswer> {
  const { address, token } = targetOf(options);
  const url = URL.parse(`http://${address}${path}`);
  if (!url || !/:\d+$/.test(address)) throw badUsage('--ops', `'${address}' is not HOST:PORT`);
  try {
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(body && { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.ok) return { value: JSON.parse(text) as unknown };
    terminal.err(`pdp: ${text.trim()}\n`);
    return { exit: exitOf(response.status) };
  } catch (error) {
    terminal.err(`pdp: ${address} does not answer: ${causeOf(error)}\n`);
    return { exit: EXIT.unchecked };
  }
}

/** Refused as things stand, asked wrongly, or broken. */
function exitOf(status: number): number {
  if (status === 409) return EXIT.no;
  return status < 500 ? EXIT.usage : EXIT.unchecked;
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? cause.message : messageOf(error);
}

function targetOf(options: OpsOptions): { address: string; token: string | undefined } {
  const { ops, 'token-file': tokenFile } = options;
  const file = configPath(options.config);
  // Only for what the options do not say; its warnings are for those who serve with it.
  const config =
    ops !== undefined || file === undefined ? undefined : loadConfig(file, process.env).config.ops;
  const path = tokenFile ?? config?.admin_token_file;
  return {
    address: ops ?? config?.address ?? DEFAULT_ADDRESS,
    token: path === undefined ? undefined : readToken(path),
  };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw badUsage(file, `cannot be read (${messageOf(error)})`);
  }
}

function badUsage(where: string, message: string): InputError {
  return new InputError('bad usage:', [{ where, message }]);
}
