import { isIP } from 'node:net';

/**
 * Whether Cedar takes a text for a value of an extension type, by the name of the type. Where Cedar is more lenient than its
 * documentation, this is not. Under a schema Cedar's JSON needs no `__extn` around such a text.
 */
export const EXTENSION_TEXTS: { readonly [name: string]: (text: string) => boolean } = {
  ipaddr: isIpText,
  decimal: isDecimalText,
  datetime: isDatetimeText,
  duration: isDurationText,
};

/** An address or a range; an IPv4 address inside of an IPv6 address, and a zone, are none to Cedar. */
function isIpText(text: string): boolean {
  const [address = '', prefix, ...more] = text.split('/');
  const family = more.length > 0 || address.includes('%') ? 0 : isIP(address);
  if (family === 0 || (family === 6 && address.includes('.'))) return false;
  return (
    prefix === undefined ||
    (/^(?:0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))
  );
}

const MAX_LONG = 2n ** 63n - 1n;

function isDecimalText(text: string): boolean {
  const match = /^(-?)(\d+)\.(\d{1,4})$/.exec(text);
  if (!match) return false;
  const [, sign, whole = '', fraction = ''] = match;
  return isLong(BigInt(whole + fraction.padEnd(4, '0')), sign === '-');
}

function isLong(magnitude: bigint, negative: boolean): boolean {
  return magnitude <= (negative ? MAX_LONG + 1n : MAX_LONG);
}

const DATETIME =
  /^(\d{4}-\d{2}-\d{2})(?:T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{3})?(?:Z|[+-](?:[01]\d|2[0-3])[0-5]\d))?$/;

function isDatetimeText(text: string): boolean {
  const date = DATETIME.exec(text)?.[1];
  if (date === undefined) return false;
  // A day that the month does not have comes out as another.
  const instant = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(instant.getTime()) && instant.toISOString().startsWith(date);
}

const DURATION = /^(-?)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const UNIT_MS = [86_400_000n, 3_600_000n, 60_000n, 1000n, 1n] as const;

function isDurationText(text: string): boolean {
  const match = /\d/.test(text) ? DURATION.exec(text) : null;
  if (!match) return false;
  const [, sign, ...amounts] = match;
  const total = UNIT_MS.reduce((sum, unit, at) => sum + unit * BigInt(amounts[at] ?? '0'), 0n);
  return isLong(total, sign === '-');
}
