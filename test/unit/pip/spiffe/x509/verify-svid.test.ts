import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SvidProblem, type TrustBundles, isSvidProblem } from '../../../../../src/pdp/x509-svid.ts';
import {
  type SvidVerifierOptions,
  createSvidVerifier,
} from '../../../../../src/pip/spiffe/x509/verify-svid.ts';
import {
  explicit,
  implicitText,
  integer,
  octets,
  oid,
  sequence,
  setOf,
  utf8,
} from '../../../../support/der.ts';
import { type LeafRequest, type TestCa, createTestCa } from '../../../../support/test-ca.ts';
import {
  type CertificateShape,
  TLS_PURPOSES,
  dnsName,
  extension,
  keyPair,
  nameConstraints,
  uriName,
} from '../../../../support/x509.ts';
import { bundleOf } from '../fixture.ts';

const DOMAIN = 'prod.example.com';
const ID = `spiffe://${DOMAIN}/ns/payments/sa/payment-api`;
const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 22, 12);
const VALID = { notBefore: NOW - HOUR, notAfter: NOW + HOUR };
const NAMELESS = { subject: '', criticalNames: true };
const DIRECTORY = explicit(4, sequence(setOf(sequence(oid('2.5.4.10'), utf8('somebody')))));
const MAIL = implicitText(1, 'somebody@example.com');
const CA_VALID = { notBefore: NOW - 10 * HOUR, notAfter: NOW + 10 * HOUR };

interface Constraints {
  readonly permitted?: readonly Buffer[];
  readonly excluded?: readonly Buffer[];
}

let ca: TestCa;
let partner: TestCa;
const opened = new AsyncDisposableStack();

async function newCa(trustDomain = DOMAIN, shape: CertificateShape = {}): Promise<TestCa> {
  return opened.use(await createTestCa(trustDomain, { ...CA_VALID, ...shape }));
}

beforeAll(async () => {
  ca = await newCa();
  partner = await newCa('partner.example.org');
});

afterAll(() => opened.disposeAsync());

function bundlesOf(...authorities: readonly TestCa[]): TrustBundles {
  return new Map(
    authorities.map((authority) => [authority.trustDomain, bundleOf(authority.trustDomain, authority)]),
  );
}

function verify(chain: readonly Uint8Array[], root = ca, options: SvidVerifierOptions = {}, now = NOW) {
  return createSvidVerifier(() => bundlesOf(root, partner), options)(chain, now);
}

/** What becomes of a leaf of this shape. */
async function verifyLeaf(shape: Partial<LeafRequest>, authority = ca, options: SvidVerifierOptions = {}) {
  const leaf = await authority.issue({ spiffeId: ID, ...VALID, ...shape });
  return verify(leaf.chain, ca, options);
}

function problem(cause: SvidProblem['cause'], words: string | RegExp) {
  const text = typeof words === 'string' ? expect.stringContaining(words) : expect.stringMatching(words);
  return { cause, problem: text };
}

