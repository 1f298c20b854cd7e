import type { AddressInfo, ListenOptions, Server } from 'node:net';

/** Splits `host:port` as configured; brackets of an IPv6 address are no part of the host. */
function listenOptions(address: string): ListenOptions {
  const split = address.lastIndexOf(':');
  return { host: address.slice(0, split).replace(/^\[|\]$/g, ''), port: Number(address.slice(split + 1)) };
}

/** Binds a server; resolves with `host:port` as bound. Rejects where the address cannot be bound. */
export async function listen(server: Server, address: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listenOptions(address), () => {
      server.off('error', reject);
      resolve();
    });
  });
  return `${address.slice(0, address.lastIndexOf(':'))}:${(server.address() as AddressInfo).port}`;
}
