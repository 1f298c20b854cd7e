import type { Deny } from './pdp/decision.ts';
import { LineLimiter } from './pdp/line-limiter.ts';
import type { Log } from './pdp/log.ts';
import type { Clock, Observer } from './pdp/ports.ts';
import { evidenceProblem } from './pdp/refused-evidence.ts';
import type { DecisionTrace } from './pdp/trace.ts';

/** Longest text of a refusal in a line, in UTF-16 units. */
const MAX_DETAIL = 2048;

/** An {@link Observer} that has to be ended: that says what is still unsaid. */
export type RefusedEvidenceLog = Observer & Disposable;

/**
 * Tells operators in words which evidence was refused, and callers that may not ask: at warn, one line a second for each reason and
 * cause. A line holds what the record does: names, words and the fingerprint of the evidence, never the evidence.
 */
export function createRefusedEvidenceLog({ clock, log }: { clock: Clock; log: Log }): RefusedEvidenceLog {
  const lines = new LineLimiter<string, DecisionTrace & { readonly decision: Deny }>(clock, (trace, unsaid) =>
    log.warn({ ...fieldsOf(trace), ...unsaid }, messageOf(trace.decision)),
  );
  return {
    checked(trace) {
      if (isRefusedEvidence(trace))
        lines.tell(`${trace.decision.reason} ${evidenceProblem(trace)?.cause}`, trace);
    },
    [Symbol.dispose]: () => lines[Symbol.dispose](),
  };
}

/** Also a fault while evidence was looked at. A check that was authenticated and ran out of time then is another matter. */
function isRefusedEvidence(trace: DecisionTrace): trace is DecisionTrace & { readonly decision: Deny } {
  const { decision, stage, identities } = trace;
  if (decision.verdict === 'permit') return false;
  return decision.reason === 'caller_not_allowed' || (stage === 'authenticate' && !identities);
}

function fieldsOf(trace: DecisionTrace & { readonly decision: Deny }): object {
  const { id, surface, pep, decision, refused } = trace;
  return {
    decision_id: id,
    surface,
    reason: decision.reason,
    ...evidenceProblem(trace),
    evidence: decision.evidence,
    source: refused?.proven?.source?.id,
    pep: pep.workload?.id ?? pep.address,
  };
}

function messageOf({ reason, detail = reason }: Deny): string {
  const words = detail.length <= MAX_DETAIL ? detail : `${detail.slice(0, MAX_DETAIL - 1)}…`;
  return reason === 'caller_not_allowed'
    ? `a caller was refused: ${words}`
    : `evidence of identity was refused: ${words}`;
}
