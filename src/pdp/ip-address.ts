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
  return isIP(mapped) === 4
    ? mapped
    : address.replace(DOTTED_END, (_, ...bytes: readonly string[]) => hexEnd(bytes));
}

/** Node writes the deprecated IPv4-compatible addresses with dots, and Cedar takes no IPv6 address with dots. */
const DOTTED_END = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/;

function hexEnd(bytes: readonly string[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
