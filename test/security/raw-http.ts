import { once } from 'node:events';
import { type ClientHttp2Session, type OutgoingHttpHeaders, connect as connectHttp2 } from 'node:http2';
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls';
import type { Listener } from '../support/envoy.ts';
import type { Mesh } from '../support/mesh.ts';
import type { Leaf } from '../support/test-ca.ts';

const SERVER_NAME = 'ledger-api.mesh.example.com';
const PATIENCE_MS = 5000;

/** How a connection to Envoy is made. */
export interface Client {
  readonly mesh: Mesh;
  readonly to: Listener;
  readonly as?: Leaf;
}

/** TLS settings of a client of the mesh. */
export function tlsOptions({ mesh, to, as }: Client): ConnectionOptions {
  const identity = as && { cert: as.cert, key: as.key };
  return {
    host: '127.0.0.1',
    port: mesh.envoy.ports[to],
    servername: SERVER_NAME,
    ca: mesh.ca.bundle,
    ...identity,
  };
}

/** Sends bytes (latin1) over a TLS connection of their own, as HTTP/1.1; the status of the first answer. */
export async function sendHttp1(client: Client, bytes: string): Promise<number> {
  const socket = connect({ ...tlsOptions(client), ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write(Buffer.from(bytes, 'latin1'));
  try {
    return await firstStatus(socket);
  } finally {
    socket.destroy();
  }
}

async function firstStatus(socket: TLSSocket): Promise<number> {
  let answer = '';
  socket.setEncoding('latin1').setTimeout(PATIENCE_MS, () => socket.destroy());
  for await (const chunk of socket) {
    answer += String(chunk);
    const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
    if (status !== undefined) return Number(status);
  }
  throw new Error(`no answer but '${answer}'`);
}

/** Sends one HTTP/2 request with its pseudo-headers as given; its status, or `reset` where the stream was. */
export async function sendHttp2(client: Client, headers: OutgoingHttpHeaders): Promise<number | 'reset'> {
  const { port, ...options } = tlsOptions(client);
  const session = connectHttp2(`https://127.0.0.1:${port}`, options);
  session.on('error', () => undefined);
  try {
    // Extended CONNECT may be sent only once the server has said that it takes it.
    await once(session, 'remoteSettings');
    return await requestStatus(session, headers);
  } finally {
    session.destroy();
  }
}

function requestStatus(session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<number | 'reset'> {
  const stream = session.request(headers, { endStream: headers[':method'] !== 'CONNECT' });
  return new Promise((resolve) => {
    stream.on('response', (answer) => resolve(answer[':status'] ?? 0));
    stream.on('error', () => undefined);
    stream.on('close', () => resolve('reset'));
    stream.setTimeout(PATIENCE_MS, () => stream.close());
  });
}
