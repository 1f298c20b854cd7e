import type { Metadata } from '@grpc/grpc-js';
import type { Envelope } from '../pdp/trace.ts';
import { parseTraceparent } from './trace-context.ts';

/** What request ids look like; anything else may be a secret that somebody sent in the wrong header. */
const REQUEST_ID = /^[\w.:+/=-]+$/;
const MAX_REQUEST_ID_LENGTH = 128;

/** The header fields of a request that join it to other records. */
export interface HeaderValues {
  /** In order of arrival; `name` in lower case. */
  values(name: 'traceparent' | 'x-request-id'): readonly string[];
}

/**
 * What joins a check to other people's records. The caller's own trace context goes before that of the request it asks about, which
 * is further from us; the request id is that of `headers` where they have one.
 */
export function correlation(
  metadata: Metadata,
  headers?: HeaderValues,
): Pick<Envelope, 'trace' | 'requestId'> {
  return correlationOf((name) => metadata.get(name)[0]?.toString(), headers && joiningFields(headers));
}

/** What a request says of the records that it belongs to. */
export interface JoiningFields {
  readonly traceparent: string | undefined;
  readonly requestId: string | undefined;
}

/** Reads them. */
export function joiningFields(headers: HeaderValues): JoiningFields {
  return { traceparent: headers.values('traceparent')[0], requestId: headers.values('x-request-id')[0] };
}

/** As {@link correlation}, by a look-up of the call's own header fields; `asked`: those of the request that it asks about. */
export function correlationOf(
  own: (name: string) => string | undefined,
  asked?: JoiningFields,
): Pick<Envelope, 'trace' | 'requestId'> {
  const trace = parseTraceparent(own('traceparent')) ?? parseTraceparent(asked?.traceparent);
  const requestId = asked ? asked.requestId : own('x-request-id');
  return {
    ...(trace && { trace }),
    ...(requestId !== undefined &&
      REQUEST_ID.test(requestId) && { requestId: requestId.slice(0, MAX_REQUEST_ID_LENGTH) }),
  };
}

/** Milliseconds that a call may take from `now` (Unix ms) on: ours, or less where the caller's deadline (Unix ms, or a date) is nearer. */
export function remainingMs(deadline: Date | number, now: number, ours: number): number {
  const callers = (typeof deadline === 'number' ? deadline : deadline.getTime()) - now;
  // A grpc-timeout may be absurd enough to give no date at all.
  return Number.isFinite(callers) ? Math.min(callers, ours) : ours;
}
