import { type KeyObject, constants, createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import {
  bits,
  explicit,
  implicit,
  implicitText,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  setOf,
  time,
  utf8,
  yes,
} from './der.ts';

const HOUR_MS = 3_600_000;
const SHA256 = '2.16.840.1.101.3.4.2.1';

/** A key pair of a certificate. */
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Kinds of key that tests ask for, good and bad. */
export type KeyKind = 'P-256' | 'P-384' | 'secp256k1' | 'RSA-1024' | 'RSA-2048' | 'Ed25519';

/** Digests that a certificate may be signed with; `pss` is RSASSA-PSS with SHA-256, `pss-sha1` with its default. */
export type Digest = 'sha1' | 'sha256' | 'sha384' | 'pss' | 'pss-sha1';

/** Bits of the key usage extension, in their order (RFC 5280 §4.2.1.3). */
const KEY_USES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
] as const;

/** What a certificate is asked to be; whatever is not said is as a good leaf has it. */
export interface CertificateShape {
  /** Its organisation; the empty text: no name at all. */
  readonly subject?: string;
  /** Unix ms. */
  readonly notBefore?: number;
  /** Unix ms. */
  readonly notAfter?: number;
  readonly key?: KeyKind;
  /** Used in place of a new pair. */
  readonly keys?: KeyPair;
  readonly digest?: Digest;
  /** URI SANs. */
  readonly uris?: readonly string[];
  /** DNS SANs. */
  readonly dns?: readonly string[];
  /** Other SANs, encoded already. */
  readonly names?: readonly Buffer[];
  readonly criticalNames?: boolean;
  readonly isCa?: boolean;
  readonly pathLength?: number;
  /** `undefined`: without the extension. */
  readonly keyUsage?: readonly (typeof KEY_USES)[number][] | undefined;
  readonly keyUsageCritical?: boolean;
  /** OIDs of the extended key usage; `undefined`: without the extension. */
  readonly purposes?: readonly string[] | undefined;
  /** Of the key id of its issuer; `undefined`: without the extension. */
  readonly authorityKeyId?: Buffer | undefined;
  /** Further extensions, see {@link extension}. */
  readonly extensions?: readonly Buffer[];
}

/** Who signs: itself, for a root. */
export interface Signer {
  readonly name: Buffer;
  readonly keys: KeyPair;
}

/** A certificate that was made, with its key. */
export interface Made extends Signer {
  readonly der: Buffer;
}

/** serverAuth and clientAuth. */
export const TLS_PURPOSES: readonly string[] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

/** An extension (RFC 5280 §4.1) around a value that is encoded already. */
export function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return critical ? sequence(oid(id), yes(), octets(value)) : sequence(oid(id), octets(value));
}

/** A critical name constraints extension (RFC 5280 §4.2.1.10) over general names that are encoded already. */
export function nameConstraints(permitted: readonly Buffer[], excluded: readonly Buffer[] = []): Buffer {
  const subtrees = (number: number, names: readonly Buffer[]): Buffer[] =>
    names.length === 0 ? [] : [explicit(number, Buffer.concat(names.map((name) => sequence(name))))];
  return extension('2.5.29.30', true, sequence(...subtrees(0, permitted), ...subtrees(1, excluded)));
}

/** A general name of kind URI. */
export function uriName(uri: string): Buffer {
  return implicitText(6, uri);
}

/** A general name of kind DNS. */
export function dnsName(name: string): Buffer {
  return implicitText(2, name);
}

/** A new key pair. */
export function keyPair(kind: KeyKind = 'P-256'): KeyPair {
  switch (kind) {
    case 'RSA-1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'RSA-2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'Ed25519':
      return generateKeyPairSync('ed25519');
    default:
      return generateKeyPairSync('ec', { namedCurve: kind });
  }
}

/** Makes a certificate (RFC 5280 §4.1), signed by `signer` or, without one, by itself. */
export function makeCertificate(shape: CertificateShape, signer?: Signer): Made {
  const keys = shape.keys ?? keyPair(shape.key);
  const name = nameOf(shape.subject ?? 'cedar-pdp test');
  const issuer = signer ?? { name, keys };
  const algorithm = signatureAlgorithm(issuer.keys.privateKey, shape.digest ?? 'sha256');
  const notAfter = shape.notAfter ?? Date.now() + HOUR_MS;
  const body = sequence(
    explicit(0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    algorithm.id,
    issuer.name,
    sequence(
      time(new Date(shape.notBefore ?? Math.min(Date.now(), notAfter) - HOUR_MS)),
      time(new Date(notAfter)),
    ),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensionsOf(shape, keys, issuer))),
  );
  return { name, keys, der: sequence(body, algorithm.id, bits(algorithm.sign(body))) };
}

