/**
 * One element of `x-forwarded-client-cert`: what one proxy says about the client of its connection. Empty values are left out, as are
 * keys that are not known.
 */
export interface XfccElement {
  /** URI names of the proxy's own certificate. */
  readonly by: readonly string[];
  /** URI names of the client's certificate. */
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  /** SHA-256 of the client's certificate, hex. */
  readonly hash?: string;
  /** The client's certificate, URL-encoded PEM. */
  readonly cert?: string;
  /** The client's certificate chain, URL-encoded PEM. */
  readonly chain?: string;
  readonly subject?: string;
}

/** Why a header is not of the grammar. */
export interface XfccProblem {
  readonly problem: string;
}

const MAX_LENGTH = 65_536;
const MAX_ELEMENTS = 32;
const MAX_PAIRS = 64;

const SINGLE = ['hash', 'cert', 'chain', 'subject'] as const;

/**
 * Parses `x-forwarded-client-cert` as Envoy writes it: elements parted by ',', one of each proxy, the last one's at the end; in them
 * pairs parted by ';'; keys in any case; values quoted where they hold ',', ';' or '=', with '"' written as '\"'. All of
 * it is parsed, or none.
 */
export function parseXfcc(header: string): readonly XfccElement[] | XfccProblem {
  if (header.length > MAX_LENGTH) return { problem: `is longer than ${MAX_LENGTH} characters` };
  if (hasControls(header)) return { problem: 'holds a control character' };
  const elements: XfccElement[] = [];
  for (let at = 0; ;) {
    if (elements.length === MAX_ELEMENTS) return { problem: `has more than ${MAX_ELEMENTS} elements` };
    const read = readPairs(header, skipBlanks(header, at));
    if ('problem' in read) return read;
    const element = elementOf(read.pairs);
    if ('problem' in element) return element;
    elements.push(element);
    at = skipBlanks(header, read.end);
    if (at === header.length) return elements;
    if (header[at] !== ',') return { problem: 'has text after the end of a value' };
    at += 1;
  }
}

type Pair = readonly [key: string, value: string];

function readPairs(
  header: string,
  start: number,
): { readonly pairs: readonly Pair[]; readonly end: number } | XfccProblem {
  const pairs: Pair[] = [];
  for (let at = start; ; at += 1) {
    if (pairs.length === MAX_PAIRS) return { problem: `has an element with more than ${MAX_PAIRS} pairs` };
    const key = matchAt(KEY, header, at)?.[1];
    if (key === undefined) return { problem: "has a pair without 'key='" };
    const value = readValue(header, at + key.length + 1);
    if (value === undefined) return { problem: `has a value of ${shortKey(key)} that is not quoted right` };
    pairs.push([key.toLowerCase(), value.text]);
    at = value.end;
    if (header[at] !== ';') return { pairs, end: at };
  }
}

const KEY = /([A-Za-z][A-Za-z0-9_-]{0,63})=/y;
const RAW = /[^",;= \t]*/y;
// A backslash means nothing before any other character: subjects hold them as they are.
const QUOTED = /"((?:[^"\\]|\\"|\\(?!"))*)"/y;

function readValue(header: string, at: number): { readonly text: string; readonly end: number } | undefined {
  const match = matchAt(header[at] === '"' ? QUOTED : RAW, header, at);
  if (match === null) return undefined;
  const end = at + match[0].length;
  const text = match[1]?.replaceAll('\\"', '"') ?? match[0];
  return isEnd(header, end) ? { text, end } : undefined;
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Whether a value may end here: at a separator, the end, or blanks before one. */
function isEnd(header: string, at: number): boolean {
  const next = header[skipBlanks(header, at)];
  return next === undefined || next === ',' || (next === ';' && header[at] === ';');
}

function elementOf(pairs: readonly Pair[]): XfccElement | XfccProblem {
  const values = (key: string): string[] =>
    pairs.filter(([name, value]) => name === key && value !== '').map(([, value]) => value);
  const repeated = SINGLE.find((key) => pairs.filter(([name]) => name === key).length > 1);
  if (repeated !== undefined) return { problem: `has an element with more than one ${repeated}` };
  if (![...values('cert'), ...values('chain')].every(isUrlEncoded))
    return { problem: 'has a certificate that is not URL-encoded' };
  const [hash, cert, chain, subject] = SINGLE.map((key) => values(key)[0]);
  return {
    by: values('by'),
    uri: values('uri'),
    dns: values('dns'),
    ...(hash !== undefined && { hash }),
    ...(cert !== undefined && { cert }),
    ...(chain !== undefined && { chain }),
    ...(subject !== undefined && { subject }),
  };
}

function isUrlEncoded(value: string): boolean {
  return /^(?:[!$&'()*+./:?@_~A-Za-z0-9-]|%[0-9A-Fa-f]{2})*$/.test(value);
}

function hasControls(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if ((code < 0x20 && code !== TAB) || code === 0x7f) return true;
  }
  return false;
}

const TAB = 0x09;

function skipBlanks(text: string, start: number): number {
  let at = start;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

function shortKey(key: string): string {
  return `'${key.slice(0, 16)}'`;
}
