import { hash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { type PdpError, InputError } from '../../pdp/errors.ts';
import { isRecord } from '../../pdp/external-json.ts';

/** A request to the ops surface that is refused, in an operator's words. */
export class OpsRefusal extends Error {
  override readonly name = 'OpsRefusal';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** Who may do what on the ops surface. Each throws an {@link OpsRefusal} where the request may not. */
export interface Gate {
  /** Change what is in force: with the admin token only. */
  mayChange(request: IncomingMessage): void;
  /** See who asks for what: with the admin token, or on loopback where none is configured. */
  mayRead(request: IncomingMessage): void;
}

const MIN_TOKEN_LENGTH = 32;

/**
 * Opens the gate. The token file is read for each request, so that the token can be changed without a restart; one that cannot be read
 * lets nobody in. Throws `InputError` where it holds no token now.
 */
export function openGate(tokenFile: string | undefined, onLoopback: boolean): Gate {
  if (tokenFile === undefined) return closedGate(onLoopback);
  const check = openTokenCheck(tokenFile);
  return {
    mayChange: (request) => check(request, false),
    mayRead: (request) => check(request, true),
  };
}

/** Throws an {@link OpsRefusal} where a request does not come with the admin token. `basic`: the password of `Basic` will do. */
export type TokenCheck = (request: IncomingMessage, basic: boolean) => void;

/** Makes the check of the token in a file, as {@link openGate} says. */
export function openTokenCheck(tokenFile: string): TokenCheck {
  const problem = tokenProblem(readToken(tokenFile));
  if (problem !== undefined)
    throw new InputError('the admin token cannot be used:', [{ where: tokenFile, message: problem }]);
  return (request, basic) => {
    const given = credentialOf(request, basic);
    if (given === undefined) throw unauthenticated(basic);
    const token = readToken(tokenFile);
    if (token === undefined || tokenProblem(token) !== undefined || !equal(given, token))
      throw new OpsRefusal(403, 'this is not the admin token');
  };
}

function closedGate(onLoopback: boolean): Gate {
  return {
    mayChange() {
      throw new OpsRefusal(404, 'nobody can do this here: no ops.admin_token_file is configured');
    },
    mayRead() {
      if (!onLoopback)
        throw new OpsRefusal(403, 'names people: shown off loopback only with an ops.admin_token_file');
    },
  };
}

function readToken(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function tokenProblem(token: string | undefined): string | undefined {
  if (token === undefined) return 'cannot be read';
  return token.length < MIN_TOKEN_LENGTH ? `holds fewer than ${MIN_TOKEN_LENGTH} characters` : undefined;
}

/**
 * The token of `Authorization: Bearer`. For reading also the password of `Basic`, which is what a browser can send; never for changes,
 * since it sends it unasked from then on, also for a page of somebody else's.
 */
function credentialOf({ headers }: IncomingMessage, basic: boolean): string | undefined {
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(headers.authorization ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (!basic || scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  return pair.slice(pair.indexOf(':') + 1);
}

function unauthenticated(basic: boolean): OpsRefusal {
  const challenge = 'Bearer realm="cedar-pdp ops"';
  const headers = {
    'www-authenticate': basic ? `${challenge}, Basic realm="cedar-pdp ops: token as password"` : challenge,
  };
  return new OpsRefusal(401, 'needs the admin token: Authorization: Bearer …', headers);
}

/** In constant time: digests have one length, whatever the tokens have. */
function equal(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));
}

const MAX_BODY_BYTES = 1024;

/** The digest that a body `{"digest": "sha256:…"}` names; an empty body names none. Throws an {@link OpsRefusal} for any other. */
export async function readDigest(request: IncomingMessage): Promise<string | undefined> {
  const text = await readBody(request, MAX_BODY_BYTES);
  if (text.trim() === '') return undefined;
  const digest = digestIn(text);
  if (digest !== null) return digest;
  throw new OpsRefusal(400, 'the body must be empty or {"digest": "sha256:<64 hex digits>"}');
}

function digestIn(text: string): string | undefined | null {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value)) return null;
    const { digest, ...rest } = value;
    if (Object.keys(rest).length > 0) return null;
    if (digest === undefined) return undefined;
    return typeof digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(digest) ? digest : null;
  } catch {
    return null;
  }
}

/** The body of a request as text. Throws an {@link OpsRefusal} for one that is longer than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes)
      throw new OpsRefusal(413, `the body is larger than ${maxBytes} bytes`, { connection: 'close' });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const STATUS_OF_FAULT: Readonly<Record<string, number>> = {
  policies_unavailable: 409,
  audit_unavailable: 503,
  state_unavailable: 503,
};

/** What a fault comes to: 409 where the slots of policies are not as they would have to be, 503 and 500 where we cannot. */
export function faultRefusal({ reason, message }: PdpError): OpsRefusal {
  return new OpsRefusal(STATUS_OF_FAULT[reason] ?? 500, message);
}
