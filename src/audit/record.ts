import type { DeviceIdentity, UserIdentity, WorkloadIdentity } from '../pdp/identity.ts';
import type { CacheProvenance, DecisionTrace } from '../pdp/trace.ts';
import type { Decision } from '../pdp/decision.ts';
import type { EntityUid } from '../pdp/evaluation.ts';
import { list, numberOrNull, quote, quoteCapped, textOrNull, timestampText } from './json-text.ts';

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

const LIMITS: readonly [Limits, ...Limits[]] = [
  { text: 2048, path: 8192, items: 256, inputs: true },
  { text: 2048, path: 8192, items: 256, inputs: false },
  { text: 192, path: 192, items: 16, inputs: false },
];

/**
 * One line of the decision log, without line feed, for one answer (design §9).
 *
 * Built from an allow list of typed fields in a fixed order: there is no path from headers, bodies, query strings or token
 * text to it. Absent values are `null`, so that every record has every field; `policy_errors` and `truncated` are there only
 * where they say something.
 */
export function recordLine(trace: DecisionTrace, options: RecordOptions, index = 0): string {
  return recordHead(options.log) + index + recordTail(trace, options);
}

/** The line up to the index, which the writer assigns. */
export function recordHead(log: string): string {
  return `{"v":${RECORD_VERSION},"kind":"decision","log":${quote(log)},"index":`;
}

/** The line after the index. */
export function recordTail(trace: DecisionTrace, options: RecordOptions): string {
  let tail = '';
  for (const limits of LIMITS) {
    tail = tailWithin(trace, options, limits, limits !== LIMITS[0]);
    if (fits(tail)) break;
  }
  return tail;
}

/** Leaves room for the head; a UTF-16 unit is at most three bytes, so that most lines need no counting. */
function fits(tail: string): boolean {
  const room = MAX_LINE_BYTES - 1024;
  return tail.length * 3 <= room || Buffer.byteLength(tail) <= room;
}

function tailWithin(
  trace: DecisionTrace,
  options: RecordOptions,
  limits: Limits,
  shortened: boolean,
): string {
  const { decision } = trace;
  const truncated = shortened || decision.policies.length > limits.items || longUids(trace, limits);
  return (
    `,"decision_id":${quote(trace.id)}` +
    `,"timestamp":"${timestampText(trace.receivedAt)}"` +
    decisionFields(trace, limits) +
    identityFields(trace, limits) +
    requestFields(trace, limits) +
    subjectFields(trace, limits) +
    questionFields(trace, limits) +
    pipField(trace, limits) +
    `,"snapshot":${textOrNull(decision.snapshot ?? trace.snapshot?.digest, limits.text)}` +
    `,"engine":${quote(options.engine)}` +
    `,"cache":${trace.cache === undefined ? 'null' : cacheText(trace.cache)}` +
    `,"http_status":${numberOrNull(options.httpStatus(decision))}` +
    originFields(trace, limits) +
    `,"cluster":${textOrNull(options.cluster, limits.text)}` +
    `,"region":${textOrNull(options.region, limits.text)}` +
    `,"latency_us":${numberOrNull(trace.latencyUs)}` +
    (truncated ? ',"truncated":true}' : '}')
  );
}

function decisionFields(trace: DecisionTrace, limits: Limits): string {
  const { decision } = trace;
  const errors = trace.evaluation?.errors ?? [];
  return (
    `,"decision":"${decision.verdict === 'permit' ? 'ALLOW' : 'DENY'}"` +
    // Nothing evaluates in shadow yet: every decision is applied by the PEP.
    ',"enforced":true' +
    `,"reason":"${decision.reason}"` +
    `,"detail":${textOrNull(decision.verdict === 'deny' ? decision.detail : undefined, limits.text)}` +
    `,"policies":${list(decision.policies, limits.items, quote)}` +
    (errors.length === 0 ? '' : `,"policy_errors":${list(errors, limits.items, quote)}`) +
    `,"stage":"${trace.stage}"` +
    `,"surface":"${trace.surface}"`
  );
}

function identityFields(trace: DecisionTrace, limits: Limits): string {
  const source = trace.request?.source;
  return (
    `,"source_identity":${workloadText(trace.identities?.source, limits)}` +
    `,"destination_identity":${workloadText(trace.identities?.destination, limits)}` +
    // The PEP's word that it authenticated the client's certificate; `null` where there is no request to speak of.
    `,"mtls":${source === undefined ? 'null' : String(source.principal !== '' || source.certificate !== '')}`
  );
}

function workloadText(workload: WorkloadIdentity | undefined, limits: Limits): string {
  if (workload === undefined) return 'null';
  return (
    `{"spiffe_id":${quoteCapped(workload.id, limits.text)}` +
    `,"trust_domain":${quoteCapped(workload.trustDomain, limits.text)}` +
    (workload.namespace === undefined ? '' : `,"namespace":${quoteCapped(workload.namespace, limits.text)}`) +
    (workload.serviceAccount === undefined
      ? '}'
      : `,"service_account":${quoteCapped(workload.serviceAccount, limits.text)}}`)
  );
}

