import type { Agent, Dispatcher } from 'undici';
import { readBounded, utf8Text } from '../../pdp/bounded-fetch.ts';
import { isRecord } from '../../pdp/external-json.ts';
import { fetchUrlProblem } from '../../pdp/fetch-url.ts';
import type { Log } from '../../pdp/log.ts';
import { connectionProblem } from '../facts/http/connection-problem.ts';
import { type CredentialFiles, type CredentialSource, openCredentials } from '../facts/http/secret-files.ts';

/** One request to a transmitter. */
export interface TransmitterRequest {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly url: string;
  readonly body?: object;
  /** Ms for the whole answer. */
  readonly timeoutMs: number;
  /** Without our credentials, for what is public. */
  readonly anonymous?: true;
  readonly signal: AbortSignal;
}

/** What a transmitter said. */
export interface TransmitterAnswer {
  readonly status: number;
  /** Parsed JSON of a 2xx answer; `undefined` where it has no body. Not looked at yet. */
  readonly json: unknown;
}

/** A request that came to nothing, in an operator's words that hold nothing of what was said. */
export class TransmitterError extends Error {
  override readonly name = 'TransmitterError';
  /** Ms after which the transmitter wants to be asked again, where it says so. */
  readonly retryAfterMs: number | undefined;
  /** Status of the answer, where there was one. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Asks the transmitter of one stream, over HTTP/1.1 and verified TLS. */
export interface TransmitterHttp extends AsyncDisposable {
  /** Rejects with a {@link TransmitterError} where there is no 2xx answer with JSON or without a body, or with the signal's reason. */
  ask(request: TransmitterRequest): Promise<TransmitterAnswer>;
}

/** Largest answer that is read, in bytes: a hundred SETs. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5000;
/** Longest wait that a transmitter can ask for. */
const MAX_RETRY_AFTER_MS = 300_000;

/**
 * Opens the client of one stream. Token, certificate and key are read again when their files change. Throws `InputError` where a file is not
 * right.
 */
export async function openTransmitterHttp(options: {
  readonly name: string;
  readonly credentials: CredentialFiles;
  readonly log: Log;
}): Promise<TransmitterHttp> {
  const { name, credentials: files, log } = options;
  const undici = await import('undici');
  let agent: Agent | undefined;
  const credentials = await openCredentials({
    name,
    files,
    log,
    onTlsChange(tls) {
      void agent?.close().catch(() => undefined);
      agent = new undici.Agent(agentOptions(tls));
    },
  });
  agent = new undici.Agent(agentOptions(credentials.current.tls));
  return {
    ask: (request) => ask(agent, credentials, request),
    async [Symbol.asyncDispose]() {
      await credentials[Symbol.asyncDispose]();
      await agent?.destroy();
    },
  };
}

function agentOptions(tls: CredentialSource['current']['tls']): Agent.Options {
  return {
    connections: 4,
    pipelining: 1,
    allowH2: false,
    // The time of each request is its own: a poll may be long.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { ...tls, rejectUnauthorized: true, minVersion: 'TLSv1.2', timeout: CONNECT_TIMEOUT_MS },
  };
}

async function ask(
  agent: Agent | undefined,
  credentials: CredentialSource,
  request: TransmitterRequest,
): Promise<TransmitterAnswer> {
  const { url: text, method, body, timeoutMs, anonymous } = request;
  const problem = fetchUrlProblem(text);
  if (problem !== undefined) throw new TransmitterError(`has an endpoint whose URL ${problem}`);
  const url = new URL(text);
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    if (!agent) throw new Error('is closed');
    const response = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers: {
        accept: 'application/json',
        ...(body && { 'content-type': 'application/json', 'content-language': 'en' }),
        ...(anonymous ? {} : credentials.current.headers),
      },
      body: body ? JSON.stringify(body) : null,
      signal: AbortSignal.any([timeout, request.signal]),
    });
    return await readAnswer(response);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof TransmitterError) throw error;
    if (timeout.aborted) throw new TransmitterError(`did not answer within ${timeoutMs} ms`);
    throw new TransmitterError(connectionProblem(error));
  }
}

async function readAnswer({
  statusCode: status,
  headers,
  body,
}: Dispatcher.ResponseData): Promise<TransmitterAnswer> {
  if (status < 200 || status > 299) {
    await body.dump({ limit: MAX_ANSWER_BYTES });
    throw new TransmitterError(
      `answered with status ${status}`,
      status,
      retryAfterMs(headers['retry-after']),
    );
  }
  const bytes = await readBounded(body, MAX_ANSWER_BYTES);
  if (bytes.length === 0) return { status, json: undefined };
  try {
    return { status, json: JSON.parse(utf8Text(bytes)) as unknown };
  } catch {
    throw new TransmitterError('answered with what is not JSON', status);
  }
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(value: string | string[] | undefined): number | undefined {
  if (typeof value !== 'string') return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : undefined;
}

/** An answer that must be a JSON object; throws a {@link TransmitterError} where it is none. */
export function objectOf({ json }: TransmitterAnswer): Readonly<Record<string, unknown>> {
  if (isRecord(json)) return json;
  throw new TransmitterError('answered with what is not a JSON object');
}
