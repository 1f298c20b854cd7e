import { isSvidProblem } from '../../../src/pdp/x509-svid.ts';
import { splitDer } from '../../../src/pip/spiffe/x509/der-split.ts';
import { createSvidVerifier } from '../../../src/pip/spiffe/x509/verify-svid.ts';
import { type FuzzTarget, must } from '../engine/target.ts';
import { mutateDer } from '../engine/mutate-der.ts';
import { NOW, LEAF_ID, bodyOf, createHierarchy } from './certificates.ts';

/** Modules that judge certificates. */
export const X509_MODULES: readonly string[] = [
  'verify-svid.ts',
  'certificate.ts',
  'certificate-extensions.ts',
  'der-shape.ts',
  'leaf-rules.ts',
  'svid-path.ts',
  'name-constraints.ts',
  'purpose.ts',
  'validity.ts',
  'crypto-floor.ts',
  'authorities.ts',
].map((name) => `src/pip/spiffe/x509/${name}`);

/** Object identifiers and other elements of certificates, in DER. */
export const DER_WORDS: readonly string[] = [
  '\x06\x03\x55\x1d\x11',
  '\x06\x03\x55\x1d\x13',
  '\x06\x03\x55\x1d\x0f',
  '\x06\x03\x55\x1d\x25',
  '\x06\x03\x55\x1d\x1e',
  '\x06\x03\x55\x1d\x36',
  '\x01\x01\xff',
  '\x01\x01\x00',
  '\x30\x00',
  '\x30\x03\x01\x01\xff',
  '\x05\x00',
  '\x30\x80',
  '\x00\x00',
  '\x86',
  '\x82',
  '\x86\x0aspiffe://a',
  'spiffe://prod.example.com/a',
  '\x03\x02\x07\x80',
  '\x03\x02\x01\x06',
];

/** Chains of certificates as the wire brings them, one after the other. */
export function x509ChainTarget(): FuzzTarget {
  const { bundles, chains, signed } = createHierarchy();
  const verify = createSvidVerifier(() => bundles);
  return {
    name: 'x509-chain',
    promise: 'A chain is accepted only if its leaf is, byte for byte, one that our CA has signed.',
    covers: [...X509_MODULES, 'src/pip/spiffe/x509/der-split.ts'],
    seeds: [
      ...chains.map((chain) => Buffer.concat(chain)),
      Buffer.from(
        chains
          .flat()
          .map((der) => Buffer.from(der))
          .flatMap((der) => [...der]),
      ),
    ],
    dictionary: DER_WORDS,
    maxBytes: 4096,
    mutate: mutateDer,
    run(input) {
      const chain = splitDer(input);
      if (!chain) return 'not split';
      const svid = verify(chain, NOW);
      if (isSvidProblem(svid))
        return `${svid.cause} ${svid.problem.replace(/'[^']*'|spiffe:\S*|\d+|\(.*\)/g, '').slice(0, 60)}`;
      const [leaf = Buffer.of()] = chain;
      must(signed.has(bodyOf(leaf).toString('hex')), 'a leaf that nobody has signed is accepted');
      must(svid.identity.id === LEAF_ID, `a leaf of ${LEAF_ID} is taken for ${svid.identity.id}`);
      return chain.length > 1 ? 'accepted, with intermediates' : 'accepted';
    },
  };
}
