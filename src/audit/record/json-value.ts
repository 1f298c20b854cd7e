/** Text of at most `max` UTF-16 units; a longer one ends in `…`. */
export function capped(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}

/** Text, capped, or `null` where there is none. */
export function cappedOrNull(text: string | undefined, max: number): string | null {
  return text === undefined ? null : capped(text, max);
}

/** An integer, or `null` where there is none: records hold no floats. */
export function integerOrNull(value: number | undefined): number | null {
  if (value === undefined) return null;
  const rounded = Math.round(value);
  return Number.isSafeInteger(rounded) ? rounded : null;
}

/** RFC 3339 in UTC with milliseconds. An impossible clock is written as the epoch rather than failing the record. */
export function timestampText(unixMs: number): string {
  return new Date(Number.isFinite(unixMs) && Math.abs(unixMs) <= 8.64e15 ? unixMs : 0).toISOString();
}