describe('an X.509-SVID', () => {
  test('is accepted, and told with its expiry, fingerprint and issuer', async () => {
    const leaf = await ca.issue({ spiffeId: ID, ...VALID });
    const { fingerprint256 } = new X509Certificate(leaf.cert);
    expect(verify(leaf.chain)).toEqual({
      identity: expect.objectContaining({ id: ID, trustDomain: DOMAIN, namespace: 'payments' }),
      notAfter: NOW + HOUR,
      fingerprint: Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url'),
      issuer: `O=${DOMAIN} test CA`,
    });
  });

  test.each([
    ['a DNS name beside its URI', { dns: ['payments.example.com'] }],
    ['no subject and critical alternative names', { subject: '', criticalNames: true }],
    ['no extended key usage', { purposes: undefined }],
    [
      'keyEncipherment and keyAgreement',
      { keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'] },
    ],
    ['an RSA key of 2048 bits', { key: 'RSA-2048' }],
    ['an Ed25519 key', { key: 'Ed25519' }],
    ['a P-384 key', { key: 'P-384' }],
    ['no authority key id', { authorityKeyId: undefined }],
    ['a non-critical extension that nobody knows', { extensions: [extension('1.2.3.4', false, sequence())] }],
    ['critical certificate policies', { extensions: [policies()] }],
  ] as const)('may have %s', async (_what, shape) => {
    expect(await verifyLeaf(shape)).toMatchObject({ identity: { id: ID } });
  });

  test.each([
    ['no URI', { uris: [] }, 'spiffe_id', 'holds no URI'],
    ['only a DNS name', { uris: [], dns: ['payments.example.com'] }, 'spiffe_id', 'holds no URI'],
    ['two SPIFFE IDs', { uris: [ID, `${ID}2`] }, 'spiffe_id', 'holds 2 URIs'],
    ['a second URI of another scheme', { uris: [ID, 'https://example.com/'] }, 'spiffe_id', 'holds 2 URIs'],
    [
      'a URI that is no SPIFFE ID',
      { uris: ['https://example.com/x'] },
      'spiffe_id',
      "start with 'spiffe://'",
    ],
    ['an ID without a path', { uris: [`spiffe://${DOMAIN}`] }, 'spiffe_id', 'has no path'],
    ['an ID with the root path', { uris: [`spiffe://${DOMAIN}/`] }, 'spiffe_id', "ends with '/'"],
    ['an ID with dot segments', { uris: [`spiffe://${DOMAIN}/a/../b`] }, 'spiffe_id', "'..'"],
    ['an ID with a NUL', { uris: [`${ID}\0.evil`] }, 'spiffe_id', 'character outside'],
    [
      'an ID with a comma that mimics a second name',
      { uris: [`${ID}, URI:x`] },
      'spiffe_id',
      'character outside',
    ],
    ['a CA flag', { isCa: true, keyUsage: ['digitalSignature'] }, 'key_usage', 'is a CA certificate'],
    ['no key usage', { keyUsage: undefined }, 'key_usage', 'has no key usage'],
    ['a key usage that is not critical', { keyUsageCritical: false }, 'key_usage', 'not critical'],
    ['no digitalSignature', { keyUsage: ['keyEncipherment'] }, 'key_usage', 'without digitalSignature'],
    ['keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'] }, 'key_usage', 'keyCertSign'],
    ['cRLSign', { keyUsage: ['digitalSignature', 'cRLSign'] }, 'key_usage', 'cRLSign'],
    ['no purpose for clients', { purposes: TLS_PURPOSES.slice(0, 1) }, 'key_usage', 'without clientAuth'],
    ['only the purpose "any"', { purposes: ['2.5.29.37.0'] }, 'key_usage', 'without clientAuth'],
    ['neither subject nor critical names', { subject: '' }, 'chain', 'X509-SVID §3.1'],
    ['a critical extension that nobody knows', { extensions: [unknown()] }, 'chain', '1.2.3.4'],
    ['critical policy constraints', { extensions: [policyConstraints()] }, 'chain', '2.5.29.36'],
    ['an RSA key of 1024 bits', { key: 'RSA-1024' }, 'chain', '1024 bits'],
    ['a key on an unusual curve', { key: 'secp256k1' }, 'chain', 'on the curves'],
    ['a signature with SHA-1', { digest: 'sha1' }, 'chain', 'SHA-256 or better'],
    [
      'a repeated extension',
      { extensions: [extension('2.5.29.15', true, sequence())] },
      'malformed',
      'twice',
    ],
    [
      'a broken extension',
      { extensions: [extension('2.5.29.30', true, octets(Buffer.of(1)))] },
      'malformed',
      'read',
    ],
  ] as const)('is refused with %s', async (_what, shape, cause, words) => {
    expect(await verifyLeaf(shape as CertificateShape)).toEqual(problem(cause, words));
  });

  test('that a server shows must be for servers, where it says what it is for', async () => {
    const options = { purposes: ['server'] } as const;
    expect(await verifyLeaf({ purposes: TLS_PURPOSES.slice(0, 1) }, ca, options)).toHaveProperty('identity');
    expect(await verifyLeaf({ purposes: TLS_PURPOSES.slice(1) }, ca, options)).toEqual(
      problem('key_usage', 'without serverAuth'),
    );
  });

  test('is refused where there is none', () => {
    expect(verify([])).toEqual(problem('missing', 'no certificate'));
  });

  test.each([
    ['three minutes ago', { notAfter: NOW - 180_000 }, 'expired', 'expired 3 minutes ago'],
    [
      'two days ago',
      { notBefore: NOW - 80 * HOUR, notAfter: NOW - 49 * HOUR },
      'expired',
      'expired 2 days ago',
    ],
    ['in one hour', { notBefore: NOW + HOUR, notAfter: NOW + 2 * HOUR }, 'not_yet_valid', 'another 1 hour'],
  ] as const)('says by how much its time is wrong: %s', async (_when, shape, cause, words) => {
    const result = await verifyLeaf(shape);
    expect(result).toEqual(problem(cause, words));
    expect(result).toEqual(problem(cause, 'our clock says 2026-11-22T12:00:00Z'));
  });

  test('is valid through both ends of its time', async () => {
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    for (const now of [VALID.notBefore, VALID.notAfter, VALID.notAfter + 999])
      expect(verify(chain, ca, {}, now)).toHaveProperty('identity');
    expect(verify(chain, ca, {}, VALID.notBefore - 1)).toHaveProperty('cause', 'not_yet_valid');
    expect(verify(chain, ca, {}, VALID.notAfter + 1_000)).toHaveProperty('cause', 'expired');
  });
});

