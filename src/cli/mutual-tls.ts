import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TLSSocket, connect } from 'node:tls';
import { presentedChain } from '../api/tls/presented-chain.ts';
import { identityProblem } from '../api/tls/tls-listener.ts';
import { SYSTEM_CLOCK } from '../compose/core.ts';
import { openIdentity } from '../compose/svid.ts';
import type { Config } from '../config.ts';
import { PdpError } from '../pdp/errors.ts';
import type { Log } from '../pdp/log.ts';
import { type SvidState, type TrustBundle, type X509Svid, isSvidProblem } from '../pdp/x509-svid.ts';
import { createSvidVerifier } from '../pip/spiffe/x509/verify-svid.ts';

/** One question to a surface of a running server. */
export interface ServerRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** What it answered. */
export interface ServerResponse {
  readonly status: number;
  readonly text: string;
}

type Held = SvidState & { readonly svid: X509Svid };

/**
 * Asks over mutual TLS, as the SVID that `spiffe` configures. Nothing is sent before the server has shown an SVID of our own trust
 * domain that the bundle of that trust domain bears out. Rejects where it has not, or we hold no SVID, or nobody answers.
 */
export async function askOverMutualTls(
  url: URL,
  question: ServerRequest,
  spiffe: NonNullable<Config['spiffe']>,
): Promise<ServerResponse> {
  await using stack = new AsyncDisposableStack();
  const held = await holdSvid(spiffe, stack);
  const socket = connect({
    ...endOf(url),
    cert: held.svid.certificateChain,
    key: held.svid.privateKey,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    // Verified by us, below: OpenSSL would take any CA for any name.
    rejectUnauthorized: false,
  });
  // Told to whoever waits for it; one that comes later is nobody's.
  socket.on('error', () => undefined);
  stack.defer(() => void socket.destroy());
  await once(socket, 'secureConnect', { signal: question.signal });
  assertOurs(socket, held);
  return await send(url, question, socket);
}

async function holdSvid(spiffe: NonNullable<Config['spiffe']>, stack: AsyncDisposableStack): Promise<Held> {
  const problems: string[] = [];
  const metrics = { connectionRefused: () => undefined, svidTaken: () => undefined };
  // Foreign trust domains do not matter here.
  const own = { ...spiffe, federation: [] };
  const identity = await openIdentity(own, { clock: SYSTEM_CLOCK, log: logTo(problems), metrics }, stack);
  const { svid, bundles } = identity?.trust.svids.state ?? { bundles: new Map<string, TrustBundle>() };
  const problem = identityProblem(svid, SYSTEM_CLOCK.now());
  if (svid && problem === undefined) return { svid, bundles };
  throw new PdpError('internal', [problem, ...problems].join('; '));
}

function logTo(problems: string[]): Log {
  const keep = (fields: object, message: string): void =>
    void problems.push('problem' in fields ? `${message} (${String(fields.problem)})` : message);
  return { info: () => undefined, warn: keep, error: keep };
}

function assertOurs(socket: TLSSocket, { svid: { identity }, bundles }: Held): void {
  const chain = presentedChain(socket);
  const verify = createSvidVerifier(() => bundles, { purposes: ['server'] });
  const server = 'cause' in chain ? chain : verify(chain, SYSTEM_CLOCK.now());
  if (isSvidProblem(server))
    throw new PdpError('internal', `the server has no SVID that we trust: ${server.problem}`);
  if (server.identity.trustDomain !== identity.trustDomain)
    throw new PdpError('internal', `the server is ${server.identity.id}, of another trust domain than ours`);
}

async function send(url: URL, question: ServerRequest, socket: TLSSocket): Promise<ServerResponse> {
  const { method, headers, body, signal } = question;
  const path = `${url.pathname}${url.search}`;
  const call = request({
    method,
    path,
    headers: { ...headers, host: url.host },
    signal,
    createConnection: () => socket,
  });
  call.end(body);
  const [answer] = (await once(call, 'response', { signal })) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: await text(answer) };
}

function endOf({ hostname, port }: URL): { readonly host: string; readonly port: number } {
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
}
