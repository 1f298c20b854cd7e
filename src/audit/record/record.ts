import type { Decision } from '../../pdp/decision.ts';
import { uidText } from '../../pdp/evaluation.ts';
import { evidenceProblem } from '../../pdp/refused-evidence.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import type { Blob } from './blob.ts';
import { pip } from './facts.ts';
import { type Inputs, inputsOf } from './inputs.ts';
import { capped, cappedOrAbsent, integerOrAbsent, timestampText } from './json-value.ts';
import { FULL, type Limits, SHORTER, firstOf } from './limits.ts';
import { device, token, workloads } from './parties.ts';
import { rawPath } from './raw-path.ts';
import type { RecordFields, RecordPrivacy } from './record-privacy.ts';

/** Version of the record format: the `v` of every line. */
export const RECORD_VERSION = 1;

/** Longest line in bytes without its line feed: what a C2SP entry bundle can hold. */
export const MAX_LINE_BYTES = 65_535;

/** What a record holds beside the trace. */
export interface RecordOptions {
  /** Origin name of the log. */
  readonly log: string;
  /** Name and version of the engine that evaluates. */
  readonly engine: string;
  /** Whether users can authenticate here at all. */
  readonly acceptsTokens: boolean;
  readonly cluster?: string | undefined;
  readonly region?: string | undefined;
  /** The HTTP status that the PEP's client gets for a decision. */
  readonly httpStatus: (decision: Decision) => number;
  /** Absent: names are in clear. */
  readonly privacy?: RecordPrivacy | undefined;
}

/** A record on its way to the log. */
export interface RecordParts {
  /** The line after the index. */
  readonly tail: string;
  /** What the line refers to by digest. */
  readonly blobs: readonly Blob[];
}

/**
 * One line of the decision log, without line feed, for one answer, up to the index, which the writer assigns.
 *
 * Built from an allow list of typed fields in a fixed order: there is no path from headers, bodies, query strings or token
 * text to it. A field that has nothing to say is not there.
 */
export function recordHead(log: string): string {
  return `{"v":${RECORD_VERSION},"kind":"decision","log":${JSON.stringify(log)},"index":`;
}

/** The line after the index, and what it refers to. */
export function recordParts(trace: DecisionTrace, options: RecordOptions): RecordParts {
  const whole = partsWithin(trace, options, FULL);
  const { tail, blobs } = fits(whole.tail) ? whole : partsWithin(trace, options, SHORTER);
  return { tail: `,${tail.slice(1)}`, blobs };
}

function partsWithin(trace: DecisionTrace, options: RecordOptions, limits: Limits): RecordParts {
  const hidden = options.privacy?.of(trace);
  const inputs = inputsOf(trace, limits, hidden);
  const said = fields(trace, options, inputs, limits);
  const { fields: line, blobs } = hidden?.line(said) ?? { fields: said, blobs: [] };
  return { tail: JSON.stringify(line), blobs: [...inputs.blobs, ...blobs] };
}

/** Leaves room for the head; a UTF-16 unit is at most three bytes, so that most lines need no counting. */
function fits(json: string): boolean {
  const room = MAX_LINE_BYTES - 1024;
  return json.length * 3 <= room || Buffer.byteLength(json) <= room;
}

