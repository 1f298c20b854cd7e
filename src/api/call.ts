import type { Metadata } from '@grpc/grpc-js';
import type { Envelope } from '../pdp/trace.ts';
import type { HeaderFields } from '../pdp/header-fields.ts';
import { parseTraceparent } from './trace-context.ts';

/** What request ids look like; anything else may be a secret that somebody sent in the wrong header. */
const REQUEST_ID = /^[\w.:+/=-]+$/;
const MAX_REQUEST_ID_LENGTH = 128;

/**
 * What joins a check to other people's records. The caller's own trace context goes before that of the request it asks about, which
 * is further from us; the request id is that of `headers` where they have one.
 */
export function correlation(
  metadata: Metadata,
  headers?: HeaderFields,
): Pick<Envelope, 'trace' | 'requestId'> {
  return correlationOf((name) => metadata.get(name)[0]?.toString(), headers);
}

/** As {@link correlation}, by a look-up of the call's own header fields. */
export function correlationOf(
  own: (name: string) => string | undefined,
  headers?: HeaderFields,
): Pick<Envelope, 'trace' | 'requestId'> {
  const trace = parseTraceparent(own('traceparent')) ?? parseTraceparent(headers?.values('traceparent')[0]);
  const requestId = (headers ? headers.values('x-request-id')[0] : own('x-request-id')) ?? '';
  return {
    ...(trace && { trace }),
    ...(REQUEST_ID.test(requestId) && { requestId: requestId.slice(0, MAX_REQUEST_ID_LENGTH) }),
  };
}

/** Milliseconds that a call may take from `now` (Unix ms) on: ours, or less where the caller waits less. */
export function remainingMs(call: { getDeadline(): Date | number }, now: number, ours: number): number {
  const deadline = call.getDeadline();
  const callers = (typeof deadline === 'number' ? deadline : deadline.getTime()) - now;
  // A grpc-timeout may be absurd enough to give no date at all.
  return Number.isFinite(callers) ? Math.min(callers, ours) : ours;
}
