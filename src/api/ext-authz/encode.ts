import type protobuf from 'protobufjs';
import { type Decision, type Deny, FAULT_REASONS, letsThrough } from '../../pdp/decision.ts';
import { STATUS } from '../status.ts';
import { problemDetails, wwwAuthenticate } from '../problem.ts';

/** How answers are shaped. */
export interface EncodeOptions {
  /** `realm` of challenges. */
  readonly realm: string;
  /** Algorithms of the DPoP proofs that are accepted; absent where none are. */
  readonly dpopAlgorithms?: readonly string[];
  /** Answer our own faults as `error_response`, which Envoy's `failure_mode_allow` applies to. Off: a fault is a deny. */
  readonly faultsAsError: boolean;
  /** Lower-case name of the header that only our signed identity goes upstream in; absent: there is none. */
  readonly identityHeader?: string;
}

const OVERWRITE = 2;
const PERMISSION_DENIED = 7;

/** Upstream and downstream see this one; a client's own copy is overwritten. */
const DECISION_ID_HEADER = 'x-pdp-decision-id';

/** Seconds in which an overload may well be over (RFC 9110 §10.2.3). */
const RETRY_AFTER_S = '1';

const HEADERS_TO_REMOVE = underscoreTwins(DECISION_ID_HEADER);

/** The other spellings of a name (of at most six dashes) that a backend folding '_' to '-' would take for it. */
function underscoreTwins(name: string): string[] {
  const dashes = name.split('-').length - 1;
  return Array.from({ length: 2 ** dashes - 1 }, (_, index) => {
    let dash = 0;
    return name.replaceAll('-', () => (((index + 1) >> dash++) & 1 ? '_' : '-'));
  });
}

/**
 * Makes the encoder of ext_authz v3 answers.
 *
 * Envoy reads a status code of 0 as ALLOW, and 0 is what an empty message says: a permit is written only for a decision that says
 * so, everything else is PERMISSION_DENIED with an explicit denied response. Other codes would be no better: Envoy treats them all
 * as a deny, and an RPC error as a fault that `failure_mode_allow` applies to.
 */
export function createEncoder(
  type: protobuf.Type,
  options: EncodeOptions,
): (id: string, decision: Decision, identity?: string) => Buffer {
  const encode = (message: object) => type.encode(message).finish() as Buffer;
  const withIdentity = identityWriter(options.identityHeader);
  return (id, decision, identity) => {
    // The signed identity is for this one request, and ends before most decisions do.
    const reusable = identity === undefined;
    const metadata = { dynamicMetadata: dynamicMetadata(id, decision, reusable) };
    if (decision.verdict === 'permit' || letsThrough(decision)) {
      const okResponse = okResponseOf(id, withIdentity(decision, identity));
      return encode({ status: { code: 0 }, okResponse, ...metadata });
    }
    const denied = deniedResponse(id, decision, options);
    const asError = options.faultsAsError && FAULT_REASONS.has(decision.reason);
    const response = asError ? { errorResponse: denied } : { deniedResponse: denied };
    return encode({
      status: { code: PERMISSION_DENIED, message: decision.reason },
      ...response,
      ...metadata,
    });
  };
}

/**
 * Adds the signed identity to the headers of a permit. Everything else that is let through has the header taken out, whoever set
 * it: a policy does not speak in our name either.
 */
function identityWriter(name: string | undefined): (decision: Decision, identity?: string) => Decision {
  if (name === undefined) return (decision) => decision;
  return (decision, identity) => {
    const { upstreamHeaders = [], removedHeaders = [] } = decision;
    const others = upstreamHeaders.filter(([other]) => other !== name);
    const removed = removedHeaders.filter((other) => other !== name);
    return identity === undefined || decision.verdict !== 'permit'
      ? { ...decision, upstreamHeaders: others, removedHeaders: [...removed, name] }
      : { ...decision, upstreamHeaders: [...others, [name, identity]], removedHeaders: removed };
  };
}

/** Sets our headers over any copies of the client's; what policies may set and did not is taken out, in every spelling. */
function okResponseOf(id: string, { upstreamHeaders = [], removedHeaders = [] }: Decision): object {
  const twins = [...upstreamHeaders.map(([name]) => name), ...removedHeaders].flatMap(underscoreTwins);
  return {
    headers: [header(DECISION_ID_HEADER, id), ...upstreamHeaders.map(([name, value]) => header(name, value))],
    headersToRemove: [...HEADERS_TO_REMOVE, ...removedHeaders, ...twins],
  };
}

function deniedResponse(id: string, decision: Deny, { realm, dpopAlgorithms }: EncodeOptions): object {
  const status = STATUS[decision.reason];
  const challenge = wwwAuthenticate(decision, realm, dpopAlgorithms);
  const headers = [
    header('content-type', 'application/problem+json'),
    header('cache-control', 'no-store'),
    header(DECISION_ID_HEADER, id),
  ];
  if (challenge !== undefined) headers.push(header('www-authenticate', challenge));
  if (decision.reason === 'overloaded') headers.push(header('retry-after', RETRY_AFTER_S));
  return { status: { code: status.http }, headers, body: problemDetails(id, decision) };
}

/** Both fields are needed: Envoys up to 1.36 and 1.37.1 on read `append`, 1.37.0 read only `append_action`. */
function header(key: string, value: string): object {
  return { header: { key, value }, append: { value: false }, appendAction: OVERWRITE };
}

function dynamicMetadata(id: string, decision: Decision, reusable: boolean): object {
  const fields: Record<string, object> = {
    decision_id: text(id),
    decision: text(decision.verdict === 'permit' ? 'ALLOW' : 'DENY'),
    reason: text(decision.reason),
    policies: { listValue: { values: decision.policies.map(text) } },
  };
  if (decision.snapshot !== undefined) fields['snapshot'] = text(decision.snapshot);
  if (decision.verdict === 'deny' && decision.enforced === false) fields['enforced'] = { boolValue: false };
  if (reusable && decision.cacheableUntil !== undefined)
    fields['cacheable_until'] = { numberValue: decision.cacheableUntil };
  return { fields };
}

function text(stringValue: string): object {
  return { stringValue };
}
