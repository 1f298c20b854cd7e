import type { LeftOutAttributes } from '../../pdp/attribute.ts';
import type { Decision } from '../../pdp/decision.ts';
import { type EntityUid, uidText } from '../../pdp/evaluation.ts';
import {
  type DeviceIdentity,
  type Identities,
  type ProvenBefore,
  type VerifiedToken,
  type WorkloadIdentity,
  isMutualTls,
} from '../../pdp/identity.ts';
import { evidenceProblem } from '../../pdp/refused-evidence.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { capped, cappedOrNull, integerOrNull, timestampText } from './json-value.ts';

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
  readonly cluster?: string | undefined;
  readonly region?: string | undefined;
  /** The HTTP status that the PEP's client gets for a decision. */
  readonly httpStatus: (decision: Decision) => number;
}

/** How much a line may hold; tried in this order until the line fits {@link MAX_LINE_BYTES}. */
interface Limits {
  /** UTF-16 units of a string that comes from outside. */
  readonly text: number;
  readonly path: number;
  readonly items: number;
  /** Whether context and entities are in the line. */
  readonly inputs: boolean;
}

const FULL: Limits = { text: 2048, path: 8192, items: 256, inputs: true };
const SHORTER: readonly Limits[] = [
  { ...FULL, inputs: false },
  { text: 192, path: 192, items: 16, inputs: false },
];

/**
 * One line of the decision log, without line feed, for one answer, up to the index, which the writer assigns.
 *
 * Built from an allow list of typed fields in a fixed order: there is no path from headers, bodies, query strings or token
 * text to it. Absent values are `null`, so that every record has every field; `policy_errors`, `truncated`, `cause`, `evidence` and what few
 * requests have of further workloads are there only where they say something.
 */
export function recordHead(log: string): string {
  return `{"v":${RECORD_VERSION},"kind":"decision","log":${JSON.stringify(log)},"index":`;
}

/** The line after the index. */
export function recordTail(trace: DecisionTrace, options: RecordOptions): string {
  let json = JSON.stringify(fields(trace, options, FULL, longerThan(trace, FULL)));
  for (const limits of SHORTER) {
    if (fits(json)) break;
    json = JSON.stringify(fields(trace, options, limits, true));
  }
  return `,${json.slice(1)}`;
}

/** Leaves room for the head; a UTF-16 unit is at most three bytes, so that most lines need no counting. */
function fits(json: string): boolean {
  const room = MAX_LINE_BYTES - 1024;
  return json.length * 3 <= room || Buffer.byteLength(json) <= room;
}

/** Whether something that replay needs is cut even in a full record. */
function longerThan({ cedar, decision }: DecisionTrace, { text, items }: Limits): boolean {
  if (decision.policies.length > items) return true;
  const long = (uid: EntityUid) => uid.id.length > text - 100 && uidText(uid).length > text;
  return cedar !== undefined && (long(cedar.principal) || long(cedar.action) || long(cedar.resource));
}

/** The members of a record after `index`. A literal of its own keeps their order; `undefined` ones are left out. */
function fields(trace: DecisionTrace, options: RecordOptions, limits: Limits, truncated: boolean): object {
  const { decision, identities, canonical, cedar, cache, pep } = trace;
  const { text } = limits;
  const proven = identities ?? trace.refused?.proven;
  const http = trace.request?.http;
  const errors = trace.evaluation?.errors;
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
    message: decision.verdict === 'deny' ? cappedOrNull(decision.message, text) : null,
    detail: decision.verdict === 'deny' ? cappedOrNull(decision.detail, text) : null,
    // What was wrong with the evidence that was refused, and its fingerprint.
    cause: evidenceProblem(trace)?.cause,
    evidence: decision.verdict === 'deny' ? decision.evidence : undefined,
    policies: firstOf(decision.policies, limits),
    policy_errors: errors === undefined || errors.length === 0 ? undefined : firstOf(errors, limits),
    stage: trace.stage,
    surface: trace.surface,
    ...workloads(proven, limits),
    method: cappedOrNull(canonical?.method ?? http?.method, 64),
    path: cappedOrNull(canonical?.path, limits.path),
    path_raw: http === undefined ? null : rawPath(http.path, canonical?.path, Math.min(1024, limits.path)),
    // A host that was refused may carry credentials before its '@'.
    host: cappedOrNull(canonical?.host ?? http?.host.replace(/^.*@/s, ''), 512),
    user: cappedOrNull(proven?.user?.id, text),
    device: device(proven?.device, trace.postureLeftOut, limits),
    token: token(proven, text),
    principal: cedar === undefined ? null : capped(uidText(cedar.principal), text),
    action: cedar === undefined ? null : capped(uidText(cedar.action), text),
    resource: cedar === undefined ? null : capped(uidText(cedar.resource), text),
    binding: cappedOrNull(trace.route?.id, text),
    // The question as the engine got it, so that it can be asked again.
    context: cedar === undefined || !limits.inputs ? null : cedar.context,
    entities: cedar === undefined || !limits.inputs ? null : cedar.entities,
    pip: pip(trace, limits),
    snapshot: cappedOrNull(decision.snapshot ?? trace.snapshot?.digest, text),
    engine: options.engine,
    cache:
      cache?.hit === true ? { hit: true, of: cache.of, age_ms: integerOrNull(cache.ageMs) } : (cache ?? null),
    http_status: integerOrNull(options.httpStatus(decision)),
    pep: { address: pep.address, spiffe_id: pep.workload?.id, application: pep.application?.id },
    trace_id: cappedOrNull(trace.trace?.traceId, 64),
    span_id: cappedOrNull(trace.trace?.spanId, 64),
    request_id: cappedOrNull(trace.requestId, text),
    cluster: options.cluster ?? null,
    region: options.region ?? null,
    latency_us: integerOrNull(trace.latencyUs),
    truncated: truncated ? true : undefined,
  };
}

