import type { WorkloadIdentity } from '../../../pdp/identity.ts';
import type { SvidProblem } from '../../../pdp/x509-svid.ts';
import { printable } from '../../printable.ts';
import { parseSpiffeId } from '../spiffe-id.ts';
import { type Certificate, criticalProblem, isNameless } from './certificate.ts';
import { keyFloorProblem, signatureFloorProblem } from './crypto-floor.ts';
import { type Purpose, purposeProblem } from './purpose.ts';
import { validityProblem } from './validity.ts';

/** The workload that a leaf names in its one URI (X509-SVID §2), strictly read from its DER. */
export function readIdentity(leaf: Certificate): WorkloadIdentity | SvidProblem {
  const uris = leaf.altNames.flatMap(({ uniformResourceIdentifier: uri }) =>
    uri === undefined ? [] : [uri],
  );
  const [uri] = uris;
  if (uri === undefined)
    return spiffeId('the certificate holds no URI among its alternative names, so it names no workload');
  if (uris.length > 1)
    return spiffeId(
      `the certificate holds ${uris.length} URIs; an X.509-SVID holds exactly one (X509-SVID §2)`,
    );
  const parsed = parseSpiffeId(uri);
  return 'invalid' in parsed ? spiffeId(`the certificate's URI ${printable(uri)} ${parsed.invalid}`) : parsed;
}

/** Why a leaf is not one that a workload may show (X509-SVID §3.1 and §4), whoever signed it; `undefined` where it is. */
export function leafProblem(
  leaf: Certificate,
  { id }: WorkloadIdentity,
  purposes: readonly Purpose[],
  now: number,
): SvidProblem | undefined {
  const use = keyUsageProblem(leaf) ?? purposeProblem(leaf, purposes, false);
  if (use !== undefined) return { cause: 'key_usage', problem: `the certificate of ${id} ${use}` };
  const chain =
    subjectProblem(leaf) ??
    criticalProblem(leaf) ??
    signatureFloorProblem(leaf) ??
    keyFloorProblem(leaf.x509.publicKey);
  if (chain !== undefined) return { cause: 'chain', problem: `the certificate of ${id} ${chain}` };
  return validityProblem(`the certificate of ${id}`, leaf, now);
}

/** X509-SVID §4.1 and §4.3. */
function keyUsageProblem({ isCa, keyUses }: Certificate): string | undefined {
  if (isCa) return 'is a CA certificate: it may sign, but is nobody (X509-SVID §4.1)';
  if (!keyUses) return 'has no key usage (X509-SVID §4.3)';
  if (!keyUses.critical) return 'has a key usage that is not critical (X509-SVID §4.3)';
  if (!keyUses.digitalSignature) return 'has a key usage without digitalSignature (X509-SVID §4.3)';
  if (keyUses.keyCertSign) return 'has a key usage with keyCertSign, which is for CAs (X509-SVID §4.3)';
  return keyUses.crlSign ? 'has a key usage with cRLSign, which is for CAs (X509-SVID §4.3)' : undefined;
}

function subjectProblem(leaf: Certificate): string | undefined {
  if (!isNameless(leaf) || leaf.altNamesCritical) return undefined;
  return 'has neither a subject nor critical alternative names (X509-SVID §3.1)';
}

function spiffeId(problem: string): SvidProblem {
  return { cause: 'spiffe_id', problem };
}
