import { X509Certificate } from 'node:crypto';
import { isSvidProblem } from '../../../src/pdp/x509-svid.ts';
import { createSvidVerifier } from '../../../src/pip/spiffe/x509/verify-svid.ts';
import { type FuzzTarget, must } from '../engine/target.ts';
import { mutateDer } from '../engine/mutate-der.ts';
import { NOW, createHierarchy } from './certificates.ts';
import { SPIFFE_ID } from './spiffe-id.ts';
import { DER_WORDS, X509_MODULES } from './x509-chain.ts';

/** Bodies of leaves that our own CA signs, whatever they are: what a careless CA could be led to sign. */
export function x509LeafTarget(): FuzzTarget {
  const { bundles, bodies, certificateOf } = createHierarchy();
  const verify = createSvidVerifier(() => bundles);
  return {
    name: 'x509-leaf',
    promise:
      'A leaf that is accepted is valid now, no CA, and names one workload of our trust domain, to OpenSSL as well.',
    covers: X509_MODULES,
    seeds: bodies,
    dictionary: DER_WORDS,
    maxBytes: 2048,
    mutate: mutateDer,
    run(input) {
      const der = certificateOf(input);
      const svid = verify([der], NOW);
      if (isSvidProblem(svid))
        return `${svid.cause} ${svid.problem.replace(/'[^']*'|spiffe:\S*|\d+|\(.*\)/g, '').slice(0, 60)}`;
      const { id, trustDomain } = svid.identity;
      must(SPIFFE_ID.test(id) && trustDomain === 'prod.example.com', `accepted as '${id}'`);
      mustAgree(new X509Certificate(der), id);
      return 'accepted';
    },
  };
}

function mustAgree(certificate: X509Certificate, id: string): void {
  const uris = (certificate.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'));
  must(uris.length === 1 && uris[0] === `URI:${id}`, `OpenSSL reads '${certificate.subjectAltName ?? ''}'`);
  must(!certificate.ca, 'OpenSSL takes it for a CA');
  const { validFromDate, validToDate } = certificate;
  must(validFromDate.getTime() <= NOW && NOW <= validToDate.getTime(), 'OpenSSL finds it not valid now');
}
