import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCheckRequest } from '../../../../src/api/ext-authz/decode.ts';
import type { AccessRequest } from '../../../../src/pdp/access-request.ts';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import { EXT_AUTHZ_TYPES, LEDGER_API, PAYMENT_API, checkRequestBytes } from '../../../support/requests.ts';

const { CheckRequest } = EXT_AUTHZ_TYPES;

function decoded(bytes: Uint8Array): AccessRequest {
  const request = decodeCheckRequest(bytes, CheckRequest);
  if (isRefusal(request)) throw new Error(request.detail);
  return request;
}
const encoded = (attributes: object) => CheckRequest.encode({ attributes }).finish();
const withHttp = (http: object, rest: object = {}) =>
  encoded({ request: { http: { method: 'GET', path: '/', ...http } }, ...rest });

describe('a CheckRequest', () => {
  test('is read whole', () => {
    const bytes = encoded({
      source: {
        principal: PAYMENT_API,
        certificate: 'PEM',
        service: 'chosen-by-client',
        address: { socketAddress: { address: '10.0.0.1', portValue: 4711 } },
      },
      destination: { principal: LEDGER_API, address: { socketAddress: { address: '10.0.0.2' } } },
      request: {
        http: {
          id: '7',
          method: 'POST',
          path: '/a?b',
          host: 'h',
          scheme: 'https',
          protocol: 'HTTP/2',
          size: 3,
          headers: { A: '1' },
        },
      },
      contextExtensions: { route: 'r' },
      tlsSession: { sni: 's' },
      metadataContext: {
        filterMetadata: {
          ns: {
            fields: {
              n: { numberValue: 1.5 },
              t: { boolValue: false },
              z: { nullValue: 0 },
              l: { listValue: { values: [{ stringValue: 'x' }] } },
            },
          },
        },
      },
    });
    const request = decoded(bytes);
    expect(request).toMatchObject({
      source: {
        principal: PAYMENT_API,
        certificate: 'PEM',
        service: 'chosen-by-client',
        ip: '10.0.0.1',
        port: 4711,
      },
      destination: { principal: LEDGER_API, ip: '10.0.0.2', port: 0 },
      http: { method: 'POST', path: '/a?b', host: 'h', scheme: 'https', protocol: 'HTTP/2', size: 3 },
      streamId: '7',
      sni: 's',
    });
    expect(request.http.headers.values('a')).toEqual(['1']);
    expect(request.contextExtensions).toEqual(new Map([['route', 'r']]));
    expect(structuredClone(request.metadata.get('ns'))).toEqual({ n: 1.5, t: false, z: null, l: ['x'] });
  });

  test('without anything optional has empty values, not missing ones', () => {
    const request = decoded(withHttp({}));
    expect(request.source).toEqual({ principal: '', certificate: '', service: '' });
    expect(request).toMatchObject({ sni: '', streamId: '', http: { host: '', scheme: '', size: 0 } });
    expect(request.http.headers.size).toBe(0);
    expect(request.metadata.size).toBe(0);
  });

  test('with an unknown size has -1', () => {
    expect(decoded(withHttp({ size: -1 })).http.size).toBe(-1);
  });
});

