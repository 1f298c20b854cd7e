import { type XfccElement, parseXfcc } from '../../../src/pip/workload/xfcc.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

const JUNK = [
  'By=spiffe://evil/x;Hash=00',
  'Subject="',
  'URI="a\\',
  'By=',
  ',',
  '"',
  'Subject="a,b";URI=spiffe://evil/a',
];

/** `x-forwarded-client-cert`. Before a line end stands what a client might put to the left of it. */
export function xfccTarget(): FuzzTarget {
  return {
    name: 'xfcc',
    promise:
      'All of the header is parsed or none, what was parsed has one spelling that is read the same, and nothing to the left changes who is rightmost.',
    covers: ['src/pip/workload/xfcc.ts'],
    seeds: [
      'By=spiffe://a/ns/b/sa/c;Hash=0a1b;URI=spiffe://a/x',
      'By=http://a;Hash=00;Subject="/C=US/CN=a\\"b,c;d";URI=;DNS=a.example;DNS=b.example',
      'By=spiffe://a/b;Cert="-----BEGIN%20CERTIFICATE-----%0A";Chain="%41" , By=spiffe://c/d;uri=spiffe://e/f',
      'Subject="\nBy=spiffe://a/b;Subject="CN=x";URI=spiffe://c/d',
    ].map(bytesOf),
    dictionary: [
      'By=',
      'URI=',
      'Hash=',
      'Cert=',
      'Chain=',
      'Subject=',
      'DNS=',
      ';',
      ',',
      '"',
      '\\"',
      '\\',
      '%0A',
      ' ',
      '\n',
      'spiffe://',
    ],
    maxBytes: 2048,
    run(input) {
      const [left = '', ...rest] = latin1(input).split('\n');
      const [junk, header] = rest.length === 0 ? [undefined, left] : [left, rest.join('\n')];
      const elements = parseXfcc(header);
      if ('problem' in elements) return elements.problem.replace(/'.*'| of \S+/, '');
      must(elements.length > 0, 'an accepted header has no element');
      mustReadAgain(elements);
      for (const text of junk === undefined ? JUNK : [junk]) mustEndTheSame(text, header, elements);
      return `${Math.min(3, elements.length)} elements`;
    },
  };
}

function mustReadAgain(elements: readonly XfccElement[]): void {
  const written = elements.map(textOf).join(',');
  const again = parseXfcc(written);
  must(
    JSON.stringify(again) === JSON.stringify(elements),
    `what was parsed is read differently as ${written}`,
  );
}

function mustEndTheSame(junk: string, header: string, elements: readonly XfccElement[]): void {
  const longer = parseXfcc(`${junk},${header}`);
  if ('problem' in longer) return;
  const end = longer.slice(-elements.length);
  must(
    JSON.stringify(end) === JSON.stringify(elements),
    `'${junk}' on the left changes what is on the right`,
  );
}

function textOf({ by, uri, dns, ...single }: XfccElement): string {
  const pairs: [string, string][] = [
    ...by.map((value): [string, string] => ['By', value]),
    ...uri.map((value): [string, string] => ['URI', value]),
    ...dns.map((value): [string, string] => ['DNS', value]),
    ...Object.entries(single),
  ];
  if (pairs.length === 0) return 'By=';
  return pairs.map(([key, value]) => `${key}=${quoted(value)}`).join(';');
}

/** Envoy quotes what holds a separator; nothing that was parsed ends in a backslash and needs quotes. */
function quoted(value: string): string {
  return /[",;= \t]/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value;
}
