import { type DenyReason, type EvidenceCause, FAULT_REASONS } from '../../pdp/decision.ts';
import { causeOf } from '../../pdp/refused-evidence.ts';
import type { Stage } from '../../pdp/trace.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { said } from './outcome.ts';
import type { Difference } from './verdict.ts';

const READING: readonly Stage[] = ['decode', 'authenticate', 'gather', 'bind'];
const REVOKED: readonly Stage[] = ['authenticate', 'gather', 'bind', 'evaluate'];
const FACTS: readonly Stage[] = ['gather', 'bind', 'evaluate'];
const ANY: readonly Stage[] = [...READING, 'evaluate'];

/** The stages that can refuse for a reason. Evidence is looked at by one of them; faults happen anywhere. */
const STAGES_OF: { readonly [reason in DenyReason]?: readonly Stage[] } = {
  no_permit: ['bind'],
  authentication_required: ['bind'],
  request_malformed: READING,
  path_ambiguous: READING,
  host_ambiguous: READING,
  header_ambiguous: READING,
  upgrade_refused: READING,
  no_binding: ['bind'],
  caller_not_allowed: ['decode', 'authenticate'],
  token_revoked: REVOKED,
  identity_revoked: REVOKED,
  attribute_unavailable: FACTS,
  attribute_refused: FACTS,
  engine_fault: ['evaluate'],
};

/** Reasons that stand for several things that may be wrong with evidence: their refusals say which. */
const OF_SEVERAL: ReadonlySet<DenyReason> = new Set<DenyReason>([
  'caller_not_allowed',
  'device_assertion_invalid',
  'evidence_conflict',
  'workload_evidence_invalid',
  'token_issuer_unknown',
  'token_claims_refused',
]);

const CAUSES: ReadonlySet<unknown> = new Set(
  Object.keys({
    malformed: true,
    spiffe_id: true,
    trust_domain: true,
    expired: true,
    not_yet_valid: true,
    key_usage: true,
    chain: true,
    hops: true,
    issuer: true,
    audience: true,
    type: true,
    algorithm: true,
    key: true,
    signature: true,
    claims: true,
    binding: true,
    revoked: true,
    age: true,
    conflict: true,
    missing: true,
    not_allowed: true,
    unavailable: true,
  } satisfies Record<EvidenceCause, true>),
);

/** What else of a stage's refusal the closed table does not give; `undefined`: nothing. */
export function refusalProblem(record: DecisionRecord, reason: DenyReason): Difference | undefined {
  const { stage, cause } = record;
  const stages: readonly string[] = stagesOf(reason);
  if (!stages.includes(stage)) return { field: 'stage', recorded: stage, replayed: stages.join(' or ') };
  if (hasInputs(record) && !mayHaveInputs(stage, reason))
    return { field: 'stage', recorded: stage, replayed: 'evaluate, for the record has a question' };
  if (cause === undefined || isCause(cause, reason)) return undefined;
  return { field: 'cause', recorded: said(cause), replayed: causeOf(reason) ?? 'none' };
}

function stagesOf(reason: DenyReason): readonly Stage[] {
  return STAGES_OF[reason] ?? (FAULT_REASONS.has(reason) ? ANY : ['authenticate']);
}

/** Whether a record holds anything that there is only once there is a question. */
function hasInputs({ principal, question, context, entities, engine, cache }: DecisionRecord): boolean {
  return [principal, question, context, entities, engine, cache].some((member) => member !== undefined);
}

/** A check can be interrupted between `bind` and `evaluate`, too. */
function mayHaveInputs(stage: string, reason: DenyReason): boolean {
  return (
    stage === 'evaluate' || (stage === 'bind' && (reason === 'cancelled' || reason === 'deadline_exceeded'))
  );
}

function isCause(cause: unknown, reason: DenyReason): boolean {
  const usual = causeOf(reason) ?? (FAULT_REASONS.has(reason) ? 'unavailable' : undefined);
  return cause === usual || (OF_SEVERAL.has(reason) && CAUSES.has(cause));
}
