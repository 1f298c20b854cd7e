import { readFileSync } from 'node:fs';
import { loadConfig } from '../config/file.ts';
import { isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { InputError, PdpError, messageOf } from '../pdp/errors.ts';
import { CONFIG_OPTION, EXIT, type Terminal, configPath } from './command.ts';
import { type OpsRequest, type OpsResponse, askOverMutualTls } from './ops-tls.ts';

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

interface Target {
  readonly address: string;
  readonly token: string | undefined;
  /** Who we are to it; absent: it is plaintext. */
  readonly spiffe: Config['spiffe'];
}

/**
 * Asks the ops surface of a running server: where `--ops` says, else where the configuration says it listens; with the token of
 * `--token-file`, else with the configured one; over mutual TLS where the configuration has it so. Tells refusals. Throws `InputError`
 * for bad options, a token that cannot be read, and an address that is none.
 */
export async function askOps(
  path: string,
  options: OpsOptions,
  terminal: Terminal,
  body?: object,
): Promise<OpsAnswer> {
  const { address, token, spiffe } = targetOf(options);
  const url = URL.parse(`${spiffe ? 'https' : 'http'}://${address}${path}`);
  if (!url || !/:\d+$/.test(address)) throw badUsage('--ops', `'${address}' is not HOST:PORT`);
  const question: OpsRequest = {
    method: body ? 'POST' : 'GET',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  };
  try {
    const answer = await (spiffe ? askOverMutualTls(url, question, spiffe) : askInPlaintext(url, question));
    if (answer.status === 200) return { value: JSON.parse(answer.text) as unknown };
    terminal.err(`pdp: ${answer.text.trim()}\n`);
    return { exit: exitOf(answer.status) };
  } catch (error) {
    if (error instanceof InputError) throw error;
    const what = error instanceof PdpError ? 'cannot be asked' : 'does not answer';
    terminal.err(`pdp: ${address} ${what}: ${causeOf(error)}\n`);
    return { exit: EXIT.unchecked };
  }
}

async function askInPlaintext(url: URL, question: OpsRequest): Promise<OpsResponse> {
  const answer = await fetch(url, { ...question, redirect: 'error' });
  return { status: answer.status, text: await answer.text() };
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

function targetOf({ config: configOption, ops, 'token-file': tokenFile }: OpsOptions): Target {
  // `--ops` alone is a plaintext address, whatever configuration lies about here.
  const file = ops === undefined ? configPath(configOption) : configOption;
  // Its warnings are for those who serve with it.
  const config = file === undefined ? undefined : loadConfig(file, process.env).config;
  const path = tokenFile ?? config?.ops.admin_token_file;
  return {
    address: ops ?? config?.ops.address ?? DEFAULT_ADDRESS,
    token: path === undefined ? undefined : readToken(path),
    spiffe: config && !isPlaintext('ops', config.ops) ? config.spiffe : undefined,
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
