import { canonicalPath } from '../../../src/pdp/canonical.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

/** The canonicaliser of paths. */
export function pathTarget(): FuzzTarget {
  return {
    name: 'path',
    promise:
      'A path that is accepted is its own canonical path, and every decoder, however lenient, reads the same segments in it.',
    covers: ['src/pdp/canonical.ts'],
    seeds: [
      '/',
      '/a/b?c=d',
      '/a%20b/%C3%A9',
      '/v1/things%3Adelete',
      '/a/../b',
      '/a%2e%2Fb',
      '/%252e',
      '/a;b',
      '//a',
      '/a%',
    ].map(bytesOf),
    dictionary: [
      '/',
      '//',
      '/./',
      '/../',
      '%2e',
      '%2E',
      '%2f',
      '%5c',
      '%25',
      '%00',
      '%3b',
      '%3F',
      '%23',
      '%c0%af',
      '%e2%82%ac',
      ';',
      '\\',
      '?',
      '#',
      '%',
    ],
    maxBytes: 1024,
    run(input) {
      const raw = latin1(input);
      const path = canonicalPath(raw);
      if (typeof path !== 'string') return path.detail ?? '';
      must(canonicalPath(path) === path, `'${path}' is not its own canonical path`);
      must(canonicalPath(`${path}?a=b`) === path, `a query changes '${path}'`);
      mustBePlain(path);
      const sent = raw.split('?', 1)[0] ?? '';
      must(
        decodeURIComponent(sent) === decodeURIComponent(path),
        `'${path}' does not decode to what was sent`,
      );
      must(encoded(decodeURIComponent(path)) === path, `'${path}' has another spelling`);
      must(new URL(`http://host${path}`).pathname === path, `a browser reads '${path}' differently`);
      return path.includes('%') ? 'with escapes' : 'plain';
    },
  };
}

function mustBePlain(path: string): void {
  must(/^\/[!-~]*$/.test(path), `'${path}' holds more than printable ASCII`);
  let text = path;
  for (let round = 0; round < 3; round += 1) {
    const segments = text.slice(1).split(/[/\\;?#]/);
    must(segments.length === path.split('/').length - 1, `'${path}' has other segments when decoded`);
    must(!segments.some((segment) => segment === '.' || segment === '..'), `'${path}' leaves its folder`);
    must(!segments.slice(0, -1).includes(''), `'${path}' has an empty segment`);
    must(round === 0 || !/[\0-\x1f\x7f]/.test(text), `'${path}' hides a control character`);
    text = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
}

/** RFC 3986 §3.3: what is no pchar, and ';', is escaped. */
function encoded(decoded: string): string {
  return decoded.replace(/[^A-Za-z0-9._~!$&'()*+,=:@/-]+/g, (text) =>
    [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
