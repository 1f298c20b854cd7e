import { isRefusal } from '../../../src/pdp/decision.ts';
import { parseCompactJws } from '../../../src/pip/token/compact-jws.ts';
import { createLowS } from '../../../src/pip/token/low-s.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

const RESERVED = ['__entity', '__extn', '__expr', '__proto__', 'crit', 'b64'];

/** What is done with a token before its signature is looked at. Three lines are taken for header, payload and signature, not encoded. */
export function compactJwsTarget(): FuzzTarget {
  const header = '{"alg":"ES256","kid":"k","typ":"at+jwt"}';
  return {
    name: 'compact-jws',
    promise: 'A token that is accepted is the only spelling of its parts, and has one signature of two.',
    covers: ['src/pip/token/compact-jws.ts', 'src/pip/token/low-s.ts', 'src/pdp/external-json.ts'],
    seeds: [
      bytesOf(`${header}\n{"sub":"a","exp":1}\n${'\x01'.repeat(32)}${'\x7f'.repeat(32)}`),
      Buffer.from(`${header}\n{}\n${'\x01'.repeat(32)}${'\xfe'.repeat(32)}`, 'latin1'),
      bytesOf('{"alg":"none","crit":["a"],"b64":false}\n{"__proto__":{"a":9007199254740993}}\n'),
      bytesOf('eyJhbGciOiJFUzI1NiJ9.e30.AQAB'),
      bytesOf('a.b.c.d'),
    ],
    dictionary: [
      '"alg":',
      '"ES256"',
      '"ES384"',
      '"ES512"',
      '"crit":[]',
      '"b64"',
      '"__proto__":{}',
      '"__entity"',
      '\\u0061',
      '{}',
      '[]',
      '.',
      '=',
      '\n',
      '1e400',
      '9007199254740993',
      '\xed\xa0\x80',
    ],
    maxBytes: 2048,
    run: (input) => {
      const token = tokenOf(latin1(input));
      const lowS = createLowS();
      const low = lowS(token);
      must(
        !lowS(low.token).wasHigh && lowS(low.token).token === low.token,
        'the lower signature has a lower one',
      );
      const before = parseCompactJws(token);
      const jws = parseCompactJws(low.token);
      must(isRefusal(jws) === isRefusal(before), 'the other signature is judged otherwise');
      if (isRefusal(jws)) return jws.detail ?? '';
      must(encoded(token) === token, 'an accepted token has another spelling');
      mustBeHarmless(token, jws.header);
      return low.wasHigh ? 'accepted, high s' : 'accepted';
    },
  };
}

function tokenOf(text: string): string {
  const [header = '', payload = '', ...signature] = text.split('\n');
  if (signature.length === 0) return text;
  return [header, payload, signature.join('\n')]
    .map((part) => Buffer.from(part, 'latin1').toString('base64url'))
    .join('.');
}

function encoded(token: string): string {
  return token
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString('base64url'))
    .join('.');
}

function mustBeHarmless(token: string, header: Readonly<Record<string, unknown>>): void {
  must(/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token), 'an accepted token is not three parts of base64url');
  must(!RESERVED.some((name) => Object.hasOwn(header, name)), 'an accepted header holds a reserved name');
  must(Object.getPrototypeOf(header) === Object.prototype, 'a header has another prototype');
}
