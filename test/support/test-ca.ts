import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateShape, type Made, makeCertificate, pemOf } from './x509.ts';

const HOUR_MS = 3_600_000;

/** What a leaf certificate is asked to say; any part of it may be made wrong. */
export interface LeafRequest extends CertificateShape {
  /** The one URI SAN, where `uris` does not say otherwise. */
  readonly spiffeId: string;
  /** Milliseconds from now until it expires; negative: expired already. One hour where not given. */
  readonly lifetimeMs?: number;
}

/** A certificate with its key, as PEM text and as files. */
export interface Leaf {
  readonly spiffeId: string;
  /** The leaf and its intermediates, where it has some. */
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** DER, the leaf first; without the root. */
  readonly chain: readonly Buffer[];
}

/** A certificate authority of one trust domain, made at run time. Disposing removes its files. */
export interface TestCa extends AsyncDisposable {
  readonly trustDomain: string;
  /** The trust bundle: the one CA certificate. An intermediate CA has that of its root. */
  readonly bundle: string;
  readonly bundleFile: string;
  /** DER of its own certificate. */
  readonly der: Buffer;
  /** Issues an X.509-SVID (SPIFFE X509-SVID §3-4): one URI SAN, critical digitalSignature, EKU for server and client. */
  issue(request: LeafRequest): Promise<Leaf>;
  /** Makes a CA below this one, whose leaves come with its certificate. Disposed of with this one. */
  issueAuthority(shape?: CertificateShape): TestCa;
}

/** Makes a root CA whose files live in a temporary folder of their own. `shape` makes parts of its certificate other than usual. */
export async function createTestCa(trustDomain: string, shape: CertificateShape = {}): Promise<TestCa> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-test-ca-'));
  const root = makeCertificate(authorityShape(trustDomain, `${trustDomain} test CA`, shape));
  const bundle = pemOf(root.der);
  const bundleFile = join(folder, 'bundle.pem');
  await writeFile(bundleFile, bundle);
  let issued = 0;
  const nextFile = (): string => join(folder, `leaf-${(issued += 1)}`);
  const authority = (made: Made, above: readonly Buffer[], name: string): TestCa => ({
    trustDomain,
    bundle,
    bundleFile,
    der: made.der,
    issue: (request) => issueLeaf(request, made, above, nextFile()),
    issueAuthority: (shape = {}) => {
      const below = makeCertificate(authorityShape(trustDomain, `${name} intermediate`, shape), made);
      return authority(below, [below.der, ...above], `${name} intermediate`);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 20 }),
  });
  return authority(root, [], `${trustDomain} test CA`);
}

function authorityShape(trustDomain: string, subject: string, shape: CertificateShape): CertificateShape {
  return {
    subject,
    isCa: true,
    uris: [`spiffe://${trustDomain}`],
    notAfter: Date.now() + 24 * HOUR_MS,
    ...shape,
  };
}

async function issueLeaf(
  { spiffeId, lifetimeMs, ...shape }: LeafRequest,
  issuer: Made,
  above: readonly Buffer[],
  file: string,
): Promise<Leaf> {
  const notAfter = Date.now() + (lifetimeMs ?? HOUR_MS);
  const made = makeCertificate({ uris: [spiffeId], notAfter, ...shape }, issuer);
  const chain = [made.der, ...above];
  const cert = chain.map(pemOf).join('');
  const key = made.keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const files = { certFile: `${file}.pem`, keyFile: `${file}-key.pem` };
  await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key, { mode: 0o600 })]);
  return { spiffeId, cert, key, chain, ...files };
}