describe('trust', () => {
  test('a workload of one trust domain signed by the CA of another is refused, and the words name both', async () => {
    const { chain } = await partner.issue({ spiffeId: ID, ...VALID });
    const result = verify(chain);
    expect(result).toEqual(problem('trust_domain', "leads to the bundle of 'partner.example.org'"));
    expect(result).toEqual(problem('trust_domain', ID));
  });

  test('the same holds below an intermediate of the other trust domain', async () => {
    const { chain } = await partner.issueAuthority(CA_VALID).issue({ spiffeId: ID, ...VALID });
    expect(verify(chain)).toHaveProperty('cause', 'trust_domain');
  });

  test('the partner itself is accepted by its own bundle', async () => {
    const { chain } = await partner.issue({ spiffeId: 'spiffe://partner.example.org/x', ...VALID });
    expect(verify(chain)).toHaveProperty('identity.trustDomain', 'partner.example.org');
  });

  test('a trust domain without a bundle is refused', async () => {
    const { chain } = await ca.issue({ spiffeId: 'spiffe://other.example.net/x', ...VALID });
    expect(verify(chain)).toEqual(
      problem('trust_domain', "no bundle is held for the trust domain 'other.example.net'"),
    );
  });

  test('an empty bundle revokes everything', async () => {
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    const bundle = bundleOf(DOMAIN);
    const result = createSvidVerifier(() => new Map([[DOMAIN, bundle]]))(chain, NOW);
    expect(result).toEqual(problem('trust_domain', 'is empty'));
  });

  test('a root that the peer sends along is not trusted', async () => {
    const stranger = await newCa();
    const { chain } = await stranger.issue({ spiffeId: ID, ...VALID });
    expect(verify([...chain, stranger.der])).toHaveProperty('cause', 'chain');
  });

  test('a root that the peer sends along does no harm either', async () => {
    const { chain } = await ca.issueAuthority(CA_VALID).issue({ spiffeId: ID, ...VALID });
    expect(verify([...chain, ca.der])).toHaveProperty('identity');
  });

  test('a CA of the same name and another key does not vouch', async () => {
    const namesake = await newCa();
    const { chain } = await namesake.issue({ spiffeId: ID, ...VALID, authorityKeyId: undefined });
    expect(verify(chain)).toEqual(problem('chain', 'a signature is wrong'));
  });

  test('key ids that differ tell CAs of one name apart', async () => {
    const namesake = await newCa();
    const { chain } = await namesake.issue({ spiffeId: ID, ...VALID });
    expect(verify(chain)).toEqual(
      problem('chain', `not the one CA certificate in the bundle of the trust domain '${DOMAIN}'`),
    );
  });

  test('while CAs rotate, either of two in a bundle vouches', async () => {
    const next = await newCa();
    const bundle = bundleOf(DOMAIN, ca, next);
    const verifyBoth = createSvidVerifier(() => new Map([[DOMAIN, bundle]]));
    for (const authority of [ca, next]) {
      const { chain } = await authority.issue({ spiffeId: ID, ...VALID, authorityKeyId: undefined });
      expect(verifyBoth(chain, NOW)).toHaveProperty('identity');
    }
  });

  test('a CA that two trust domains share does not hide what is wrong', async () => {
    const { chain } = await ca
      .issueAuthority({ ...CA_VALID, notAfter: NOW - 1_000 })
      .issue({ spiffeId: ID, ...VALID });
    const shared = new Map([...bundlesOf(ca), ['partner.example.org', bundleOf('partner.example.org', ca)]]);
    expect(createSvidVerifier(() => shared)(chain, NOW)).toHaveProperty('cause', 'expired');
  });

  test('a bundle that changes is used at once', async () => {
    let bundles = bundlesOf(ca);
    const verifier = createSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    expect(verifier(chain, NOW)).toHaveProperty('identity');
    bundles = new Map();
    expect(verifier(chain, NOW)).toHaveProperty('cause', 'trust_domain');
  });
});

