import { type X509Certificate, createPublicKey } from 'node:crypto';
import { isRecord } from '../../../pdp/external-json.ts';
import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import { trustDomainProblem } from '../spiffe-id.ts';
import { type BundleProblem, readAuthority } from '../x509/authorities.ts';
import { type JsonObject, MAX_BUNDLE_CHARACTERS, parseBundleJson } from './bundle-json.ts';
import { keyFloorProblem } from '../x509/crypto-floor.ts';

/** A bundle with what its publisher says about following it. */
export interface SpiffeBundle {
  readonly bundle: TrustBundle;
  /** `spiffe_sequence`: grows with every change (Trust Domain and Bundle §4.1.1). */
  readonly sequence?: bigint;
  /** `spiffe_refresh_hint`, in ms: how often to look for a change (§4.1.2). */
  readonly refreshHintMs?: number;
}

const MAX_KEYS = 256;
const MAX_TRUST_DOMAINS = 1_000;
const MAX_SEQUENCE = 2n ** 64n - 1n;
const MAX_REFRESH_HINT_S = 366 * 86_400;

/**
 * Reads a SPIFFE bundle document, a JWK set (Trust Domain and Bundle §4). No keys at all is a valid bundle: it revokes everything. Keys
 * of an unknown type or use are passed over (§4.2), as is an `x509-svid` key without a certificate (X509-SVID §6.2). Refuses, as a
 * whole: a repeated member name, a key that is secret, a certificate that is no CA's or cannot be read, a `jwt-svid` key without a `kid`
 * or with that of another.
 */
export function readSpiffeBundle(text: string, trustDomain: string): SpiffeBundle | BundleProblem {
  const document = parseBundleJson(text);
  return 'problem' in document ? document : readDocument(document.value, trustDomain);
}

/**
 * Reads a bundle map, `{ "trust_domains": { "<name>": <bundle document>, … } }` (Trust Domain and Bundle §5.1), by trust domain. One that
 * is wrong refuses the whole.
 */
export function readSpiffeBundleMap(text: string): ReadonlyMap<string, SpiffeBundle> | BundleProblem {
  const document = parseBundleJson(text);
  if ('problem' in document) return document;
  const domains = document.value['trust_domains'];
  if (!isRecord(domains)) return { problem: "has no object 'trust_domains'" };
  const entries = Object.entries(domains);
  if (entries.length > MAX_TRUST_DOMAINS)
    return { problem: `has more than ${MAX_TRUST_DOMAINS} trust domains` };
  const bundles = new Map<string, SpiffeBundle>();
  for (const [name, value] of entries) {
    const problem = trustDomainProblem(name);
    const read = problem === undefined ? readDocument(value, name) : { problem };
    if ('problem' in read) return { problem: `of the trust domain '${name.slice(0, 255)}' ${read.problem}` };
    bundles.set(name, read);
  }
  return bundles;
}

/**
 * Reads a bundle from a file as deployments keep it: CA certificates in PEM (no JWT-SVIDs then), a bundle document, or a bundle map, of
 * which the one of `trustDomain` is taken.
 */
export function readBundleFile(text: string, trustDomain: string): SpiffeBundle | BundleProblem {
  if (!text.trimStart().startsWith('{')) return readPemBundle(text, trustDomain);
  const document = parseBundleJson(text);
  if ('problem' in document) return document;
  if (!('trust_domains' in document.value)) return readSpiffeBundle(text, trustDomain);
  const bundles = readSpiffeBundleMap(text);
  if ('problem' in bundles) return bundles;
  return bundles.get(trustDomain) ?? { problem: `map does not hold the trust domain '${trustDomain}'` };
}

/** Reads CA certificates in PEM. None at all is refused: a file that is being written looks like that. */
export function readPemBundle(text: string, trustDomain: string): SpiffeBundle | BundleProblem {
  if (text.length > MAX_BUNDLE_CHARACTERS)
    return { problem: `is longer than ${MAX_BUNDLE_CHARACTERS} characters` };
  if (text.includes('PRIVATE KEY-----')) return { problem: 'holds a private key' };
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const begun = text.split('-----BEGIN ').length - 1;
  if (blocks.length !== begun) return { problem: 'holds something else than whole certificates in PEM' };
  if (blocks.length === 0) return { problem: 'holds no certificate' };
  if (blocks.length > MAX_KEYS) return { problem: `holds more than ${MAX_KEYS} certificates` };
  const x509Authorities: X509Certificate[] = [];
  for (const block of blocks) {
    const read = readAuthority(block);
    if ('problem' in read) return read;
    x509Authorities.push(read.authority);
  }
  return { bundle: { trustDomain, x509Authorities, jwtAuthorities: [] } };
}

