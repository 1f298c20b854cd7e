/** Containers inside one another; a certificate needs about ten. */
const MAX_DEPTH = 32;

const CONSTRUCTED = 0x20;
const CLASS = 0xc0;
const NUMBER = 0x1f;
const SEQUENCE = 0x10;
const SET = 0x11;

interface Frame {
  readonly end: number;
  readonly depth: number;
}

/**
 * Says why bytes are not one DER element and nothing else (X.690 §10); `undefined` where they are. Readers of ASN.1 differ in which
 * liberties of BER they allow, so that two of them could see two certificates in the same bytes: what passes here leaves them none in
 * lengths, in nesting and at the end. Does not look into primitive values.
 */
export function derProblem(bytes: Uint8Array): string | undefined {
  const open: Frame[] = [{ end: bytes.length, depth: 0 }];
  let at = 0;
  for (;;) {
    const frame = open.at(-1);
    if (frame === undefined) return undefined;
    if (at === frame.end && !(open.length === 1 && at === 0)) {
      open.pop();
      continue;
    }
    if (open.length === 1 && at > 0) return 'has bytes after its end';
    const header = readHeader(bytes, at, frame.end);
    if (typeof header === 'string') return header;
    at = header.content;
    if (!header.constructed) at = header.end;
    else if (frame.depth >= MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH}`;
    else open.push({ end: header.end, depth: frame.depth + 1 });
  }
}

/** Tag and length of an element, read. */
interface Header {
  readonly constructed: boolean;
  /** Where its content begins. */
  readonly content: number;
  /** Where it ends. */
  readonly end: number;
}

/** Reads the tag and length of the element at `at`, which has to end by `limit`; or why they are wrong, in words as of {@link derProblem}. */
export function readHeader(bytes: Uint8Array, at: number, limit: number): Header | string {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || at + 2 > limit) return 'ends too early';
  const problem = tagProblem(tag);
  if (problem !== undefined) return problem;
  const size = first < 0x80 ? 0 : first & 0x7f;
  const content = at + 2 + size;
  if (first === 0x80) return 'has an indefinite length';
  if (size > 3) return 'has a length of more than three bytes';
  if (content > limit) return 'ends too early';
  let length = size === 0 ? first : 0;
  for (let index = at + 2; index < content; index += 1) length = length * 256 + (bytes[index] ?? 0);
  const least = size === 0 ? 0 : size === 1 ? 0x80 : 256 ** (size - 1);
  if (length < least) return 'has a length that is not in its shortest form';
  if (content + length > limit) return 'ends too early';
  return { constructed: (tag & CONSTRUCTED) !== 0, content, end: content + length };
}

function tagProblem(tag: number): string | undefined {
  const number = tag & NUMBER;
  if (number === NUMBER) return 'has a tag of more than one byte';
  if ((tag & CLASS) !== 0) return undefined;
  if (number === 0) return 'has an end-of-contents marker';
  const mustBeConstructed = number === SEQUENCE || number === SET;
  return mustBeConstructed === ((tag & CONSTRUCTED) !== 0) ? undefined : 'has a value in the wrong form';
}

/** The elements inside a constructed element that {@link derProblem} has found right. */
export function derChildren(bytes: Uint8Array): readonly Uint8Array[] {
  const outer = readHeader(bytes, 0, bytes.length);
  if (typeof outer === 'string' || !outer.constructed) return [];
  const children: Uint8Array[] = [];
  for (let at = outer.content; at < outer.end;) {
    const header = readHeader(bytes, at, outer.end);
    if (typeof header === 'string') return [];
    children.push(bytes.subarray(at, header.end));
    at = header.end;
  }
  return children;
}
