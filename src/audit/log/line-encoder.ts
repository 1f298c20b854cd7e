const SCRATCH_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;

/** Turns lines into bytes in one buffer that is used again: the result is good until the next call. */
export class LineEncoder {
  #scratch: Buffer | undefined;

  /** The lines in UTF-8, each with its line feed. */
  encode(lines: readonly string[]): Buffer {
    let units = 0;
    for (const line of lines) units += line.length;
    // A UTF-16 unit is at most three bytes of UTF-8.
    const room = units * 3 + lines.length;
    const bytes =
      room <= SCRATCH_BYTES
        ? (this.#scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES))
        : Buffer.allocUnsafe(room);
    let end = 0;
    for (const line of lines) {
      end += bytes.write(line, end);
      bytes[end++] = LINE_FEED;
    }
    return bytes.subarray(0, end);
  }
}