describe('a path', () => {
  test('through two intermediates is found in any order, past certificates that have nothing to do with it', async () => {
    const below = ca.issueAuthority(CA_VALID).issueAuthority(CA_VALID);
    const { chain } = await below.issue({ spiffeId: ID, ...VALID });
    const [leaf, lower, upper] = chain as [Buffer, Buffer, Buffer];
    expect(verify(chain)).toHaveProperty('identity');
    expect(verify([leaf, partner.der, upper, lower])).toHaveProperty('identity');
  });

  test('expires with the first of its certificates', async () => {
    const soon = { notBefore: NOW - HOUR, notAfter: NOW + 60_000 };
    const { chain } = await ca.issueAuthority(soon).issue({ spiffeId: ID, ...VALID });
    expect(verify(chain)).toHaveProperty('notAfter', NOW + 60_000);
  });

  test('that lacks an intermediate is refused, and the words name the issuer that is unknown', async () => {
    const { chain } = await ca.issueAuthority(CA_VALID).issue({ spiffeId: ID, ...VALID });
    expect(verify(chain.slice(0, 1))).toEqual(problem('chain', `issuer 'O=${DOMAIN} test CA intermediate'`));
  });

  test.each([
    ['is no CA', { isCa: false, keyUsage: ['keyCertSign'] }, 'chain', 'is not a CA certificate'],
    ['has no keyCertSign', { keyUsage: ['cRLSign'] }, 'chain', 'without keyCertSign'],
    ['has no key usage', { keyUsage: undefined }, 'chain', 'without keyCertSign'],
    [
      'has expired',
      { notAfter: NOW - 60_000 },
      'expired',
      /intermediate certificate .* expired 1 minute ago/,
    ],
    [
      'is not valid yet',
      { notBefore: NOW + 90_000 },
      'not_yet_valid',
      /intermediate certificate .* another 1 minute/,
    ],
    ['has a critical extension that nobody knows', { extensions: [unknown()] }, 'chain', '1.2.3.4'],
    ['is signed with SHA-1', { digest: 'sha1' }, 'chain', 'SHA-256 or better'],
    ['has an RSA key of 1024 bits', { key: 'RSA-1024' }, 'chain', '1024 bits'],
    ['is only for servers', { purposes: TLS_PURPOSES.slice(0, 1) }, 'chain', 'without clientAuth'],
    [
      'is the CA of another trust domain',
      { uris: ['spiffe://b.example'] },
      'chain',
      'CA of spiffe://b.example',
    ],
    [
      'has a workload for a name',
      { uris: [`spiffe://${DOMAIN}/ca`] },
      'chain',
      `CA of spiffe://${DOMAIN}/ca`,
    ],
    [
      'does not permit the trust domain',
      { extensions: [nameConstraints([uriName('b.example')])] },
      'chain',
      'permit',
    ],
    ['excludes it', { extensions: [nameConstraints([], [uriName('.example.com')])] }, 'chain', 'exclude'],
    [
      'excludes a DNS name',
      { extensions: [nameConstraints([], [dnsName('example.com')])] },
      'chain',
      'exclude',
    ],
    ['constrains addresses', { extensions: [nameConstraints([address()])] }, 'chain', 'kind of name'],
  ] as const)('is refused where an intermediate %s', async (_what, shape, cause, words) => {
    const intermediate = ca.issueAuthority({ ...CA_VALID, ...(shape as CertificateShape) });
    const { chain } = await intermediate.issue({
      spiffeId: ID,
      ...VALID,
      dns: ['payments.example.com'],
      names: [Buffer.of(0x87, 4, 10, 0, 0, 1)],
    });
    expect(verify(chain)).toEqual(problem(cause, words));
  });

  test.each([
    ['permits the trust domain', { extensions: [nameConstraints([uriName(DOMAIN)])] }],
    ['permits what is below a domain', { extensions: [nameConstraints([uriName('.example.com')])] }],
    ['constrains addresses, and there are none', { extensions: [nameConstraints([address()])] }],
    ['allows any purpose', { purposes: ['2.5.29.37.0'] }],
    ['has no SPIFFE ID', { uris: [] }],
    ['has an RSA key', { key: 'RSA-2048' }],
  ] as const)('is accepted where an intermediate %s', async (_what, shape) => {
    const { chain } = await ca.issueAuthority({ ...CA_VALID, ...shape }).issue({ spiffeId: ID, ...VALID });
    expect(verify(chain)).toHaveProperty('identity');
  });

  test.each([
    [
      'a URI of another scheme under URI constraints',
      { uris: [ID] },
      ['https://ca.example/'],
      'URI without a host',
    ],
    ['a DNS name that is not permitted', { dns: ['a.example.org'] }, [], "permit 'a.example.org'"],
    ['a DNS name that only ends alike', { dns: ['badexample.com'] }, [], "permit 'badexample.com'"],
  ] as const)('is refused with %s, at any depth', async (_what, shape, uris, words) => {
    const constraints = nameConstraints([uriName(DOMAIN), dnsName('example.com')]);
    const upper = ca.issueAuthority({ ...CA_VALID, extensions: [constraints] });
    const lower = upper.issueAuthority({ ...CA_VALID, uris });
    const { chain } = await lower.issue({ spiffeId: ID, ...VALID, ...shape });
    expect(verify(chain)).toEqual(problem('chain', words));
  });

  test('is accepted with DNS names that are permitted', async () => {
    const upper = ca.issueAuthority({ ...CA_VALID, extensions: [nameConstraints([dnsName('example.com')])] });
    for (const dns of ['example.com', 'A.Example.com']) {
      const { chain } = await upper.issue({ spiffeId: ID, ...VALID, dns: [dns] });
      expect(verify(chain)).toHaveProperty('identity');
    }
  });

  test.each([
    ['every URI', {}, { excluded: [uriName('')] }, false],
    ['the parent of the trust domain, by itself', {}, { excluded: [uriName('example.com')] }, true],
    ['a directory name, and there is a subject', {}, { excluded: [DIRECTORY] }, false],
    ['a directory name, and there is none', NAMELESS, { excluded: [DIRECTORY] }, true],
    ['a mail address, and there is one', { ...NAMELESS, names: [MAIL] }, { permitted: [MAIL] }, false],
  ] as const)('under constraints on %s: accepted is %4$s', async (_what, shape, names, isGood) => {
    const { permitted = [], excluded = [] }: Constraints = names;
    const upper = ca.issueAuthority({ ...CA_VALID, extensions: [nameConstraints(permitted, excluded)] });
    const { chain } = await upper.issue({ spiffeId: ID, ...VALID, ...shape });
    expect(isSvidProblem(verify(chain))).toBe(!isGood);
  });

  test('leaves a CA that renews itself out of its length and of its name constraints', async () => {
    const constraints = [nameConstraints([dnsName('example.com')])];
    const root = await newCa(DOMAIN, { pathLength: 0, extensions: constraints });
    const named = { ...CA_VALID, dns: ['ca.example.org'] };
    const renewed = root.issueAuthority({ ...named, subject: `${DOMAIN} test CA` });
    expect(verify((await renewed.issue({ spiffeId: ID, ...VALID })).chain, root)).toHaveProperty('identity');
    const below = root.issueAuthority(named);
    expect(verify((await below.issue({ spiffeId: ID, ...VALID })).chain, root)).toHaveProperty(
      'cause',
      'chain',
    );
  });

  test('is refused where name constraints count labels', async () => {
    const distance = extension(
      '2.5.29.30',
      true,
      sequence(explicit(0, sequence(uriName(DOMAIN), Buffer.of(0x80, 1, 1)))),
    );
    const upper = ca.issueAuthority({ ...CA_VALID, extensions: [distance] });
    const { chain } = await upper.issue({ spiffeId: ID, ...VALID });
    expect(verify(chain)).toEqual(problem('chain', 'distances'));
  });

  test('is found past an expired certificate of the same CA, and past a CA of the same name', async () => {
    const keys = keyPair();
    const old = ca.issueAuthority({ ...CA_VALID, keys, notAfter: NOW - 1_000 });
    const current = ca.issueAuthority({ ...CA_VALID, keys });
    const namesake = ca.issueAuthority(CA_VALID);
    const leaf = await current.issue({ spiffeId: ID, ...VALID, authorityKeyId: undefined });
    const [der = Buffer.of()] = leaf.chain;
    expect(verify([der, namesake.der, old.der, current.der])).toHaveProperty('identity');
    expect(verify([der, namesake.der, old.der])).toHaveProperty('cause', 'expired');
  });

  test('is no longer than its pathLenConstraint', async () => {
    const short = await newCa(DOMAIN, { pathLength: 0 });
    const direct = await short.issue({ spiffeId: ID, ...VALID });
    const below = await short.issueAuthority(CA_VALID).issue({ spiffeId: ID, ...VALID });
    expect(verify(direct.chain, short)).toHaveProperty('identity');
    expect(verify(below.chain, short)).toEqual(problem('chain', 'allows 0 CA certificates below it'));
  });

  test.each([
    [
      'has expired',
      { notAfter: NOW - 2 * HOUR },
      'expired',
      /CA certificate in the bundle .* expired 2 hours ago/,
    ],
    ['may not sign', { keyUsage: ['digitalSignature'] }, 'chain', 'without keyCertSign'],
    ['constrains names', { extensions: [nameConstraints([uriName('b.example')])] }, 'chain', 'permit'],
    ['has a weak key', { key: 'RSA-1024' }, 'chain', '1024 bits'],
  ] as const)('is refused where the CA in the bundle %s', async (_what, shape, cause, words) => {
    const root = await newCa(DOMAIN, shape);
    const { chain } = await root.issue({ spiffeId: ID, ...VALID });
    expect(verify(chain, root)).toEqual(problem(cause, words));
  });

  test.each([
    ['RSA with SHA-256', 'sha256', true],
    ['RSASSA-PSS with SHA-256', 'pss', true],
    ['RSASSA-PSS with SHA-1', 'pss-sha1', false],
    ['RSA with SHA-1', 'sha1', false],
  ] as const)('of %s signatures: accepted is %3$s', async (_what, digest, isGood) => {
    const root = await newCa(DOMAIN, { key: 'RSA-2048' });
    const { chain } = await root.issue({ spiffeId: ID, ...VALID, digest });
    expect(isSvidProblem(verify(chain, root))).toBe(!isGood);
  });

  test('of too many certificates or bytes is not looked at', async () => {
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    const many = Array.from({ length: 11 }, () => chain[0] ?? Buffer.of());
    expect(verify(many)).toEqual(problem('malformed', '10 are the most'));
    expect(verify([...chain, Buffer.alloc(70_000)])).toEqual(problem('malformed', '65536 are the most'));
  });

  test('is not searched without end where a peer sends the same name over and over', async () => {
    const keys = keyPair();
    const shape = { ...CA_VALID, keys, subject: 'loop', authorityKeyId: undefined };
    const loop = await newCa(DOMAIN, shape);
    const copies = await Promise.all(Array.from({ length: 8 }, () => newCa(DOMAIN, shape)));
    const { chain } = await loop.issue({ spiffeId: ID, ...VALID, authorityKeyId: undefined });
    expect(verify([...chain, ...copies.map(({ der }) => der)])).toEqual(
      problem('chain', 'signatures checked'),
    );
  });
});

