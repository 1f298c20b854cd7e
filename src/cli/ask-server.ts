import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { InputError, PdpError, messageOf } from '../pdp/errors.ts';
import { EXIT, type Terminal } from './command.ts';
import { type ServerRequest, type ServerResponse, askOverMutualTls } from './mutual-tls.ts';

/** A surface of a running server. */
export interface ServerTarget {
  /** The option that names it, for messages. */
  readonly option: string;
  /** `host:port`. */
  readonly address: string;
  readonly token: string | undefined;
  /** Who we are to it; absent: it is plaintext. */
  readonly spiffe: Config['spiffe'];
}

/** What is asked of it. */
export interface ServerQuestion {
  /** With query. */
  readonly path: string;
  /** Present: it is a POST. */
  readonly body?: object;
  /** The exit code that a refusal comes to. */
  readonly exitOf: (status: number) => number;
  /** What to tell of a refusal; as it came where not given. */
  readonly wordsOf?: (text: string) => string;
}

/** What a server said, or the exit code that its refusal comes to. */
export type ServerAnswer = { readonly value: unknown } | { readonly exit: number };

const TIMEOUT_MS = 15_000;

/**
 * Asks a surface of a running server, over mutual TLS where we have an identity for it. Tells refusals. Throws `InputError` for an address
 * that is none.
 */
export async function askServer(
  { option, address, token, spiffe }: ServerTarget,
  { path, body, exitOf, wordsOf }: ServerQuestion,
  terminal: Terminal,
): Promise<ServerAnswer> {
  const url = URL.parse(`${spiffe ? 'https' : 'http'}://${address}${path}`);
  if (!url || !/:\d+$/.test(address)) throw badUsage(option, `'${address}' is not HOST:PORT`);
  const question: ServerRequest = {
    method: body ? 'POST' : 'GET',
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  };
  try {
    const answer = await (spiffe ? askOverMutualTls(url, question, spiffe) : askInPlaintext(url, question));
    if (answer.status >= 200 && answer.status < 300) return { value: JSON.parse(answer.text) as unknown };
    terminal.err(`pdp: ${harmless((wordsOf?.(answer.text) ?? answer.text).trim())}\n`);
    if (answer.status === 401 && token === undefined) terminal.err('pdp: --token-file says where it is\n');
    return { exit: exitOf(answer.status) };
  } catch (error) {
    if (error instanceof InputError) throw error;
    const what = error instanceof PdpError ? 'cannot be asked' : 'does not answer';
    terminal.err(`pdp: ${address} ${what}: ${causeOf(error)}\n`);
    return { exit: EXIT.unchecked };
  }
}

const MAX_WORDS = 4000;

/** A server repeats what it was sent, and need not be ours: nothing in it may steer the terminal. */
function harmless(text: string): string {
  return text.slice(0, MAX_WORDS).replace(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}

async function askInPlaintext(url: URL, question: ServerRequest): Promise<ServerResponse> {
  const answer = await fetch(url, { ...question, redirect: 'error' });
  return { status: answer.status, text: await answer.text() };
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? cause.message : messageOf(error);
}

/** Reads a token from its file. Throws `InputError` where it cannot be read, or holds none. */
export function readTokenFile(file: string): string {
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw badUsage(file, `cannot be read (${messageOf(error)})`);
  }
  if (!/^[!-~]+$/.test(token)) throw badUsage(file, 'does not hold a token, and nothing else');
  return token;
}

/** An `InputError` about how a command was called. */
export function badUsage(where: string, message: string): InputError {
  return new InputError('bad usage:', [{ where, message }]);
}
