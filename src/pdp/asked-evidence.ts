import type { Peer } from './access-request.ts';
import type { Asked, Received } from './trace.ts';

/** No method and no host are written like this, so nothing that a proof is bound to can match. */
const NOWHERE = { method: '', path: '', host: '' } as const;
const NOBODY: Peer = { principal: '', certificate: '', service: '' };
const NONE: ReadonlyMap<string, string> = new Map();

/**
 * The evidence of identity that comes with a question about entities, in the form that the authenticators read: the caller, whom its
 * own connection has proven, as the source (unless the subject is a workload itself), and the subject's credentials. There is no request that a proof of possession could be
 * about, so a token that is bound to its sender is refused (`token_binding_failed`).
 */
export function evidenceOf({ asked, ...envelope }: Asked): Received {
  const caller = asked.subject?.workload ? undefined : envelope.pep.workload;
  return {
    ...envelope,
    request: {
      source: { ...NOBODY, principal: caller?.id ?? '' },
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
