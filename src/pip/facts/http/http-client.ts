import type { Agent, Dispatcher } from 'undici';
import { readBounded } from '../../../pdp/bounded-fetch.ts';
import type { Log } from '../../../pdp/log.ts';
import { NotAskedError } from '../source-guard.ts';
import { questionProblem } from './connection-problem.ts';
import { type CredentialFiles, type Credentials, openCredentials } from './secret-files.ts';

/** How to reach an HTTP server. */
export interface HttpConnection {
  /** Name of the information point, for messages. */
  readonly name: string;
  /** Scheme, host and port. */
  readonly origin: string;
  readonly credentials: CredentialFiles;
  /** Sent with every question; no secrets. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest body that is read, in bytes; default 65 536. */
  readonly maxBytes?: number;
  /** Connections held at a time; default 16. */
  readonly maxConnections?: number;
  /** Ms between looks at the credentials; 1000 where not given. */
  readonly pollMs?: number;
  readonly log: Log;
}

/** One question. */
export interface HttpQuestion {
  /** Path and query, percent-encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text; where there is one the method is POST. */
  readonly body?: string;
}

/** What the server said. `body` is read only where the status is 200. */
export interface HttpAnswer {
  readonly status: number;
  /** A header by its lower-case name; several of one name are joined by commas. */
  header(name: string): string | undefined;
  readonly body: Buffer;
}

/** Asks one server. */
export interface HttpClient extends AsyncDisposable {
  /** Rejects with `PdpError` `attribute_unavailable`, or with the signal's reason. Redirects are not followed. */
  ask(question: HttpQuestion, signal: AbortSignal): Promise<HttpAnswer>;
}

const MAX_BYTES = 65_536;
const MAX_CONNECTIONS = 16;
/** Characters of path and query that every server takes (RFC 9110 §4.1). */
export const MAX_PATH = 8_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Whoever asks has a deadline that is shorter; this one frees the connection where a server trickles. */
const ANSWER_TIMEOUT_MS = 60_000;

/**
 * Opens a client of one server: HTTP/1.1 over connections that are kept, certificates always verified. Throws `InputError` for
 * credentials that are not right. New certificates, keys and authorities are used for new connections, and connections made with the
 * old ones end with the question they carry.
 */
export async function openHttpClient(connection: HttpConnection): Promise<HttpClient> {
  const { name, log, pollMs } = connection;
  const undici = await import('undici');
  const agents = new Set<Agent>();
  const begin = (tls: Credentials['tls']): Agent => {
    for (const old of agents) endWhenIdle(old, agents);
    const next = new undici.Agent(agentOptions(connection, tls));
    agents.add(next);
    return next;
  };
  let agent: Agent | undefined;
  const credentials = await openCredentials({
    name,
    files: connection.credentials,
    ...(pollMs !== undefined && { pollMs }),
    log,
    onTlsChange: (tls) => (agent = begin(tls)),
  });
  agent = begin(credentials.current.tls);
  return {
    ask: (question, signal) => ask(connection, agent, credentials.current, question, signal),
    async [Symbol.asyncDispose]() {
      await credentials[Symbol.asyncDispose]();
      await Promise.all([...agents].map((open) => open.destroy()));
    },
  };
}

/** Lets questions that are under way end. One that is destroyed meanwhile has ended too. */
function endWhenIdle(agent: Agent, agents: Set<Agent>): void {
  const forget = (): void => void agents.delete(agent);
  agent.close().then(forget, forget);
}

function agentOptions(
  { maxConnections = MAX_CONNECTIONS }: HttpConnection,
  tls: Credentials['tls'],
): Agent.Options {
  return {
    connections: maxConnections,
    pipelining: 1,
    allowH2: false,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
    // Said in so many words: an environment variable of Node can turn verification off where this is not said.
    connect: { ...tls, rejectUnauthorized: true, minVersion: 'TLSv1.2', timeout: CONNECT_TIMEOUT_MS },
  };
}

async function ask(
  connection: HttpConnection,
  agent: Agent | undefined,
  credentials: Credentials,
  { path, headers, body }: HttpQuestion,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  signal.throwIfAborted();
  if (path.length > MAX_PATH) throw new NotAskedError('is not asked: the id is too long');
  try {
    if (!agent) throw new NotAskedError('is closed');
    const response = await agent.request({
      origin: connection.origin,
      path,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...connection.headers,
        ...headers,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...credentials.headers,
      },
      body: body ?? null,
      signal,
    });
    return await readAnswer(response, connection.maxBytes ?? MAX_BYTES);
  } catch (error) {
    signal.throwIfAborted();
    throw questionProblem(error);
  }
}

async function readAnswer(response: Dispatcher.ResponseData, maxBytes: number): Promise<HttpAnswer> {
  const { statusCode: status, headers, body } = response;
  const header = (name: string): string | undefined => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  if (status === 200) return { status, header, body: await readBounded(body, maxBytes) };
  // Read a little, so that the connection can carry the next question; what it says is nobody's business.
  await body.dump({ limit: maxBytes });
  return { status, header, body: Buffer.alloc(0) };
}
