import type { Problem } from './errors.ts';
import type { SourceText } from './policy-source.ts';

/** One policy statement and where it stands. */
export interface PolicyStatement {
  readonly file: string;
  /** The whole file, for positions. */
  readonly fileText: string;
  /** Offset of `text` in the file, in UTF-16 units. */
  readonly offset: number;
  /** From the first annotation or effect up to and with the ';'. */
  readonly text: string;
}

/**
 * Splits a policy file into its statements, keeping positions: Cedar's own splitter loses them, and its whole-file form numbers
 * policies by position instead of by `@id`.
 *
 * A ';' ends a statement unless it stands in a string or a comment (Cedar grammar: it occurs nowhere else). What follows the last
 * ';' is a statement too, for the parser to refuse.
 */
export function splitStatements(source: SourceText): PolicyStatement[] {
  const statements: PolicyStatement[] = [];
  let start = 0;
  const add = (end: number) => {
    const leading = leadingTrivia(source.text.slice(start, end));
    const text = source.text.slice(start + leading, end);
    if (text.length > 0)
      statements.push({ file: source.file, fileText: source.text, offset: start + leading, text });
    start = end;
  };
  // Strings and comments are skipped whole; alternatives are tried at each position in turn.
  for (const match of source.text.matchAll(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|;/gs)) {
    if (match[0] === ';') add(match.index + 1);
  }
  add(source.text.length);
  return statements;
}

function leadingTrivia(text: string): number {
  return /^(?:\s+|\/\/[^\n]*(?:\n|$))*/.exec(text)?.[0].length ?? 0;
}

/** A problem at a UTF-8 byte offset of `text`, which itself stands at `offset` of the file. Cedar counts in bytes. */
export function problemAt(
  statement: PolicyStatement,
  byteOffset: number | undefined,
  message: string,
): Problem {
  const within =
    byteOffset === undefined ? 0 : Buffer.from(statement.text).subarray(0, byteOffset).toString().length;
  const before = statement.fileText.slice(0, statement.offset + within);
  const line = before.split('\n').length;
  const column = before.length - before.lastIndexOf('\n');
  return { where: statement.file, line, column, message };
}
