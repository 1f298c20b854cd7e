import type { TraceContext } from '../pdp/access-request.ts';

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/** Reads a `traceparent` value (W3C Trace Context §3.2); `undefined` where it is absent or not valid, as the standard asks. */
export function parseTraceparent(value: string | undefined): TraceContext | undefined {
  if (value === undefined) return undefined;
  const [, version, traceId, spanId, more] = TRACEPARENT.exec(value) ?? [];
  // Version 00 ends after the flags; what later versions add behind them is not ours to read.
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId))
    return undefined;
  return { traceId, spanId };
}