describe('bytes that are not a chain', () => {
  test('are refused and never throw, whatever was changed in a good one', async () => {
    const { chain } = await ca.issueAuthority(CA_VALID).issue({ spiffeId: ID, ...VALID, dns: ['a.example'] });
    const verifier = createSvidVerifier(() => bundlesOf(ca));
    const good = Buffer.concat(chain);
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(changes, (changed) => {
        const bytes = Buffer.from(good);
        for (const [at, mask] of changed) bytes[at] = (bytes[at] ?? 0) ^ mask;
        fc.pre(!bytes.equals(good));
        const split = chain[0]?.length ?? 0;
        const result = verifier([bytes.subarray(0, split), bytes.subarray(split)], NOW);
        expect(isSvidProblem(result)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('are refused and never throw, whatever they are', () => {
    const verifier = createSvidVerifier(() => bundlesOf(ca));
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 3 }), (chain) => {
        expect(isSvidProblem(verifier(chain, NOW))).toBe(true);
      }),
    );
  });

  test('are refused where something follows the certificate', async () => {
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    const [leaf = Buffer.of()] = chain;
    expect(verify([Buffer.concat([leaf, Buffer.of(0)])])).toEqual(
      problem('malformed', 'bytes after its end'),
    );
  });

  test('are refused, without a throw, at a time that is none', async () => {
    const { chain } = await ca.issue({ spiffeId: ID, ...VALID });
    expect(isSvidProblem(verify(chain, ca, {}, Number.NaN))).toBe(true);
  });
});

function unknown(): Buffer {
  return extension('1.2.3.4', true, sequence());
}

function policies(): Buffer {
  return extension('2.5.29.32', true, sequence(sequence(oid('2.5.29.32.0'))));
}

function policyConstraints(): Buffer {
  return extension('2.5.29.36', true, sequence(integer(Buffer.of(0))));
}

/** The name constraint 10.0.0.0/8. */
function address(): Buffer {
  return Buffer.of(0x87, 8, 10, 0, 0, 0, 255, 0, 0, 0);
}
