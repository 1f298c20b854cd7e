import { isIP } from 'node:net';

/** An IP address as 32-bit words, the most significant first: one of IPv4, four of IPv6. IPv4 inside IPv6 (`::ffff:0:0/96`) is IPv4. */
export type IpWords = readonly [number] | readonly [number, number, number, number];

/** All addresses from `first` to `last`, both included, of one family. */
export interface IpRange {
  readonly first: IpWords;
  readonly last: IpWords;
}

/** Reads an address without brackets and without zone; `undefined` where the text is none. */
export function readIp(text: string): IpWords | undefined {
  const words = readAsWritten(text);
  return words?.length === 4 && isMapped(words) ? [words[3]] : words;
}

/** Reads an address, a prefix in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) or `first-last`, or says what is wrong with it. */
export function readIpRange(text: string): IpRange | { readonly problem: string } {
  const slash = text.indexOf('/');
  if (slash !== -1) return readPrefix(text.slice(0, slash), text.slice(slash + 1));
  const dash = text.indexOf('-');
  const first = readAsWritten(dash === -1 ? text : text.slice(0, dash).trimEnd());
  const last = dash === -1 ? first : readAsWritten(text.slice(dash + 1).trimStart());
  if (first === undefined || last === undefined) return { problem: EXPECTED };
  return rangeOf(first, last);
}

/** Whether `a` is less than (negative), equal to (0) or greater than `b`, of the same family. */
function compareIps(a: IpWords, b: IpWords): number {
  let index = 0;
  while (index < a.length - 1 && a[index] === b[index]) index += 1;
  return (a[index] ?? 0) - (b[index] ?? 0);
}

const EXPECTED = 'is not an address, a prefix such as 192.0.2.0/24 or 2001:db8::/32, or a range first-last';
const WORD = 0xffff_ffff;

function readPrefix(address: string, length: string): IpRange | { readonly problem: string } {
  const first = readAsWritten(address);
  const bits = /^(?:0|[1-9]\d{0,2})$/.test(length) ? Number(length) : Number.NaN;
  if (first === undefined || !(bits <= first.length * 32)) return { problem: EXPECTED };
  const hosts = first.map((_, index) => hostMask(bits - index * 32));
  if (first.some((word, index) => (word & (hosts[index] ?? 0)) !== 0))
    return { problem: `is not a prefix: bits beyond the first ${bits} are set` };
  const last = first.map((word, index) => (word | (hosts[index] ?? 0)) >>> 0);
  return rangeOf(first, last as unknown as IpWords);
}

/** The bits of a word that belong to the host, where the prefix has `bits` bits in this word and those after it. */
function hostMask(bits: number): number {
  if (bits <= 0) return WORD;
  return bits >= 32 ? 0 : WORD >>> bits;
}

function rangeOf(first: IpWords, last: IpWords): IpRange | { readonly problem: string } {
  if (first.length !== last.length)
    return { problem: 'is a range from one family of addresses to the other' };
  if (compareIps(first, last) > 0) return { problem: 'is a range that ends before it begins' };
  if (first.length !== 4 || last.length !== 4) return { first, last };
  if (isMapped(first) && isMapped(last)) return { first: [first[3]], last: [last[3]] };
  if (compareIps(first, MAPPED_LAST) > 0 || compareIps(last, MAPPED_FIRST) < 0) return { first, last };
  return { problem: 'reaches into ::ffff:0:0/96, which is IPv4: write IPv4 and IPv6 apart' };
}

const MAPPED_FIRST: IpWords = [0, 0, 0xffff, 0];
const MAPPED_LAST: IpWords = [0, 0, 0xffff, WORD];

function isMapped(words: readonly [number, number, number, number]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

function readAsWritten(text: string): IpWords | undefined {
  const family = isIP(text);
  if (family === 4) return [readDotted(text)];
  if (family !== 6 || text.includes('%')) return undefined;
  const double = text.indexOf('::');
  const head = readGroups(double === -1 ? text : text.slice(0, double));
  const tail = double === -1 ? [] : readGroups(text.slice(double + 2));
  const groups = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  const word = (index: number): number => (((groups[index] ?? 0) << 16) | (groups[index + 1] ?? 0)) >>> 0;
  return [word(0), word(2), word(4), word(6)];
}

/** The text is part of an address that was found to be one. */
function readGroups(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const word = readDotted(group);
    return [word >>> 16, word & 0xffff];
  });
}

function readDotted(text: string): number {
  let word = 0;
  for (const byte of text.split('.')) word = word * 256 + Number(byte);
  return word;
}
