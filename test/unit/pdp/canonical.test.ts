import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalHost, canonicalPath, canonicalise, singleHeader } from '../../../src/pdp/canonical.ts';
import { isRefusal, refuse } from '../../../src/pdp/decision.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import { accessRequest } from '../../support/requests.ts';

function refusalOf(result: string | object | undefined): string | undefined {
  return typeof result === 'object' && isRefusal(result) ? result.refusal : undefined;
}

describe('the path has one reading', () => {
  test.each([
    ['/', '/'],
    ['/a/b/', '/a/b/'],
    ['/a?x=1&y=//..', '/a'],
    ['/a?', '/a'],
    ['/%41%7e', '/A~'],
    ['/v1/things%3Adelete', '/v1/things:delete'],
    ['/u/a%40b%2Bc%2c%21', '/u/a@b+c,!'],
    ['/a%20b', '/a%20b'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/a%2db', '/a-b'],
    ['/...', '/...'],
    ['/.hidden/..x', '/.hidden/..x'],
    ['/a%25', '/a%25'],
    ['/a%25zz', '/a%25zz'],
    ['/pkg.Svc/Method', '/pkg.Svc/Method'],
    ["/a:b@c,d=e&f+g!*'()$", "/a:b@c,d=e&f+g!*'()$"],
  ])('%j is %j', (raw, canonical) => {
    expect(canonicalPath(raw)).toBe(canonical);
  });

  // Numbers are the rows of the published flaws that each case comes from.
  test.each([
    ['1: an empty segment that a URL library takes for an authority', '//admin/people'],
    ['1: an empty segment further on', '/a//b'],
    ['1: an absolute-form target', 'http://evil.example/admin'],
    ['1: an encoded second slash', '/%2Fadmin'],
    ['2: a fragment behind the query', '/public?x=1#/admin'],
    ['3: dot-dot', '/public/../admin'],
    ['3: dot-dot at the end', '/public/..'],
    ['3: a single dot', '/public/./x'],
    ['3: a dot at the end', '/public/.'],
    ['3: encoded dot-dot', '/public/%2e%2E/admin'],
    ['3: half-encoded dot-dot', '/public/.%2e/admin'],
    ['3: twice-encoded dot-dot', '/public/%252e%252e/admin'],
    ['4: an encoded slash, upper case', '/a%2Fb'],
    ['4: an encoded slash, lower case', '/a%2fb'],
    ['4: an encoded backslash', '/a%5Cb'],
    ['4: a backslash', '/a\\b'],
    ['4: a bracket', '/a[1]'],
    ['4: a twice-encoded slash', '/a%252fb'],
    ['4: a slash encoded twice in pieces', '/a%25%32%66b'],
    ['4: a percent sign whose digits come from escapes', '/a%25%32F'],
    ['5: a path parameter', '/admin;x=1'],
    ['5: a path parameter around dot-dot', '/public/..;/admin'],
    ['5: an encoded semicolon', '/admin%3Bx'],
    ['6: a fragment', '/public#/admin'],
    ['6: an encoded fragment sign', '/public%23'],
    ['6: an encoded question mark', '/public%3Fx'],
    ['8: no leading slash', 'pkg.Svc/Method'],
    ['8: empty', ''],
    ['8: only a query', '?x'],
    ['8: the asterisk form', '*'],
    ['13: NUL', '/a\0b'],
    ['13: an encoded NUL', '/a%00b'],
    ['13: a tab', '/a\tb'],
    ['13: a line feed', '/a\nb'],
    ['13: DEL', '/a\x7fb'],
    ['13: an encoded DEL', '/a%7Fb'],
    ['13: a space', '/a b'],
    ['13: a line feed in the query', '/a?x\ny'],
    ['14: a raw byte beyond ASCII', '/caf\u00e9'],
    ['14: a character that folds to ASCII', '/\u212a'],
    ['14: an overlong slash', '/a%c0%afb'],
    ['14: an overlong dot', '/%c0%ae%c0%ae/admin'],
    ['14: escapes of another charset', '/caf%e9'],
    ['an incomplete escape', '/a%2'],
    ['an escape that is none', '/a%zz'],
    ['an escape at the end', '/a%'],
    ['an overlong path', `/${'a'.repeat(8192)}`],
  ])('refuses %s', (_what, raw) => {
    expect(refusalOf(canonicalPath(raw))).toBe('path_ambiguous');
  });

  const pathish = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '/',
          '//',
          '.',
          '..',
          '%2e',
          '%2F',
          '%5c',
          '%25',
          '%',
          '2',
          'e',
          'F',
          ';',
          '?',
          '#',
          '\\',
        ),
        fc.string({ maxLength: 3 }),
        fc.integer({ min: 0, max: 255 }).map((byte) => `%${byte.toString(16).padStart(2, '0')}`),
      ),
      { maxLength: 12 },
    )
    .map((parts) => `/${parts.join('')}`);

  test('is idempotent: what was accepted reads the same again', () => {
    fc.assert(
      fc.property(pathish, (raw) => {
        const once = canonicalPath(raw);
        if (typeof once === 'string') expect(canonicalPath(once)).toBe(once);
      }),
      { numRuns: 3000 },
    );
  });

  test('accepts nothing that reads as structure, even to a backend that decodes again and again', () => {
    fc.assert(
      fc.property(pathish, (raw) => {
        let text = canonicalPath(raw);
        if (typeof text !== 'string') return;
        for (let times = 0; times < 3; times += 1) {
          expect(text.split('/').filter((segment) => segment === '.' || segment === '..')).toEqual([]);
          expect(text).not.toMatch(/\/\/|[\\;?#\0-\x1f\x7f]|%2f|%5c|%3b|%2e/i);
          text = text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('has one form for each resource: no two decode to one path', () => {
    const alphabet = fc.constantFrom(
      'a',
      '%61',
      ':',
      '%3a',
      '%3A',
      '@',
      '%40',
      '+',
      '%2b',
      '%25',
      '!',
      '/',
      '%5B',
    );
    const some = fc.array(alphabet, { maxLength: 4 }).map((parts) => `/${parts.join('')}`);
    fc.assert(
      fc.property(some, some, (a, b) => {
        const [first, second] = [canonicalPath(a), canonicalPath(b)];
        if (typeof first !== 'string' || typeof second !== 'string') return;
        expect(decodeURIComponent(a) === decodeURIComponent(b)).toBe(first === second);
      }),
      { numRuns: 5000 },
    );
  });

  test('reads two paths as one only where they differ in escapes of unreserved characters', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(\/[A-Za-z0-9._~-]{1,5}){1,3}$/), fc.nat(), (path, seed) => {
        const escaped = path.replace(/[^/]/g, (character, at: number) =>
          (seed >> (at % 30)) & 1 ? `%${character.charCodeAt(0).toString(16)}` : character,
        );
        expect(canonicalPath(escaped)).toEqual(canonicalPath(path));
      }),
    );
  });
});

describe('the host has one reading', () => {
  test.each([
    ['Example.COM', 'https', 'example.com'],
    ['example.com.', 'https', 'example.com'],
    ['example.com:443', 'https', 'example.com'],
    ['example.com:80', 'http', 'example.com'],
    ['example.com:80', 'https', 'example.com:80'],
    ['example.com.:8443', 'https', 'example.com:8443'],
    ['example.com:08443', 'https', 'example.com:8443'],
    ['10.0.0.1:443', 'https', '10.0.0.1'],
    ['[2001:DB8::1]:443', 'https', '[2001:db8::1]'],
    ['[0:0:0:0:0:0:0:1]:8443', 'https', '[::1]:8443'],
    ['[::FFFF:0a01:0203]', 'https', '10.1.2.3'],
    ['a_b.internal', 'https', 'a_b.internal'],
    ['ledger-api.ledger', '', 'ledger-api.ledger'],
  ])('%j over %j is %j', (raw, scheme, canonical) => {
    expect(canonicalHost(raw, scheme)).toBe(canonical);
  });

  test.each([
    ['nothing', ''],
    ['userinfo', 'good.example@evil.example'],
    ['two trailing dots', 'example.com..'],
    ['an empty label', 'a..b'],
    ['a leading dot', '.example.com'],
    ['a leading hyphen', '-example.com'],
    ['a path', 'example.com/x'],
    ['a list', 'a.example,b.example'],
    ['a space', 'example.com evil'],
    ['a control character', 'example.com\r\n'],
    ['NUL', 'example.com\0.evil'],
    ['a non-ASCII letter', 'ex\u00e4mple.com'],
    ['a letter that folds to ASCII', '\u212aube.example'],
    ['port 0', 'example.com:0'],
    ['a port out of range', 'example.com:65536'],
    ['a port that is none', 'example.com:https'],
    ['two ports', 'example.com:1:2'],
    ['an empty port', 'example.com:'],
    ['a dot after an address', '[::1].'],
    ['brackets around no address', '[12]'],
    ['brackets around a name', '[example]'],
    ['an unclosed bracket', '[::1'],
    ['a bare IPv6 address', '::1'],
    ['an overlong name', 'a'.repeat(263)],
  ])('refuses %s', (_what, raw) => {
    expect(refusalOf(canonicalHost(raw, 'https'))).toBe('host_ambiguous');
  });

  test('is idempotent, and its results are lower-case ASCII without a trailing dot', () => {
    const hostish = fc
      .array(
        fc.constantFrom('a', 'B', '.', '-', ':', '4', '43', '443', '80', '[', ']', '::1', '@', '_', '\u212a'),
        {
          maxLength: 8,
        },
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(hostish, fc.string()), fc.constantFrom('http', 'https', ''), (raw, scheme) => {
        const once = canonicalHost(raw, scheme);
        if (typeof once !== 'string') return;
        expect(canonicalHost(once, scheme)).toBe(once);
        expect(once).toMatch(/^[a-z0-9_.[\]:-]+$/);
        expect(once).not.toMatch(/\.(:|$)|@|\.\./);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a whole request', () => {
  test('comes out with method, path without query, and host', () => {
    expect(canonicalise(accessRequest({ method: 'GET', path: '/a?b', host: 'A.example:443' }))).toEqual({
      method: 'GET',
      path: '/a',
      host: 'a.example',
    });
  });

  test.each(['', 'get', 'GET ', 'G\0T', 'GET\r\n', 'POST,GET', 'G'.repeat(33)])(
    'refuses method %j',
    (method) => {
      expect(canonicalise(accessRequest({ method }))).toMatchObject({ refusal: 'request_malformed' });
    },
  );

  test.each(['a b', 'a:b', 'a\0', 'a\n', '', 'a,b', 'caf\u00e9', '\u212aookie'])(
    'refuses header name %j (row 10, 14)',
    (name) => {
      expect(canonicalise(accessRequest({ headers: [[name, 'x']] }))).toMatchObject({
        refusal: 'header_ambiguous',
      });
    },
  );

  test('takes pseudo-headers as Envoy sends them', () => {
    const headers = [
      [':authority', 'ledger-api.ledger'],
      [':method', 'POST'],
      [':path', '/internal/entries'],
      [':scheme', 'https'],
    ] as const;
    expect(canonicalise(accessRequest({ headers }))).not.toHaveProperty('refusal');
  });

  test.each([
    [':path', '/internal/entries\u00ff', 'path_ambiguous'],
    [':authority', 'other.example', 'host_ambiguous'],
    ['host', 'other.example', 'host_ambiguous'],
    [':method', 'GET', 'request_malformed'],
    [':scheme', 'http', 'request_malformed'],
  ])('refuses a %s that says something else than the request (row 14, 16)', (name, value, refusal) => {
    expect(canonicalise(accessRequest({ headers: [[name, value]] }))).toMatchObject({ refusal });
  });

  test("refuses a '!' that may be Envoy's repair of another byte (row 14)", () => {
    const path = '/internal/entries!?a!';
    const request = accessRequest({ path, headers: [[':path', path]] });
    const joined = { ...request.http, headers: new HeaderFields([[':path', path]], true) };
    expect(canonicalise(request)).toMatchObject({ path: '/internal/entries!' });
    expect(canonicalise({ ...request, http: joined })).toMatchObject({ refusal: 'path_ambiguous' });
  });

  test.each([
    ['GET', [['upgrade', 'websocket']]],
    ['GET', [['Upgrade', 'h2c, websocket']]],
    ['GET', [['upgrade', '']]],
    ['GET', [['connection', 'keep-alive, Upgrade']]],
    ['CONNECT', []],
    ['CONNECT', [[':protocol', 'websocket']]],
  ] as const)('refuses an upgrade: %s %j (row 16)', (method, headers) => {
    expect(canonicalise(accessRequest({ method, headers }))).toMatchObject({ refusal: 'upgrade_refused' });
  });

  test('takes an upgrade to a listed protocol alone, and never CONNECT without a path', () => {
    const options = { upgrades: ['websocket'] };
    const upgrade = (...headers: [string, string][]) =>
      canonicalise(accessRequest({ method: 'GET', headers }), options);
    expect(upgrade(['connection', 'Upgrade'], ['upgrade', 'WebSocket'])).toMatchObject({ method: 'GET' });
    expect(upgrade(['upgrade', 'websocket, h2c'])).toMatchObject({ refusal: 'upgrade_refused' });
    expect(upgrade(['upgrade', 'websocket'], ['upgrade', 'h2c'])).toMatchObject({
      refusal: 'upgrade_refused',
    });
    const connect = accessRequest({ method: 'CONNECT', path: '', headers: [[':protocol', 'websocket']] });
    expect(canonicalise(connect, options)).toMatchObject({ refusal: 'path_ambiguous' });
  });

  test.each([
    ['/pkg.Svc/Method?x', 'application/grpc'],
    ['/pkg.Svc/%4dethod', 'application/grpc+proto'],
    ['/pkg.Svc/Method/', 'application/grpc'],
    ['/Method', 'application/grpc'],
    ['/', 'Application/GRPC;x=y'],
  ])('refuses the gRPC path %s (row 8)', (path, type) => {
    const request = accessRequest({ path, headers: [['content-type', type]] });
    expect(canonicalise(request)).toMatchObject({ refusal: 'path_ambiguous' });
  });

  test.each(['application/grpc', 'application/grpc-web', 'application/json'])('takes %s', (type) => {
    const request = accessRequest({ path: '/pkg.Svc/Method', headers: [['content-type', type]] });
    expect(canonicalise(request)).toMatchObject({ path: '/pkg.Svc/Method' });
  });

  test.each([
    [[['x-pdp_decision-id', 'a']]],
    [[['x_forwarded_for', 'a']]],
    [[['transfer_encoding', 'a']]],
    [
      [
        ['x-a-b', '1'],
        ['x_a_b', '2'],
      ],
    ],
    [
      [
        ['x-a_b', '1'],
        ['x_a-b', '2'],
      ],
    ],
    [[['connection', 'close, x-pdp-decision-id']]],
    [
      [
        ['connection', 'close'],
        ['connection', 'Authorization'],
      ],
    ],
  ] as const)('refuses fields that a later hop reads otherwise: %j (row 10, 11)', (headers) => {
    expect(canonicalise(accessRequest({ headers }))).toMatchObject({ refusal: 'header_ambiguous' });
  });

  test('takes an underscore, and options of the connection, where they mean nothing else', () => {
    const headers = [
      ['x_a_b', '1'],
      ['x-c', '2'],
      ['connection', 'Keep-Alive, TE'],
    ] as const;
    expect(canonicalise(accessRequest({ headers }))).not.toHaveProperty('refusal');
  });

  test('refuses more header fields than an honest client sends', () => {
    const headers = Array.from({ length: 201 }, (_, index) => [`x-${index}`, ''] as const);
    expect(canonicalise(accessRequest({ headers }))).toMatchObject({ refusal: 'header_ambiguous' });
    expect(canonicalise(accessRequest({ headers: headers.slice(1) }))).not.toHaveProperty('refusal');
  });

  test('never throws, whatever the strings', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: 'binary' }),
        fc.string(),
        (path, host, name) => {
          canonicalise(accessRequest({ path, host, headers: [[name, '']] }));
        },
      ),
    );
  });
});

describe('a security-relevant header', () => {
  const conflict = refuse('credentials_conflict');
  const read = (...headers: [string, string][]) =>
    singleHeader(accessRequest({ headers }), 'x-token', conflict);

  test('is its one value, or absent', () => {
    expect(read(['x-token', 'a'])).toBe('a');
    expect(read(['X-Token', 'a'])).toBe('a');
    expect(read(['x-other', 'a'])).toBeUndefined();
    expect(read(['x-token', ''])).toBe('');
  });

  test('sent twice is a conflict, whatever its case (row 9)', () => {
    expect(read(['x-token', 'a'], ['X-Token', 'a'])).toBe(conflict);
  });

  test('with an underscore twin is ambiguous, beside it or alone (row 10)', () => {
    expect(read(['x-token', 'a'], ['x_token', 'b'])).toMatchObject({ refusal: 'header_ambiguous' });
    expect(read(['x_token', 'b'])).toMatchObject({ refusal: 'header_ambiguous' });
  });
});

describe('header fields', () => {
  test('keep duplicates in order, by ASCII lower-case name', () => {
    const fields = new HeaderFields(
      [
        ['A', '1'],
        ['b', '2'],
        ['a', '3'],
      ],
      true,
    );
    expect(fields.values('a')).toEqual(['1', '3']);
    expect([...fields.names()]).toEqual(['a', 'b']);
    expect(fields.size).toBe(2);
    expect(fields.values('c')).toEqual([]);
  });

  test('do not fold a letter beyond ASCII into an ASCII one (row 14)', () => {
    expect(new HeaderFields([['coo\u212aie', 'x']], false).values('cookie')).toEqual([]);
  });

  test.each(['__proto__', 'constructor', 'toString'])('have no field %s of their own', (name) => {
    expect(new HeaderFields([], false).values(name)).toEqual([]);
  });
});
