import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  bits,
  explicit,
  implicitText,
  integer,
  octets,
  oid,
  sequence,
  setOf,
  time,
  utf8,
  yes,
} from './der.ts';

const HOUR_MS = 3_600_000;
const KEY_CERT_SIGN_AND_CRL_SIGN = bits(Buffer.of(0b0000_0110), 1);
const DIGITAL_SIGNATURE = bits(Buffer.of(0b1000_0000), 7);
const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));

/** What a leaf certificate is asked to say. */
export interface LeafRequest {
  /** The one URI SAN. */
  readonly spiffeId: string;
  /** DNS SANs, for clients that check host names. */
  readonly dns?: readonly string[];
  /** Milliseconds from now until it expires; negative: expired already. One hour where not given. */
  readonly lifetimeMs?: number;
}

/** A certificate with its key, as PEM text and as files. */
export interface Leaf {
  readonly spiffeId: string;
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority of one trust domain, made at run time. Disposing removes its files. */
export interface TestCa extends AsyncDisposable {
  readonly trustDomain: string;
  /** The trust bundle: the one CA certificate. */
  readonly bundle: string;
  readonly bundleFile: string;
  /** Issues an X.509-SVID (SPIFFE X509-SVID §3-4): one URI SAN, critical digitalSignature, EKU for server and client. */
  issue(request: LeafRequest): Promise<Leaf>;
}

interface Certificate {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly extensions: readonly Buffer[];
}

function keyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function organisation(name: string): Buffer {
  return sequence(setOf(sequence(oid('2.5.4.10'), utf8(name))));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return critical ? sequence(oid(id), yes(), octets(value)) : sequence(oid(id), octets(value));
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function subjectAltName(uri: string, dns: readonly string[]): Buffer {
  return extension(
    '2.5.29.17',
    false,
    sequence(implicitText(6, uri), ...dns.map((name) => implicitText(2, name))),
  );
}

/** RFC 5280 §4.1, signed with ECDSA P-256 and SHA-256. */
function certificatePem(certificate: Certificate): string {
  const version3 = explicit(0, integer(Buffer.of(2)));
  const body = sequence(
    version3,
    integer(Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    certificate.issuer,
    sequence(time(new Date(certificate.notBefore)), time(new Date(certificate.notAfter))),
    certificate.subject,
    certificate.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...certificate.extensions)),
  );
  const der = sequence(body, ECDSA_WITH_SHA256, bits(sign('sha256', body, certificate.signingKey)));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Makes a CA whose files live in a temporary folder of their own. */
export async function createTestCa(trustDomain: string): Promise<TestCa> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-test-ca-'));
  const keys = keyPair();
  const name = organisation(`${trustDomain} test CA`);
  const bundle = certificatePem({
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    notBefore: Date.now() - HOUR_MS,
    notAfter: Date.now() + 24 * HOUR_MS,
    extensions: [
      extension('2.5.29.19', true, sequence(yes())),
      extension('2.5.29.15', true, KEY_CERT_SIGN_AND_CRL_SIGN),
      extension('2.5.29.14', false, octets(keyId(keys.publicKey))),
      subjectAltName(`spiffe://${trustDomain}`, []),
    ],
  });
  const bundleFile = join(folder, 'bundle.pem');
  await writeFile(bundleFile, bundle);
  let issued = 0;
  return {
    trustDomain,
    bundle,
    bundleFile,
    issue: async (request) => {
      issued += 1;
      return issueLeaf(request, name, keys, join(folder, `leaf-${issued}`));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function issueLeaf(
  request: LeafRequest,
  issuer: Buffer,
  authority: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  file: string,
): Promise<Leaf> {
  const keys = keyPair();
  const notAfter = Date.now() + (request.lifetimeMs ?? HOUR_MS);
  const cert = certificatePem({
    subject: organisation('cedar-pdp test'),
    issuer,
    publicKey: keys.publicKey,
    signingKey: authority.privateKey,
    notBefore: Math.min(Date.now(), notAfter) - HOUR_MS,
    notAfter,
    extensions: [
      extension('2.5.29.19', true, sequence()),
      extension('2.5.29.15', true, DIGITAL_SIGNATURE),
      extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))),
      extension('2.5.29.35', false, sequence(implicitKeyId(keyId(authority.publicKey)))),
      subjectAltName(request.spiffeId, request.dns ?? []),
    ],
  });
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const files = { certFile: `${file}.pem`, keyFile: `${file}-key.pem` };
  await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key, { mode: 0o600 })]);
  return { spiffeId: request.spiffeId, cert, key, ...files };
}

function implicitKeyId(id: Buffer): Buffer {
  return implicitText(0, id.toString('latin1'));
}
