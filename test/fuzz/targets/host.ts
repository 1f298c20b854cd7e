import { canonicalHost } from '../../../src/pdp/canonical.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

/** The canonicaliser of hosts. */
export function hostTarget(): FuzzTarget {
  return {
    name: 'host',
    promise: 'A host that is accepted is its own canonical host, and URL readers that take it agree.',
    covers: ['src/pdp/canonical.ts', 'src/pdp/ip-address.ts'],
    seeds: [
      'api.example.com',
      'A.Example.com.:443',
      '[::1]:8443',
      '[::ffff:10.0.0.1]',
      '10.0.0.1:80',
      'a..b',
      'user@host',
      '[fe80::1%25eth0]',
    ].map(bytesOf),
    dictionary: [
      ':',
      ':443',
      ':80',
      '.',
      '..',
      '[',
      ']',
      '::',
      '[::',
      'ffff:',
      '127.0.0.1',
      '@',
      '%',
      '_',
      '-',
      '0',
    ],
    maxBytes: 300,
    run(input) {
      const raw = latin1(input);
      for (const scheme of ['http', 'https', '']) {
        const host = canonicalHost(raw, scheme);
        if (typeof host === 'string') mustBeCanonical(host, raw, scheme);
      }
      const host = canonicalHost(raw, 'https');
      return typeof host === 'string' ? (host.includes('[') ? 'IPv6' : 'accepted') : (host.detail ?? '');
    },
  };
}

function mustBeCanonical(host: string, raw: string, scheme: string): void {
  must(canonicalHost(host, scheme) === host, `'${host}' is not its own canonical host (${scheme})`);
  must(/^[!-~]+$/.test(host) && !/[A-Z@/?#\\%]/.test(host), `'${host}' holds what no canonical host holds`);
  must(!host.replace(/:\d+$/, '').endsWith('.'), `'${host}' ends with a dot`);
  const read = scheme === '' ? undefined : urlHost(`${scheme}://${raw}`);
  // URL readers take numbers for IPv4 addresses, and refuse or rewrite what says it is IDNA: names to us.
  if (read === undefined || /(?:^|\.)(?:0x[0-9a-f]*|\d+)(?::\d+)?$|xn--/.test(host)) return;
  must(read.replace(/\.(?=:|$)/, '') === host, `a URL reader takes '${raw}' for '${read}', not '${host}'`);
}

function urlHost(url: string): string | undefined {
  try {
    return new URL(url).host;
  } catch {
    return undefined;
  }
}
