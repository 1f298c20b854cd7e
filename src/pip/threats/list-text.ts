/** One entry of a list with the line that it stands in, or what is wrong with the line. */
export interface ListEntry {
  /** 1-based. */
  readonly line: number;
  readonly text: string;
  /** Why the text is no entry; nothing can be read after it. */
  readonly problem?: string;
}

/**
 * Reads a list: one entry a line, empty lines, and comments, which begin with `#` or `;` at the start of a line or after white
 * space; or a JSON array of strings, where the first character is `[`.
 */
export function entriesOf(text: string): Iterable<ListEntry> {
  return /^\s*\[/.test(text) ? jsonEntries(text) : lineEntries(text);
}

const COMMENT = /(?:^|\s)[#;]/;

function* lineEntries(text: string): Generator<ListEntry> {
  let line = 0;
  for (let from = 0; from < text.length;) {
    const end = text.indexOf('\n', from);
    const to = end === -1 ? text.length : end;
    const raw = text.slice(from, to);
    const comment = raw.search(COMMENT);
    const entry = (comment === -1 ? raw : raw.slice(0, comment)).trim();
    line += 1;
    if (entry !== '') yield { line, text: entry };
    from = to + 1;
  }
}

// A string of RFC 8259 §7; what its escapes are is for `JSON.parse` to judge.
const STRING = /\s*("(?:[^"\\\p{Cc}]|\\.){0,4096}")\s*/uy;

/** Not `JSON.parse` of the whole, which would keep the thread busy until it is done. */
function* jsonEntries(text: string): Generator<ListEntry> {
  let at = text.indexOf('[') + 1;
  let line = 1 + newlines(text, 0, at);
  const rest = /\s*\]\s*$/y;
  rest.lastIndex = at;
  if (rest.test(text)) return;
  for (let separator = ','; separator === ',';) {
    STRING.lastIndex = at;
    const [whole, literal] = STRING.exec(text) ?? [];
    const value = literal === undefined ? undefined : parsed(literal);
    if (whole === undefined || value === undefined) {
      line += newlines(text, at, at + (/^\s*/.exec(text.slice(at, at + 1_024))?.[0].length ?? 0));
      return yield { line, text: '', problem: 'is not a string of a JSON array' };
    }
    const begin = line + newlines(whole, 0, whole.indexOf('"'));
    yield { line: begin, text: value };
    line += newlines(whole, 0, whole.length);
    at += whole.length + 1;
    separator = text.charAt(at - 1);
    if (separator === ']' && text.slice(at).trim() === '') return;
  }
  yield { line, text: '', problem: 'the JSON array does not go on with a comma or end here' };
}

function parsed(literal: string): string | undefined {
  try {
    return String(JSON.parse(literal));
  } catch {
    return undefined;
  }
}

function newlines(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf('\n', from); at !== -1 && at < to; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