function requestFields(trace: DecisionTrace, limits: Limits): string {
  const { canonical } = trace;
  const http = trace.request?.http;
  const raw =
    http === undefined ? undefined : http.path === canonical?.path ? http.path : pathOnly(http.path);
  return (
    `,"method":${textOrNull(canonical?.method ?? http?.method, 64)}` +
    `,"path":${textOrNull(canonical?.path, limits.path)}` +
    `,"path_raw":${textOrNull(raw, Math.min(1024, limits.path))}` +
    `,"host":${textOrNull(canonical?.host ?? http?.host, 512)}`
  );
}

/**
 * A raw path without anything that carries parameters or credentials: cut at the first `?`, `#` or `;`, plain or percent
 * encoded (also twice), and without the userinfo of an absolute-form target.
 */
function pathOnly(raw: string): string {
  const end = raw.search(/[?#;]|%(?:25)*(?:3[BbFf]|23)/);
  const path = end === -1 ? raw : raw.slice(0, end);
  return path.startsWith('/') ? path : path.replace(/\/\/[^/]*@/, '//');
}

function subjectFields(trace: DecisionTrace, limits: Limits): string {
  const { identities } = trace;
  return (
    `,"user":${textOrNull(identities?.user?.id, limits.text)}` +
    `,"device":${identities?.device === undefined ? 'null' : deviceText(identities.device, limits)}` +
    `,"token":${identities === undefined ? 'null' : tokenText(identities.tokenState, identities.user, limits)}`
  );
}

function deviceText(device: DeviceIdentity, limits: Limits): string {
  const id = quoteCapped(device.id, limits.text);
  return `{"id":${id},"evidence":"${device.evidence}","observed_at":${numberOrNull(device.observedAt)}}`;
}

function tokenText(state: string, user: UserIdentity | undefined, limits: Limits): string {
  if (user === undefined) return `{"state":"${state}"}`;
  const { token } = user;
  return (
    `{"state":"${state}"` +
    `,"issuer":${quoteCapped(token.issuer, limits.text)}` +
    `,"sub":${quoteCapped(token.subject, limits.text)}` +
    `,"kid":${textOrNull(token.keyId, limits.text)}` +
    `,"alg":${quoteCapped(token.algorithm, 64)}` +
    `,"jti":${textOrNull(token.tokenId, limits.text)}` +
    `,"iat":${numberOrNull(token.issuedAt)}` +
    `,"exp":${numberOrNull(token.expiresAt)}}`
  );
}

/** The question as the engine got it, so that it can be asked again. */
function questionFields(trace: DecisionTrace, limits: Limits): string {
  const { cedar } = trace;
  if (cedar === undefined) {
    return ',"principal":null,"action":null,"resource":null,"context":null,"entities":null';
  }
  return (
    `,"principal":${uidField(cedar.principal, limits.text)}` +
    `,"action":${uidField(cedar.action, limits.text)}` +
    `,"resource":${uidField(cedar.resource, limits.text)}` +
    `,"context":${limits.inputs ? JSON.stringify(cedar.context) : 'null'}` +
    `,"entities":${limits.inputs ? JSON.stringify(cedar.entities) : 'null'}`
  );
}

/** `Type::"id"` as a JSON string: the inner quotes are escaped. */
function uidField(uid: EntityUid, max: number): string {
  const id = quoteCapped(uid.id, max);
  // Text that needed no escapes needs none the second time, which is the common case by far.
  return id.includes('\\') ? quote(`${uid.type}::${id}`) : `"${uid.type}::\\"${id.slice(1, -1)}\\""`;
}

function longUids({ cedar }: DecisionTrace, { text }: Limits): boolean {
  if (cedar === undefined) return false;
  return cedar.principal.id.length > text || cedar.action.id.length > text || cedar.resource.id.length > text;
}

function pipField(trace: DecisionTrace, limits: Limits): string {
  if (trace.facts === undefined) return ',"pip":null';
  const facts = list(trace.facts, limits.items, (fact) => {
    const age = Math.max(0, trace.receivedAt - fact.observedAt);
    const source = `{"source":${quoteCapped(fact.source, limits.text)},"subject":"${fact.subject}"`;
    return `${source},"status":"${fact.status}","observed_at":${numberOrNull(fact.observedAt)},"age_ms":${numberOrNull(age)}}`;
  });
  const omissions = trace.omissions ?? [];
  if (omissions.length === 0) return `,"pip":${facts}`;
  const omitted = list(
    omissions,
    limits.items,
    (omission) =>
      `{"source":${quoteCapped(omission.source, limits.text)},"subject":"${omission.subject}","status":"omitted"}`,
  );
  return `,"pip":${facts === '[]' ? omitted : `${facts.slice(0, -1)},${omitted.slice(1)}`}`;
}

function cacheText(cache: CacheProvenance): string {
  if (!cache.hit) return '{"hit":false}';
  return `{"hit":true,"of":${quote(cache.of)},"age_ms":${numberOrNull(cache.ageMs)}}`;
}

function originFields(trace: DecisionTrace, limits: Limits): string {
  const { pep } = trace;
  const spiffeId = pep.spiffeId === undefined ? '' : `,"spiffe_id":${quoteCapped(pep.spiffeId, limits.text)}`;
  return (
    `,"pep":{"address":${quoteCapped(pep.address, limits.text)}${spiffeId}}` +
    `,"trace_id":${textOrNull(trace.trace?.traceId, 64)}` +
    `,"span_id":${textOrNull(trace.trace?.spanId, 64)}` +
    `,"request_id":${textOrNull(trace.requestId, limits.text)}`
  );
}
