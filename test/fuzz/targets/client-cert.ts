import { X509Certificate } from 'node:crypto';
import { isRefusal } from '../../../src/pdp/decision.ts';
import { createSvidVerifier } from '../../../src/pip/spiffe/x509/verify-svid.ts';
import { readClientCert } from '../../../src/pip/workload/client-cert.ts';
import { asked } from '../../unit/pip/workload/fixture.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';
import { LEAF_ID, NOW, bodyOf, createHierarchy } from './certificates.ts';

/** `Client-Cert` (RFC 9440), and after a line end `Client-Cert-Chain`, of a PEP that is trusted to write them. */
export function clientCertTarget(): FuzzTarget {
  const { bundles, chains, signed } = createHierarchy();
  const rules = { from: () => true, verify: createSvidVerifier(() => bundles) };
  const field = (der: Uint8Array): string => `:${Buffer.from(der).toString('base64')}:`;
  return {
    name: 'client-cert',
    promise:
      'A workload is proven only by a leaf that our CA has signed, in the one spelling of a byte sequence.',
    covers: [
      'src/pip/workload/client-cert.ts',
      'src/pip/workload/peer-certificate.ts',
      'src/pdp/subject-alt-name.ts',
      'src/pip/spiffe/x509/verify-svid.ts',
    ],
    seeds: chains.map(([leaf = Buffer.of(), ...rest]) =>
      bytesOf([field(leaf), ...(rest.length > 0 ? [rest.map(field).join(', ')] : [])].join('\n')),
    ),
    dictionary: [':', '=', '==', ',', ' ', '\n', ';a=1', '::', '+', '/', '-', '_'],
    maxBytes: 4096,
    run(input) {
      const [leaf = '', ...chain] = latin1(input).split('\n');
      const headers: [string, string][] = [
        ['client-cert', leaf],
        ...chain.map((text): [string, string] => ['client-cert-chain', text]),
      ];
      const evidence = readClientCert(rules, asked({ headers, now: NOW }));
      if (evidence === undefined) return 'absent';
      if (isRefusal(evidence))
        return (evidence.detail ?? '')
          .replace(/[0-9a-f]{8,}|'[^']*'|spiffe:\S*|\d+|\(.*\)/g, '')
          .slice(0, 90);
      const der = Buffer.from(leaf.trim().slice(1, -1), 'base64');
      must(leaf.trim() === field(der), 'a byte sequence with another spelling is accepted');
      if (evidence.source === undefined) return mustNameNobody(der);
      must(signed.has(bodyOf(der).toString('hex')), 'a leaf that nobody has signed is accepted');
      must(evidence.source.id === LEAF_ID, `a leaf of ${LEAF_ID} is taken for ${evidence.source.id}`);
      return chain.length > 0 ? 'accepted, with a chain' : 'accepted';
    },
  };
}

function mustNameNobody(der: Buffer): string {
  const names = new X509Certificate(der).subjectAltName ?? '';
  must(!names.includes('URI:'), `no workload is read where OpenSSL reads '${names}'`);
  return 'names no workload';
}
