import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type XfccElement, parseXfcc } from '../../../../src/pip/workload/xfcc.ts';

const HASH = '468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688';

function element(parts: Partial<XfccElement>): XfccElement {
  return { by: [], uri: [], dns: [], ...parts };
}

describe('x-forwarded-client-cert', () => {
  test.each<[string, string, XfccElement[]]>([
    [
      'one element as Envoy writes it',
      `By=http://frontend.lyft.com;Hash=${HASH};URI=http://testclient.lyft.com`,
      [element({ by: ['http://frontend.lyft.com'], hash: HASH, uri: ['http://testclient.lyft.com'] })],
    ],
    [
      'the elements of two proxies, the last one at the end',
      `By=spiffe://td/a;URI=spiffe://td/client,By=spiffe://td/b;URI=spiffe://td/a`,
      [
        element({ by: ['spiffe://td/a'], uri: ['spiffe://td/client'] }),
        element({ by: ['spiffe://td/b'], uri: ['spiffe://td/a'] }),
      ],
    ],
    [
      'separators in quotes',
      'Subject="CN=a,OU=b;c";URI=spiffe://td/a',
      [element({ subject: 'CN=a,OU=b;c', uri: ['spiffe://td/a'] })],
    ],
    ['quotes in quotes', String.raw`Subject="/CN=\"x\",O=y"`, [element({ subject: '/CN="x",O=y' })]],
    [
      'backslashes that escape nothing',
      String.raw`Subject="CN=a\,b\\c"`,
      [element({ subject: String.raw`CN=a\,b\\c` })],
    ],
    ['keys in any case', 'bY=a;HASH=b;uri=c', [element({ by: ['a'], hash: 'b', uri: ['c'] })]],
    [
      'repeated names, in order',
      'By=a;By=b;DNS=c;DNS=d;URI=e;URI=f',
      [element({ by: ['a', 'b'], dns: ['c', 'd'], uri: ['e', 'f'] })],
    ],
    [
      'a certificate and its chain',
      'Cert="-----BEGIN%20CERTIFICATE-----%0A";Chain="%0A"',
      [element({ cert: '-----BEGIN%20CERTIFICATE-----%0A', chain: '%0A' })],
    ],
    ['no value', 'By=a;URI=', [element({ by: ['a'] })]],
    ['keys that are not known, left out', 'By=a;Serial=7;Issuer="x;y"', [element({ by: ['a'] })]],
    ['blanks around elements', ' By=a ,\tBy="b" ', [element({ by: ['a'] }), element({ by: ['b'] })]],
  ])('is read: %s', (_what, header, elements) => {
    expect(parseXfcc(header)).toEqual(elements);
  });

  test.each([
    ['nothing', ''],
    ['an empty element', 'By=a,,By=b'],
    ['an empty element at the end', 'By=a,'],
    ['an empty pair', 'By=a;;URI=b'],
    ['a pair that ends with the element', 'By=a;'],
    ['a pair without a value', 'By'],
    ['a pair without a key', '=a'],
    ['a key with a blank', 'B y=a'],
    ["an unquoted '='", 'URI=a=b'],
    ['an unquoted blank', 'Subject=CN a'],
    ['a quote within a value', 'URI=a"b"'],
    ['an open quote', 'Subject="CN=a'],
    ['a quote that an escape keeps open', String.raw`Subject="CN=a\"`],
    ['text after a quote', 'Subject="CN=a"b'],
    ['a pair after a blank', 'By=a ;URI=b'],
    ['two hashes', `Hash=${HASH};Hash=${HASH}`],
    ['two subjects', 'Subject="a";subject="b"'],
    ['a certificate that is not URL-encoded', 'Cert="-----BEGIN CERTIFICATE-----"'],
    ['a broken escape in a certificate', 'Cert="%2"'],
    ['a control', 'URI=a\u0001'],
    ['a NUL', 'URI=a\0'],
    ['a DEL', 'URI=a\u007f'],
    ['33 elements', Array.from({ length: 33 }, () => 'By=a').join(',')],
    ['65 pairs', Array.from({ length: 65 }, () => 'DNS=a').join(';')],
    ['too much', `URI=${'a'.repeat(65_536)}`],
  ])('is refused whole: %s', (_what, header) => {
    expect(parseXfcc(header)).toEqual({ problem: expect.any(String) as string });
  });

  const value = fc
    .string({ maxLength: 20 })
    .filter((text) => !/[\u0000-\u001f\u007f]/.test(text) && !text.endsWith('\\'));
  const names = fc.array(
    value.filter((text) => text !== ''),
    { maxLength: 3 },
  );
  const quoted = (text: string): string => `"${text.replaceAll('"', '\\"')}"`;

  test('gives back what was written with every value quoted', () => {
    const written = fc.record({
      by: names,
      uri: names,
      dns: names,
      subject: value.filter((text) => text !== ''),
    });
    // A backslash before a quote is the one thing that the grammar cannot say.
    const sayable = written.filter(
      ({ by, uri, dns, subject }) => ![by, uri, dns, subject].flat().some((text) => text.includes('\\"')),
    );
    fc.assert(
      fc.property(fc.array(sayable, { minLength: 1, maxLength: 4 }), (elements) => {
        const header = elements
          .map(({ by, uri, dns, subject }) =>
            [
              ...by.map((text) => `By=${quoted(text)}`),
              ...uri.map((text) => `URI=${quoted(text)}`),
              ...dns.map((text) => `dns=${quoted(text)}`),
              `Subject=${quoted(subject)}`,
            ].join(';'),
          )
          .join(',');
        expect(parseXfcc(header)).toEqual(elements);
      }),
    );
  });

  test('never throws, and never takes long', () => {
    const junk = fc.oneof(
      fc.string(),
      fc.string({
        unit: fc.constantFrom('"', '\\', ';', ',', '=', 'B', 'y', ' ', 'U', 'R', 'I', '%'),
        maxLength: 2000,
      }),
    );
    fc.assert(fc.property(junk, (text) => parseXfcc(text) !== undefined));
  });

  test('an element that a client left open swallows nothing of the next one', () => {
    const trusted = 'By=spiffe://td/pep;Subject="CN=real";URI=spiffe://td/real';
    for (const open of ['Subject="', 'Subject="x', String.raw`Subject="\"`, 'X="', 'Subject="a";Y="'])
      expect(parseXfcc(`${open},${trusted}`)).toHaveProperty('problem');
  });
});
