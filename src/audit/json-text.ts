/** Printable ASCII without `"` and `\`: text that JSON needs no escapes for. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** A JSON string. Control characters and lone surrogates come out escaped. */
export function quote(text: string): string {
  return text.length < 64 && PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** A JSON string of at most `max` UTF-16 units; a longer one ends in `…`. */
export function quoteCapped(text: string, max: number): string {
  return quote(text.length <= max ? text : `${text.slice(0, max)}…`);
}

/** A JSON string, capped, or `null`. */
export function textOrNull(text: string | undefined, max: number): string {
  return text === undefined ? 'null' : quoteCapped(text, max);
}

/** An integer, or `null` where there is none: records hold no floats. */
export function numberOrNull(value: number | undefined): string {
  if (value === undefined) return 'null';
  const rounded = Math.round(value);
  return Number.isSafeInteger(rounded) ? String(rounded) : 'null';
}

/** A JSON array of the first `max` items. */
export function list<T>(items: readonly T[], max: number, text: (item: T) => string): string {
  if (items.length === 0) return '[]';
  const shown = items.length <= max ? items : items.slice(0, max);
  return `[${shown.map((item) => text(item)).join(',')}]`;
}

/** RFC 3339 in UTC with milliseconds. An impossible clock is written as the epoch rather than failing the record. */
export function timestampText(unixMs: number): string {
  return new Date(Number.isFinite(unixMs) && Math.abs(unixMs) <= 8.64e15 ? unixMs : 0).toISOString();
}
