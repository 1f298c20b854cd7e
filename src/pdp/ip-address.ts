import { SocketAddress, isIP } from 'node:net';

/**
 * The one spelling of an IP address: RFC 5952 text, without zone; IPv4 inside IPv6 is IPv4, since Cedar finds `::ffff:10.0.0.1`
 * outside of 10.0.0.0/8. `undefined` where the text is no address.
 */
export function canonicalIp(text: string): string | undefined {
  const family = isIP(text);
  if (family !== 6) return family === 4 ? text : undefined;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  const mapped = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : '';
  return isIP(mapped) === 4 ? mapped : address;
}