/** The members of a record after `index`. A literal of its own keeps their order; `undefined` ones are left out. */
function fields(trace: DecisionTrace, options: RecordOptions, inputs: Inputs, limits: Limits): RecordFields {
  const { decision, identities, canonical, cedar, cache, pep } = trace;
  const { text } = limits;
  const proven = identities ?? trace.refused?.proven;
  const http = trace.request?.http;
  const errors = trace.evaluation?.errors;
  const reused = cache?.hit === true;
  return {
    decision_id: trace.id,
    timestamp: timestampText(trace.receivedAt),
    decision: decision.verdict === 'permit' ? 'ALLOW' : 'DENY',
    enforced: trace.enforced ?? !(decision.verdict === 'deny' && decision.enforced === false),
    shadow_of: trace.shadowOf,
    // An explanation was asked for; nobody acts on the decision.
    explained: trace.explained,
    batch: trace.batch,
    // What only the caller says, where it may: names, never values.
    asserted: asserted(trace, limits),
    reason: decision.reason,
    // What the client was told, and what only operators are.
    message: decision.verdict === 'deny' ? cappedOrAbsent(decision.message, text) : undefined,
    detail: decision.verdict === 'deny' ? cappedOrAbsent(decision.detail, text) : undefined,
    // What was wrong with the evidence that was refused, and its fingerprint.
    cause: evidenceProblem(trace)?.cause,
    evidence: decision.verdict === 'deny' ? decision.evidence : undefined,
    policies: firstOf(decision.policies, limits),
    policy_errors: errors === undefined || errors.length === 0 ? undefined : firstOf(errors, limits),
    stage: trace.stage,
    surface: trace.surface,
    ...workloads(proven, limits),
    method: cappedOrAbsent(canonical?.method ?? http?.method, 64),
    path: cappedOrAbsent(canonical?.path, limits.path),
    path_raw: http && rawPath(http.path, canonical?.path, Math.min(1024, limits.path)),
    // A host that was refused may carry credentials before its '@'.
    host: cappedOrAbsent(canonical?.host ?? http?.host.replace(/^.*@/s, ''), 512),
    user: cappedOrAbsent(proven?.user?.id, text),
    device: device(proven?.device, trace.postureLeftOut, limits),
    token: token(proven, text),
    ...terms(trace, limits),
    binding: cappedOrAbsent(trace.route?.id, text),
    question: inputs.question,
    context: inputs.context,
    entities: inputs.entities,
    pip: reused ? undefined : pip(trace, limits),
    // Without any identity the answer depends on whether there is a way to give one.
    accepts_tokens: isAnonymous(trace) ? options.acceptsTokens : undefined,
    snapshot: cappedOrAbsent(decision.snapshot ?? trace.snapshot?.digest, text),
    engine: cedar && !reused ? options.engine : undefined,
    cache: reused ? { hit: true, of: cache.of, age_ms: integerOrAbsent(cache.ageMs) } : cache,
    http_status: integerOrAbsent(options.httpStatus(decision)),
    pep: { address: pep.address, spiffe_id: pep.workload?.id, application: pep.application?.id },
    trace_id: cappedOrAbsent(trace.trace?.traceId, 64),
    span_id: cappedOrAbsent(trace.trace?.spanId, 64),
    request_id: cappedOrAbsent(trace.requestId, text),
    cluster: options.cluster,
    region: options.region,
    latency_us: integerOrAbsent(trace.latencyUs),
    // Policies that decided are missing: what a replay gives cannot be compared.
    truncated: decision.policies.length > limits.items || (errors?.length ?? 0) > limits.items || undefined,
  };
}

/** The question in Cedar's terms. Where the default binding made it of the fields before, an answer that is reused need not repeat it. */
function terms({ cedar, cache, route, asked }: DecisionTrace, { text }: Limits): object {
  if (!cedar || (cache?.hit === true && !route && !asked)) return {};
  return {
    principal: capped(uidText(cedar.principal), text),
    action: capped(uidText(cedar.action), text),
    resource: capped(uidText(cedar.resource), text),
  };
}

function isAnonymous({ cedar, identities, asked }: DecisionTrace): boolean {
  return cedar !== undefined && !identities?.user && !identities?.source && !asked?.subject;
}

function asserted(
  { asked, request, explained }: DecisionTrace,
  limits: Limits,
): readonly string[] | undefined {
  if (asked) return firstOf(asked.asserted, limits).map((name) => capped(name, limits.text));
  return explained && request ? ['request'] : undefined;
}