function readDocument(value: unknown, trustDomain: string): SpiffeBundle | BundleProblem {
  if (!isRecord(value)) return { problem: 'is not a JSON object' };
  const keys = value['keys'];
  if (!Array.isArray(keys)) return { problem: "has no array 'keys'" };
  if (keys.length > MAX_KEYS) return { problem: `has more than ${MAX_KEYS} keys` };
  const hints = readHints(value);
  if ('problem' in hints) return hints;
  const bundle = readKeys(keys, trustDomain);
  return 'problem' in bundle ? bundle : { bundle, ...hints };
}

function readHints(document: JsonObject): Omit<SpiffeBundle, 'bundle'> | BundleProblem {
  const { spiffe_sequence: sequence, spiffe_refresh_hint: hint } = document;
  if (sequence !== undefined && (typeof sequence !== 'string' || !/^#\d{1,20}$/.test(sequence)))
    return { problem: "has a 'spiffe_sequence' that is not a whole number" };
  const exact = sequence === undefined ? undefined : BigInt(sequence.slice(1));
  if (exact !== undefined && exact > MAX_SEQUENCE)
    return { problem: "has a 'spiffe_sequence' of more than 64 bits" };
  if (hint !== undefined && (typeof hint !== 'number' || !Number.isSafeInteger(hint) || hint < 0))
    return { problem: "has a 'spiffe_refresh_hint' that is not a whole number of seconds" };
  return {
    ...(exact !== undefined && { sequence: exact }),
    ...(hint !== undefined && { refreshHintMs: Math.min(hint, MAX_REFRESH_HINT_S) * 1_000 }),
  };
}

function readKeys(keys: readonly unknown[], trustDomain: string): TrustBundle | BundleProblem {
  const x509Authorities: X509Certificate[] = [];
  const jwtAuthorities = new Map<string, JsonObject>();
  for (const key of keys) {
    if (!isRecord(key)) return { problem: "holds something in 'keys' that is not an object" };
    if (key['kty'] === 'oct' || 'd' in key || 'k' in key)
      return { problem: 'publishes a private or symmetric key' };
    const read = readKey(key);
    if (read === undefined) continue;
    if ('problem' in read) return read;
    if ('authority' in read) x509Authorities.push(read.authority);
    else if (jwtAuthorities.has(read.keyId)) return { problem: 'has two jwt-svid keys of the same kid' };
    else jwtAuthorities.set(read.keyId, key);
  }
  return { trustDomain, x509Authorities, jwtAuthorities: [...jwtAuthorities.values()] };
}

type ReadKey = { readonly authority: X509Certificate } | { readonly keyId: string } | BundleProblem;

const KEY_TYPES: ReadonlySet<unknown> = new Set(['RSA', 'EC', 'OKP']);

function readKey(key: JsonObject): ReadKey | undefined {
  if (!KEY_TYPES.has(key['kty'])) return undefined;
  if (key['use'] === 'jwt-svid') return readJwtKey(key);
  return key['use'] === 'x509-svid' ? readX509Key(key) : undefined;
}

function readX509Key({ x5c }: JsonObject): ReadKey | undefined {
  // X509-SVID §6.2: no certificate, no key; and of several only the first counts.
  const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
  if (first === undefined) return undefined;
  if (typeof first !== 'string') return { problem: "has an 'x5c' that is not text" };
  const der = Buffer.from(first, 'base64');
  return der.toString('base64') === first
    ? readAuthority(der)
    : { problem: "has an 'x5c' that is not base64" };
}

function readJwtKey(key: JsonObject): ReadKey {
  const { kid } = key;
  if (typeof kid !== 'string' || kid === '') return { problem: "has a jwt-svid key without a 'kid'" };
  try {
    const weak = keyFloorProblem(createPublicKey({ key: { ...key }, format: 'jwk' }));
    return weak === undefined ? { keyId: kid } : { problem: `has the jwt-svid key '${kid}', which ${weak}` };
  } catch {
    return { problem: `has the jwt-svid key '${kid}', which cannot be read` };
  }
}
