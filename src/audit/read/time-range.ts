import { InputError } from '../../pdp/errors.ts';

/** Part of a log by the time of its records, in Unix ms. */
export interface TimeRange {
  /** Inclusive. */
  readonly from?: number | undefined;
  /** Exclusive. */
  readonly to?: number | undefined;
}

const TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** A time as people write it: `2026-11-22`, `2026-11-22T10:00`, `2026-11-22T10:00:00+01:00`; UTC where it names no zone. Throws `InputError`. */
export function parseTime(text: string, option: string): number {
  const [, zone] = TIME.exec(text) ?? [];
  const iso = text.replace(' ', 'T');
  const time = TIME.test(text)
    ? Date.parse(zone === undefined && text.length > 10 ? `${iso}Z` : iso)
    : Number.NaN;
  if (!Number.isNaN(time) && isOnCalendar(iso)) return time;
  const message = `'${text}' is no time; write 2026-11-22 or 2026-11-22T10:00:00Z (UTC where it names no zone)`;
  throw new InputError('bad usage:', [{ where: option, message }]);
}

/** `Date.parse` takes the 31st of February for a day of March. */
function isOnCalendar(iso: string): boolean {
  const day = iso.slice(0, 10);
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

/** The range between two times in RFC 3339, each where it is given. */
export function rangeBetween({ from, to }: { readonly from?: string; readonly to?: string }): TimeRange {
  return {
    ...(from !== undefined && { from: Date.parse(from) }),
    ...(to !== undefined && { to: Date.parse(to) }),
  };
}

/** Whether a time is in a range. */
export function isWithin({ from, to }: TimeRange, time: number): boolean {
  return (from === undefined || time >= from) && (to === undefined || time < to);
}

/** Whether a range is the whole log. */
export function isWhole({ from, to }: TimeRange): boolean {
  return from === undefined && to === undefined;
}
