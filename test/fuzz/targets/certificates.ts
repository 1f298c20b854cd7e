import { type KeyObject, X509Certificate, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { derChildren } from '../../../src/pip/spiffe/x509/der-shape.ts';
import type { TrustBundles } from '../../../src/pdp/x509-svid.ts';
import { bits, oid, sequence } from '../../support/der.ts';
import {
  type KeyPair,
  type Made,
  dnsName,
  makeCertificate,
  nameConstraints,
  uriName,
} from '../../support/x509.ts';

/** The time at which the certificates are looked at, Unix ms. */
export const NOW = Date.UTC(2026, 10, 22, 12);

const HOUR_MS = 3_600_000;
const DOMAIN = 'prod.example.com';
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
const VALID = { notBefore: NOW - HOUR_MS, notAfter: NOW + HOUR_MS };

/** The SPIFFE ID of the good leaf. */
export const LEAF_ID = `spiffe://${DOMAIN}/ns/payments/sa/payment-api`;

/** A small hierarchy whose keys are always the same: inputs that were found stay what they were. */
export interface Hierarchy {
  readonly bundles: TrustBundles;
  /** Good chains, leaf first, in DER. */
  readonly chains: readonly (readonly Uint8Array[])[];
  /** What the CAs have signed, in hex. */
  readonly signed: ReadonlySet<string>;
  /** Bodies of certificates to begin with. */
  readonly bodies: readonly Uint8Array[];
  /** The certificate of a body, signed by the root. */
  readonly certificateOf: (body: Uint8Array) => Buffer;
}

/** Makes the hierarchy: a root, an intermediate with name constraints, a leaf of each, a leaf of a foreign root. */
export function createHierarchy(): Hierarchy {
  const root = authority(1, 'root');
  const foreign = authority(2, 'foreign');
  const constraints = nameConstraints([uriName(DOMAIN)], [dnsName('evil.example')]);
  const middle = steady(
    makeCertificate(
      {
        subject: 'middle',
        isCa: true,
        pathLength: 0,
        uris: [`spiffe://${DOMAIN}`],
        keys: keysOf(3),
        extensions: [constraints],
        ...VALID,
      },
      root,
    ),
    root.keys.privateKey,
    3,
  );
  const leafShape = {
    subject: 'leaf',
    uris: [LEAF_ID],
    dns: ['payment-api.example'],
    keys: keysOf(4),
    ...VALID,
  };
  const leaf = steady(makeCertificate(leafShape, root), root.keys.privateKey, 4);
  const below = steady(makeCertificate(leafShape, middle), middle.keys.privateKey, 5);
  const stranger = steady(makeCertificate(leafShape, foreign), foreign.keys.privateKey, 6);
  const nameless = steady(
    makeCertificate({ ...leafShape, subject: '', criticalNames: true }, root),
    root.keys.privateKey,
    7,
  );
  const x509Authorities = [new X509Certificate(root.der)];
  return {
    bundles: new Map([[DOMAIN, { trustDomain: DOMAIN, x509Authorities, jwtAuthorities: [] }]]),
    chains: [[leaf.der], [below.der, middle.der], [stranger.der, foreign.der]],
    signed: new Set([leaf, below, nameless].map(({ der }) => bodyOf(der).toString('hex'))),
    bodies: [leaf, nameless, middle].map(({ der }) => bodyOf(der)),
    certificateOf: (body) => signed(body, root.keys.privateKey),
  };
}

/** What is signed of a certificate; nothing where the bytes are no certificate. */
export function bodyOf(der: Uint8Array): Buffer {
  const [body] = derChildren(der);
  return Buffer.from(body ?? []);
}

/** Ed25519, whose signatures are always the same too. */
function keysOf(number: number): KeyPair {
  const der = Buffer.concat([PKCS8_ED25519, Buffer.alloc(32, number)]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function authority(number: number, subject: string): Made {
  const uris = [`spiffe://${DOMAIN}`];
  const made = makeCertificate({ subject, isCa: true, uris, keys: keysOf(number), ...VALID });
  return steady(made, made.keys.privateKey, number);
}

const SERIAL_BYTES = 16;

/** The same certificate with a serial number that is not random: after the version, in 16 bytes. */
function steady(made: Made, issuer: KeyObject, number: number): Made {
  const body = bodyOf(made.der);
  const serial = body.indexOf(Buffer.of(0x02, SERIAL_BYTES));
  body.fill(number, serial + 2, serial + 2 + SERIAL_BYTES);
  return { ...made, der: signed(body, issuer) };
}

function signed(body: Uint8Array, key: KeyObject): Buffer {
  return sequence(body, sequence(oid('1.3.101.112')), bits(sign(null, body, key)));
}
