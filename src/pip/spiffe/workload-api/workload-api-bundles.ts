import { type X509Certificate, createPublicKey } from 'node:crypto';
import { externalJsonProblem, isRecord } from '../../../pdp/external-json.ts';
import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import { trustDomainProblem } from '../spiffe-id.ts';
import { readCertificate } from '../x509/certificate.ts';
import { keyFloorProblem } from '../x509/crypto-floor.ts';
import { splitDer } from '../x509/der-split.ts';
import { duplicateKeyProblem } from '../../../pdp/json-duplicates.ts';

/** CA certificates by trust domain. */
export type X509Authorities = ReadonlyMap<string, TrustBundle['x509Authorities']>;

/** Public keys of JWT-SVIDs by trust domain. */
export type JwtAuthorities = ReadonlyMap<string, TrustBundle['jwtAuthorities']>;

/** Told what was passed over, in words that continue "the message …". */
export type Note = (problem: string) => void;

type Bundles = Readonly<Record<string, Uint8Array>>;

const MAX_TRUST_DOMAINS = 1_000;
const MAX_AUTHORITIES = 100;
const SCHEME = 'spiffe://';

/** Reads a map of X.509 bundles. What cannot be read vouches for nobody, and is noted: it must not keep the rest from taking effect. */
export function readX509Bundles(bundles: Bundles, note: Note): X509Authorities {
  return readBundles(bundles, note, readX509Authorities);
}

/** Reads a map of JWT bundles, each a JWK set. What cannot be read vouches for nobody, and is noted. */
export function readJwtBundles(bundles: Bundles, note: Note): JwtAuthorities {
  return readBundles(bundles, note, readJwtAuthorities);
}

/** The CA certificates in DER one after the other; one that cannot be read is passed over and noted. */
export function readX509Authorities(bytes: Uint8Array, note: Note): readonly X509Certificate[] {
  const parts = splitDer(bytes);
  if (parts === undefined || parts.length > MAX_AUTHORITIES) {
    note(`is not ${MAX_AUTHORITIES} DER certificates or fewer, one after the other`);
    return [];
  }
  return parts.flatMap((part) => {
    const certificate = readCertificate(part);
    if (!('problem' in certificate)) return [certificate.x509];
    note(`holds a certificate that ${certificate.problem}`);
    return [];
  });
}

function readBundles<T>(
  bundles: Bundles,
  note: Note,
  read: (bundle: Uint8Array, note: Note) => T,
): ReadonlyMap<string, T> {
  const entries = Object.entries(bundles);
  if (entries.length > MAX_TRUST_DOMAINS)
    note(`has more than ${MAX_TRUST_DOMAINS} bundles; the rest is not used`);
  const readings = new Map<string, T>();
  for (const [id, bytes] of entries.slice(0, MAX_TRUST_DOMAINS)) {
    const trustDomain = trustDomainOf(id);
    if (trustDomain === undefined) note('has a bundle whose key is not the SPIFFE ID of a trust domain');
    else
      readings.set(
        trustDomain,
        read(bytes, (problem) => note(`has a bundle of ${trustDomain} that ${problem}`)),
      );
  }
  return readings;
}

function trustDomainOf(id: string): string | undefined {
  const name = id.startsWith(SCHEME) ? id.slice(SCHEME.length) : undefined;
  return name !== undefined && trustDomainProblem(name) === undefined ? name : undefined;
}

function readJwtAuthorities(bytes: Uint8Array, note: Note): TrustBundle['jwtAuthorities'] {
  const keys = readKeys(bytes);
  if (keys === undefined || keys.length > MAX_AUTHORITIES) {
    note(`is not a JWK set of ${MAX_AUTHORITIES} keys or fewer`);
    return [];
  }
  const readable = keys.filter(isJwtAuthority);
  const usable = readable.filter((key) =>
    readable.every((other) => other === key || other['kid'] !== key['kid']),
  );
  if (usable.length < keys.length)
    note('holds keys that are not public RSA or EC keys, each with a kid of its own; they are passed over');
  return usable;
}

function readKeys(bytes: Uint8Array): readonly unknown[] | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const document: unknown = JSON.parse(text);
    if (duplicateKeyProblem(text) !== undefined || externalJsonProblem(document) !== undefined)
      return undefined;
    if (!isRecord(document)) return undefined;
    const { keys } = document;
    return Array.isArray(keys) ? keys : undefined;
  } catch {
    return undefined;
  }
}

/** JWT-SVID §2.1 knows RSA and elliptic curves only; §3 lets the `kid` choose the key. */
function isJwtAuthority(key: unknown): key is Readonly<Record<string, unknown>> {
  if (!isRecord(key) || typeof key['kid'] !== 'string' || key['kid'] === '') return false;
  if ('d' in key || (key['use'] !== undefined && key['use'] !== 'sig' && key['use'] !== 'jwt-svid'))
    return false;
  try {
    const publicKey = createPublicKey({ key: { ...key }, format: 'jwk' });
    return publicKey.asymmetricKeyType !== 'ed25519' && keyFloorProblem(publicKey) === undefined;
  } catch {
    return false;
  }
}
