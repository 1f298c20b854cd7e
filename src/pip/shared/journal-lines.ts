import { createReadStream } from 'node:fs';

/** One line of a file; `end` is the offset behind its line break. A last line without a line break is torn. */
export interface JournalLine {
  readonly text: string;
  /** 1-based. */
  readonly number: number;
  readonly end: number;
  readonly torn: boolean;
}

const LINE_BREAK = 0x0a;

/** The lines of a file, one after the other, whatever its size. Throws the error of `node:fs`, and `RangeError` for a line beyond `maxBytes`. */
export async function* journalLines(path: string, maxBytes: number): AsyncGenerator<JournalLine> {
  let parts: Buffer[] = [];
  let end = 0;
  let number = 0;
  const takeLine = (tail: Buffer, torn: boolean): JournalLine => {
    const bytes = Buffer.concat([...parts, tail]);
    parts = [];
    end += bytes.length + (torn ? 0 : 1);
    return { text: bytes.toString('utf8'), number: (number += 1), end, torn };
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_BREAK); at >= 0; at = chunk.indexOf(LINE_BREAK, from)) {
      yield takeLine(chunk.subarray(from, at), false);
      from = at + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    if (parts.reduce((sum, { length }) => sum + length, 0) > maxBytes)
      throw new RangeError(`line ${number + 1} is longer than ${maxBytes} bytes`);
  }
  if (parts.length > 0) yield takeLine(Buffer.alloc(0), true);
}