function asserted(
  { asked, request, explained }: DecisionTrace,
  limits: Limits,
): readonly string[] | undefined {
  if (asked) return firstOf(asked.asserted, limits).map((name) => capped(name, limits.text));
  return explained && request ? ['request'] : undefined;
}

function firstOf(items: readonly string[], { items: max }: Limits): readonly string[] {
  return items.length <= max ? items : items.slice(0, max);
}

/** Also what was proven before other evidence was refused. */
type Proven = Identities | ProvenBefore;

function workloads(identities: Proven | undefined, limits: Limits): object {
  const { origin, claimedSources, certificate, destination } = identities ?? {};
  const { text } = limits;
  return {
    source_identity: source(identities, text),
    origin_identity: origin && { ...workload(origin, text), evidence: origin.evidence },
    claimed_sources: claimedSources && firstOf(claimedSources, limits).map((name) => capped(name, text)),
    source_certificate: certificate && capped(certificate.fingerprint, text),
    destination_identity: workload(destination, text),
    // As policies see it: the source proved a SPIFFE ID by mutual TLS.
    mtls: identities === undefined ? null : isMutualTls(identities.source),
  };
}

function source(identities: Proven | undefined, max: number): object | null {
  const { source: proven, certificate } = identities ?? {};
  if (proven === undefined) return null;
  // The certificate of the connection says nothing about the bearer of a token.
  const issuer = isMutualTls(proven) ? certificate?.issuer : undefined;
  return {
    ...workload(proven, max),
    evidence: proven.evidence,
    certificate_issuer: issuer === undefined ? undefined : capped(issuer, max),
  };
}

function workload(identity: WorkloadIdentity | undefined, max: number): object | null {
  if (identity === undefined) return null;
  return {
    spiffe_id: capped(identity.id, max),
    trust_domain: capped(identity.trustDomain, max),
    namespace: identity.namespace === undefined ? undefined : capped(identity.namespace, max),
    service_account: identity.serviceAccount === undefined ? undefined : capped(identity.serviceAccount, max),
  };
}

/**
 * A raw path without anything that carries parameters or credentials: cut at the first `?`, `#` or `;`, plain or percent
 * encoded (also twice), and without the userinfo of an absolute-form target.
 */
function rawPath(raw: string, canonical: string | undefined, max: number): string {
  if (raw === canonical) return capped(raw, max);
  const end = raw.search(/[?#;]|%(?:25)*(?:3[BbFf]|23)/);
  const path = end === -1 ? raw : raw.slice(0, end);
  return capped(path.startsWith('/') ? path : path.replace(/\/\/[^/]*@/, '//'), max);
}

function device(
  identity: DeviceIdentity | undefined,
  postureLeftOut: LeftOutAttributes | undefined,
  limits: Limits,
): object | null {
  if (identity === undefined) return null;
  const { id, evidence, observedAt } = identity;
  return {
    id: capped(id, limits.text),
    evidence,
    observed_at: integerOrNull(observedAt),
    left_out: postureLeftOut && leftOut(postureLeftOut, limits),
  };
}

function token(identities: Proven | undefined, max: number): object | null {
  if (identities === undefined) return null;
  const { tokenState: state, user } = identities;
  if (user === undefined) return { state };
  return {
    issuer: capped(user.token.issuer, max),
    sub: capped(user.token.subject, max),
    kid: cappedOrNull(user.token.keyId, max),
    alg: capped(user.token.algorithm, 64),
    jti: cappedOrNull(user.token.tokenId, max),
    iat: integerOrNull(user.token.issuedAt),
    exp: integerOrNull(user.token.expiresAt),
    state,
    // What the sender has proven to hold, and who acts for the user: only where the token says so.
    bound: boundTo(user.token),
    act: user.token.actors?.slice(0, 8).map((actor) => capped(actor, max)),
  };
}

function boundTo({ confirmation }: VerifiedToken): readonly string[] | undefined {
  if (confirmation === undefined) return undefined;
  const { certificate, key } = confirmation;
  return [...(certificate === undefined ? [] : ['certificate']), ...(key === undefined ? [] : ['dpop'])];
}

/** Where the facts came from and how old they were, and what was left out. Not what they said: that is in `entities`. */
function pip({ facts, omissions = [], receivedAt }: DecisionTrace, limits: Limits): readonly object[] | null {
  if (facts === undefined) return null;
  const { items, text } = limits;
  const found = facts.slice(0, items).map((fact) => ({
    source: capped(fact.source, text),
    subject: fact.subject,
    status: fact.status,
    observed_at: integerOrNull(fact.observedAt),
    age_ms: integerOrNull(Math.max(0, receivedAt - fact.observedAt)),
    // That the source did not say when it observed; that it is past its freshness; that a security event said so.
    assumed: fact.assumed,
    stale: fact.stale,
    event: fact.event,
    left_out: fact.leftOut && leftOut(fact.leftOut, limits),
  }));
  if (omissions.length === 0) return found;
  const left = omissions.slice(0, items).map((omission) => ({
    source: capped(omission.source, text),
    subject: omission.subject,
    status: omission.status,
    left_out: leftOut(omission.leftOut, limits),
  }));
  return [...found, ...left];
}

/** What was not used, by attribute, and why. */
function leftOut(attributes: LeftOutAttributes, { items, text }: Limits): LeftOutAttributes {
  const listed = Object.entries(attributes).slice(0, items);
  return Object.fromEntries(listed.map(([name, why]) => [capped(name, text), why]));
}
