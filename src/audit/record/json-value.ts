/** Text of at most `max` UTF-16 units; a longer one ends in `…`. */
export function capped(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}

/** Text, capped, where there is one. */
export function cappedOrAbsent(text: string | undefined, max: number): string | undefined {
  return text === undefined ? undefined : capped(text, max);
}

/** An integer, where there is one: records hold no floats. */
export function integerOrAbsent(value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  const rounded = Math.round(value);
  return Number.isSafeInteger(rounded) ? rounded : undefined;
}

/** RFC 3339 in UTC with milliseconds. An impossible clock is written as the epoch rather than failing the record. */
export function timestampText(unixMs: number): string {
  if (unixMs !== lastMs) {
    lastText = isoText(unixMs);
    lastMs = unixMs;
  }
  return lastText;
}

// Many records are of the same millisecond.
let lastMs = Number.NaN;
let lastText = '';

function isoText(unixMs: number): string {
  return new Date(Number.isFinite(unixMs) && Math.abs(unixMs) <= 8.64e15 ? unixMs : 0).toISOString();
}
