import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { DenyReason } from '../../pdp/decision.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { STATUS } from '../status.ts';

/** What an RPC ends with where there is nothing to decide. */
export interface RpcError {
  /** google.rpc.Code. */
  readonly code: number;
  /** In words for the caller. */
  readonly details: string;
  /** Id of the record. */
  readonly decisionId: string;
}

/** The reasons that say that there was no question, or none that the caller may ask. */
const ERRORS: { readonly [reason in DenyReason]?: number } = {
  request_malformed: status.INVALID_ARGUMENT,
  caller_not_allowed: status.PERMISSION_DENIED,
};

/**
 * The error that a decision comes to; `undefined`: it is an answer. A question about an HTTP request that was read has an answer.
 * `unauthenticated`: other credentials of the caller might help.
 */
export function rpcErrorOf(
  { id, decision, request }: DecisionTrace,
  unauthenticated: boolean,
): RpcError | undefined {
  const code = decision.verdict === 'deny' && !request ? ERRORS[decision.reason] : undefined;
  if (decision.verdict !== 'deny' || code === undefined) return undefined;
  const details = decision.detail ?? STATUS[decision.reason].message;
  const isNobody = unauthenticated && decision.reason === 'caller_not_allowed';
  return { code: isNobody ? status.UNAUTHENTICATED : code, details, decisionId: id };
}

/** A batch that is none has no items to answer; one that comes when there is no room is turned away as a whole. */
export function batchErrorOf(trace: DecisionTrace, unauthenticated: boolean): RpcError {
  const { decision, id } = trace;
  const code = decision.reason === 'overloaded' ? status.RESOURCE_EXHAUSTED : status.UNAVAILABLE;
  return rpcErrorOf(trace, unauthenticated) ?? { code, details: decision.reason, decisionId: id };
}

/** The error as grpc-js sends it. The id of the record goes with the error, for whoever has to find out. */
export function serviceErrorOf({ code, details, decisionId: id }: RpcError): Partial<ServiceError> {
  const metadata = new Metadata();
  metadata.set('x-pdp-decision-id', id);
  return { code, details, metadata };
}
