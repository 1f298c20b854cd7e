import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:tls';

/** The surface that is to be checked. */
export interface CheckedSurface {
  readonly surface: string;
  readonly protocol: 'h2' | 'http/1.1';
}

const TIMEOUT_MS = 5000;

/** What a server would answer to: the HTTP/2 preface with empty SETTINGS (RFC 9113 §3.4), or a request. */
const OPENING = {
  h2: Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]),
  'http/1.1': Buffer.from('GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'),
};

/**
 * Connects to a bound server as somebody without a client certificate, and rejects unless the connection is closed without an
 * answer: a listener that lets strangers in must not serve, whatever made it so. `onPort` is told the local port of the check.
 */
export async function assertStrangersAreRefused(
  server: Server,
  { surface, protocol }: CheckedSurface,
  onPort: (port: number | undefined) => void,
): Promise<void> {
  const socket = connect({ ...target(server), rejectUnauthorized: false, ALPNProtocols: [protocol] });
  socket.once('connect', () => onPort(socket.localPort));
  try {
    const problem = await new Promise<string | undefined>((resolve) => {
      let open = false;
      let lastError = '';
      socket.once('secureConnect', () => {
        open = true;
        socket.write(OPENING[protocol]);
      });
      socket.once('data', () => resolve('a connection without a client certificate was answered'));
      socket.on('error', (error) => (lastError = error.message));
      socket.once('close', () => resolve(open ? undefined : `it could not be connected to: ${lastError}`));
      socket.setTimeout(TIMEOUT_MS, () =>
        resolve('a connection without a client certificate was not closed'),
      );
    });
    if (problem !== undefined) throw new Error(`the ${surface} surface failed its check: ${problem}`);
  } finally {
    socket.destroy();
    onPort(undefined);
  }
}

function target(server: Server): { readonly host: string; readonly port: number } {
  const { address, port } = server.address() as AddressInfo;
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address] ?? address;
  return { host, port };
}
