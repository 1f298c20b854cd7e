import type { Peer } from './access-request.ts';
import type { ProvenWorkload } from './identity.ts';
import type { Asked, Received } from './trace.ts';

/** No method and no host are written like this, so nothing that a proof is bound to can match. */
const NOWHERE = { method: '', path: '', host: '' } as const;
const NOBODY: Peer = { principal: '', certificate: '', service: '' };
const NONE: ReadonlyMap<string, string> = new Map();

/**
 * The source of the access that a question about entities is about: the caller, whom its own connection has proven, unless the subject
 * is a workload itself.
 */
export function askingWorkload({ asked, pep }: Asked): ProvenWorkload | undefined {
  const { workload, provenUntil } = pep;
  if (!workload || asked.subject?.workload) return undefined;
  return { ...workload, evidence: 'principal', ...(provenUntil !== undefined && { provenUntil }) };
}

/**
 * The evidence of identity that comes with a question about entities, in the form that the authenticators read: the subject's
 * credentials, and nothing that a PEP would say. There is no request that a proof of possession could be about, so a token that is bound to
 * its sender is refused (`token_binding_failed`).
 */
export function evidenceOf({ asked, ...envelope }: Asked): Received {
  return {
    ...envelope,
    request: {
      source: NOBODY,
      destination: NOBODY,
      http: { ...NOWHERE, scheme: '', protocol: '', headers: asked.credentials, size: -1 },
      streamId: '',
      sni: '',
      contextExtensions: NONE,
      metadata: NONE,
    },
    canonical: NOWHERE,
  };
}