describe('header fields', () => {
  test('of the map are joined values', () => {
    const { headers } = decoded(withHttp({ headers: { Cookie: 'a', 'x-y': '1,2' } })).http;
    expect(headers.joined).toBe(true);
    expect(headers.values('cookie')).toEqual(['a']);
    expect(headers.values('x-y')).toEqual(['1,2']);
  });

  test('of the header map keep duplicates and raw bytes', () => {
    const field = (key: string, value: string) => ({ key, rawValue: Buffer.from(value, 'latin1') });
    const { headers } = decoded(
      withHttp({
        headerMap: {
          headers: [
            field('x-y', '1'),
            field('X-Y', '2'),
            field('b', 'caf\u00e9'),
            { key: 'plain', value: 'v' },
          ],
        },
      }),
    ).http;
    expect(headers.joined).toBe(false);
    expect(headers.values('x-y')).toEqual(['1', '2']);
    expect(headers.values('b')).toEqual(['caf\u00e9']);
    expect(headers.values('plain')).toEqual(['v']);
  });

  test('two byte sequences never become one value', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        (a, b) => {
          const value = (rawValue: Uint8Array) =>
            decoded(withHttp({ headerMap: { headers: [{ key: 'a', rawValue }] } })).http.headers.values(
              'a',
            )[0];
          expect(value(a) === value(b)).toBe(Buffer.compare(a, b) === 0);
        },
      ),
    );
  });

  test('sent in both ways are conflicting values, not one of them', () => {
    const { headers } = decoded(
      withHttp({
        headers: { authorization: 'a' },
        headerMap: { headers: [{ key: 'authorization', rawValue: Buffer.from('b') }] },
      }),
    ).http;
    expect(headers.values('authorization')).toEqual(['a', 'b']);
    // What came in the map may hold two fields, joined.
    expect(headers.joined).toBe(true);
  });

  test('with two values in one are two values, unless they are the same', () => {
    const { headers } = decoded(
      withHttp({
        headerMap: {
          headers: [
            { key: 'a', value: 'x', rawValue: Buffer.from('y') },
            { key: 'b', value: 'z', rawValue: Buffer.from('z') },
          ],
        },
      }),
    ).http;
    expect(headers.values('a')).toEqual(['y', 'x']);
    expect(headers.values('b')).toEqual(['z']);
    expect(headers.fieldCount).toBe(3);
    expect(headers.joined).toBe(false);
  });
});

describe('what is no question about an HTTP request is refused', () => {
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no attributes', CheckRequest.encode({}).finish()],
    ['no request, as a TCP filter sends', encoded({ source: { principal: PAYMENT_API } })],
    ['a request without http', encoded({ request: {} })],
    ['text', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a cut message', checkRequestBytes().subarray(0, -3)],
    ['a length beyond the end', Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)],
  ])('%s', (_what, bytes) => {
    expect(decodeCheckRequest(bytes, CheckRequest)).toMatchObject({ refusal: 'request_malformed' });
  });

  test('metadata nested so deep that reading it would not end well', () => {
    // Built from the inside out by hand: an honest encoder could not.
    const field = (number: number, body: Buffer) => {
      const head: number[] = [(number << 3) | 2];
      for (let rest = body.length; ; rest >>>= 7) {
        head.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
        if (rest <= 0x7f) break;
      }
      return Buffer.concat([Buffer.from(head), body]);
    };
    let struct = Buffer.alloc(0);
    for (let depth = 0; depth < 3000; depth += 1) {
      struct = field(1, Buffer.concat([field(1, Buffer.from('k')), field(2, field(5, struct))]));
    }
    const metadata = field(11, field(1, Buffer.concat([field(1, Buffer.from('ns')), field(2, struct)])));
    const http = field(4, field(2, field(2, Buffer.from('GET'))));
    const bytes = field(1, Buffer.concat([http, metadata]));
    expect(decodeCheckRequest(bytes, CheckRequest)).toMatchObject({ refusal: 'request_malformed' });
  });
});

test('never throws, whatever the bytes', () => {
  const mutated = fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 6 })).map(([at, bytes]) => {
    const good = checkRequestBytes({
      headers: [['a', 'b']],
      contextExtensions: { c: 'd' },
      sni: 's',
      ip: '10.0.0.1',
    });
    const cut = at % good.length;
    return Buffer.concat([good.subarray(0, cut), bytes, good.subarray(cut + bytes.length)]);
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      const result = decodeCheckRequest(bytes, CheckRequest);
      if (isRefusal(result)) expect(result.refusal).toBe('request_malformed');
    }),
    { numRuns: 3000 },
  );
});

test('names that mean something to JavaScript are just names', () => {
  const fields = {
    __proto__x: { stringValue: 'a' },
    constructor: { stringValue: 'b' },
    toString: { stringValue: 'c' },
  };
  const request = decoded(
    withHttp(
      { headers: { constructor: 'h' } },
      {
        contextExtensions: { constructor: 'e' },
        metadataContext: { filterMetadata: { toString: { fields } } },
      },
    ),
  );
  expect(request.contextExtensions.get('constructor')).toBe('e');
  expect(request.http.headers.values('constructor')).toEqual(['h']);
  expect(Object.entries(request.metadata.get('toString') as object)).toEqual([
    ['__proto__x', 'a'],
    ['constructor', 'b'],
    ['toString', 'c'],
  ]);
  expect(request.metadata.get('valueOf')).toBeUndefined();
});