/** PEM of one certificate. */
export function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The key id that certificates made here name a key by. */
export function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function nameOf(organisation: string): Buffer {
  return organisation === '' ? sequence() : sequence(setOf(sequence(oid('2.5.4.10'), utf8(organisation))));
}

function extensionsOf(shape: CertificateShape, keys: KeyPair, issuer: Signer): Buffer[] {
  const { isCa = false, uris = [], dns = [], names = [], purposes = TLS_PURPOSES } = shape;
  const constraints = [
    ...(isCa ? [yes()] : []),
    ...(shape.pathLength === undefined ? [] : [integer(Buffer.of(shape.pathLength))]),
  ];
  const altNames = [...uris.map(uriName), ...dns.map(dnsName), ...names];
  const has = (key: keyof CertificateShape): boolean => !(key in shape) || shape[key] !== undefined;
  const authority = shape.authorityKeyId ?? keyId(issuer.keys.publicKey);
  return [
    extension('2.5.29.19', true, sequence(...constraints)),
    ...(has('keyUsage') ? [keyUsage(shape)] : []),
    ...(has('purposes') && !isCa ? [extension('2.5.29.37', false, sequence(...purposes.map(oid)))] : []),
    ...(isCa && shape.purposes ? [extension('2.5.29.37', false, sequence(...purposes.map(oid)))] : []),
    extension('2.5.29.14', false, octets(keyId(keys.publicKey))),
    ...(has('authorityKeyId') ? [extension('2.5.29.35', false, sequence(implicit(0, authority)))] : []),
    ...(altNames.length === 0
      ? []
      : [extension('2.5.29.17', shape.criticalNames ?? false, sequence(...altNames))]),
    ...(shape.extensions ?? []),
  ];
}

function keyUsage({ keyUsage: uses, keyUsageCritical, isCa }: CertificateShape): Buffer {
  const named = uses ?? (isCa ? ['keyCertSign', 'cRLSign'] : ['digitalSignature']);
  const set = KEY_USES.map((use, index) => (named.includes(use) ? 0x80 >> index : 0));
  const byte = set.reduce((sum, bit) => sum | bit, 0);
  const unused = byte === 0 ? 0 : 31 - Math.clz32(byte & -byte);
  const value = byte === 0 ? bits(Buffer.alloc(0)) : bits(Buffer.of(byte), unused);
  return extension('2.5.29.15', keyUsageCritical ?? true, value);
}

const RSA = { sha1: 5, sha256: 11, sha384: 12 };
const ECDSA = { sha1: '1', sha256: '3.2', sha384: '3.3' };

/** The identifier of the algorithm that a key signs with, and how. */
function signatureAlgorithm(
  key: KeyObject,
  digest: Digest,
): { readonly id: Buffer; readonly sign: (body: Buffer) => Buffer } {
  if (key.asymmetricKeyType === 'ed25519')
    return { id: sequence(oid('1.3.101.112')), sign: (body) => sign(null, body, key) };
  if (digest === 'pss' || digest === 'pss-sha1') return pss(key, digest === 'pss');
  const id =
    key.asymmetricKeyType === 'rsa'
      ? sequence(oid(`1.2.840.113549.1.1.${RSA[digest]}`), nothing())
      : sequence(oid(`1.2.840.10045.4.${ECDSA[digest]}`));
  return { id, sign: (body) => sign(digest, body, key) };
}

/** RFC 4055 §3.1; without parameters it is SHA-1 throughout. */
function pss(key: KeyObject, isSha256: boolean): ReturnType<typeof signatureAlgorithm> {
  const hash = sequence(oid(SHA256), nothing());
  const parameters = sequence(
    explicit(0, hash),
    explicit(1, sequence(oid('1.2.840.113549.1.1.8'), hash)),
    explicit(2, integer(Buffer.of(32))),
  );
  return {
    id: sequence(oid('1.2.840.113549.1.1.10'), isSha256 ? parameters : sequence()),
    sign: (body) =>
      sign(isSha256 ? 'sha256' : 'sha1', body, {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: isSha256 ? 32 : 20,
      }),
  };
}
