import { badUsage } from './ask-server.ts';

const UNITS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 };

/** A time as people write it (`30m`, `8h`, `1d12h`) in whole seconds. Throws `InputError`, naming `option`, for anything else. */
export function durationSeconds(text: string, option: string): number {
  const parts = /^(?:\d{1,6}[dhms])+$/.test(text) ? (text.match(/\d+[dhms]/g) ?? []) : [];
  const units = parts.map((part) => part.slice(-1));
  const seconds = parts.reduce(
    (sum, part) => sum + Number(part.slice(0, -1)) * (UNITS[part.slice(-1)] ?? 0),
    0,
  );
  if (seconds === 0 || new Set(units).size < units.length)
    throw badUsage(option, `'${text}' is not a time such as 30m, 8h or 1d12h`);
  return seconds;
}
