/** A path that somebody has once read otherwise than somebody else. */
export interface PathVector {
  /** The flaw class that it belongs to. */
  readonly flaw: number;
  /** As it goes on the wire. */
  readonly path: string;
}

const of = (flaw: number, ...paths: readonly string[]): readonly PathVector[] =>
  paths.map((path) => ({ flaw, path }));

/**
 * Paths that must not be decided on: Istio's normalisation vectors, and those of the published flaws. Each reads as `/admin` or below it
 * to some backend, or is plainly broken.
 */
export const PATH_VECTORS: readonly PathVector[] = [
  ...of(
    1,
    '//admin',
    '//admin/people',
    '///admin',
    '/public//admin',
    '/public/page//',
    '//public/page',
    '//evil.example/public/page',
    'https://app.example/public/page',
    'http://evil.example/admin',
    '/%2fadmin',
  ),
  ...of(
    3,
    '/public/../admin',
    '/public/./page',
    '/public/..',
    '/public/.',
    '/./admin',
    '/../admin',
    '/public/%2e%2e/admin',
    '/public/%2E%2E/admin',
    '/public/.%2e/admin',
    '/public/%2e/page',
    '/public/%252e%252e/admin',
    '/public/%25%32%65%25%32%65/admin',
  ),
  ...of(
    4,
    '/public%2fpage',
    '/public%2Fpage',
    '/public/..%2fadmin',
    '/public/..%2Fadmin',
    '/public%5cpage',
    '/public%5Cpage',
    '/public/..%5cadmin',
    '/public/..\\admin',
    '/public\\page',
    '\\admin',
    '/\\admin',
    '/public/%252fadmin',
    '/public/%252Fadmin',
    '/public/%255cadmin',
    '/public/%25%32%66admin',
    '/public/%u002fadmin',
    '/public/page%2',
    '/public/page%zz',
    '/public/page%',
    '/public/[page]',
  ),
  ...of(
    5,
    '/public/page;x=1',
    '/public/page;',
    '/public;/page',
    '/public/..;/admin',
    '/public/.;/admin',
    '/public/..;x=/admin',
    '/admin;/public/page',
    '/admin;.css',
    '/public/page%3bx',
    '/public/..%3B/admin',
  ),
  ...of(
    6,
    '/public/page#',
    '/public/page#/admin',
    '/admin#/public/page',
    '/public/page?x#y',
    '/public/page%23',
  ),
  ...of(8, '', 'public/page', 'admin', '?x', '*', '.', 'bank.Ledger/Post'),
  ...of(
    13,
    '/public/page\0',
    '/public/page\0.css',
    '/public/page%00',
    '/admin%00/public',
    '/public/\tpage',
    '/public/page%09',
    '/public/page\r\nx: y',
    '/public/page%0d%0ax:%20y',
    '/public/page\x7f',
    '/public/page%7f',
    '/public/ page',
    '/public/page?a\0b',
  ),
  ...of(
    14,
    '/public/caf\u00e9',
    '/public/\u212a',
    '/public/page\ufffd',
    '/public/\uff0e\uff0e/admin',
    '/public/\u2215admin',
    '/public/%c0%af..%c0%afadmin',
    '/public/%C0%AE%C0%AE/admin',
    '/public/%e0%80%afadmin',
    '/public/%ff',
    '/public/caf%e9',
    '/public/%ed%a0%80',
  ),
];
