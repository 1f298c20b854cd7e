import { readBundleFile } from '../../../src/pip/spiffe/bundle/bundle-document.ts';
import { pemOf } from '../../support/x509.ts';
import { type FuzzTarget, bytesOf, must, utf8 } from '../engine/target.ts';
import { createHierarchy } from './certificates.ts';

const DOMAIN = 'prod.example.com';
const JWT_KEY = {
  kty: 'EC',
  use: 'jwt-svid',
  kid: 'a',
  crv: 'P-256',
  x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
  y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
};

/** Trust bundles in files: PEM, SPIFFE bundle documents, bundle maps. */
export function bundleDocumentTarget(): FuzzTarget {
  const [root] = createHierarchy().bundles.get(DOMAIN)?.x509Authorities ?? [];
  const der = root?.raw ?? Buffer.of();
  const x509Key = { kty: 'OKP', use: 'x509-svid', crv: 'Ed25519', x: 'AA', x5c: [der.toString('base64')] };
  const whole = { keys: [x509Key, JWT_KEY], spiffe_sequence: 18446744073709, spiffe_refresh_hint: 300 };
  return {
    name: 'bundle-document',
    promise:
      'A bundle that is accepted says everything once, holds only CAs and public keys, and means what JSON says.',
    covers: ['bundle/bundle-document.ts', 'bundle/bundle-json.ts', 'x509/authorities.ts']
      .map((name) => `src/pip/spiffe/${name}`)
      .concat('src/pdp/json-duplicates.ts'),
    seeds: [
      JSON.stringify(whole),
      JSON.stringify({ trust_domains: { [DOMAIN]: { keys: [JWT_KEY] }, 'b.example': { keys: [] } } }),
      '{"keys":[],"keys":[],"spiffe_sequence":18446744073709551616}',
      '{"keys":[{"kty":"oct","k":"AA","use":"jwt-svid","kid":"\\u0061"}]}',
      pemOf(der),
    ].map(bytesOf),
    dictionary: [
      '"keys":',
      '"kty":"EC"',
      '"kty":"oct"',
      '"use":"x509-svid"',
      '"use":"jwt-svid"',
      '"kid":"a"',
      '"x5c":[""]',
      '"d":"AA"',
      '"spiffe_sequence":1',
      '"spiffe_refresh_hint":1',
      '"trust_domains":',
      '"__proto__":{}',
      '\\u006b',
      '\\"',
      '{}',
      '[]',
      ',',
      ':',
      '1e3',
      '-1',
      'null',
      '-----BEGIN CERTIFICATE-----',
      '-----END CERTIFICATE-----',
    ],
    maxBytes: 4096,
    run(input) {
      const text = utf8(input);
      const read = readBundleFile(text, DOMAIN);
      if ('problem' in read) return read.problem.replace(/'[^']*'|\d+|\(.*\)/g, '').slice(0, 80);
      const { x509Authorities, jwtAuthorities, trustDomain } = read.bundle;
      must(trustDomain === DOMAIN, 'the bundle is of another trust domain');
      must(
        x509Authorities.every(({ ca }) => ca),
        'an authority is no CA to OpenSSL',
      );
      must(
        jwtAuthorities.every((key) => typeof key['kid'] === 'string' && !('d' in key) && !('k' in key)),
        'a key is secret or has no name',
      );
      must(
        new Set(jwtAuthorities.map((key) => key['kid'])).size === jwtAuthorities.length,
        'two keys have one name',
      );
      must(
        read.sequence === undefined || (read.sequence >= 0n && read.sequence < 2n ** 64n),
        'the sequence is out of range',
      );
      if (text.trimStart().startsWith('{')) mustSayOnce(text);
      return `${x509Authorities.length > 0 ? 'x509' : ''} ${jwtAuthorities.length > 0 ? 'jwt' : ''} accepted`;
    },
  };
}

/** Reads the text of a JSON value token by token, beside `JSON.parse`. */
function mustSayOnce(text: string): void {
  const tokens = text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs);
  const names: Set<string>[] = [];
  let last: string | undefined;
  for (const [token] of tokens) {
    if (token === '{' || token === '[') names.push(new Set());
    else if (token === '}' || token === ']') names.pop();
    else if (token === ':' && last !== undefined) {
      const name = JSON.parse(last) as string;
      must(!(names.at(-1)?.has(name) ?? false), `'${name}' stands twice in one object`);
      names.at(-1)?.add(name);
    }
    last = token;
  }
}
