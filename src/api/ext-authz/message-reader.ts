/** Bytes before each message (gRPC over HTTP/2, Length-Prefixed-Message): a flag, and how long it is. */
export const HEAD_BYTES = 5;

const NO_BYTES = Buffer.alloc(0);
const LEAST_BYTES = 1024;

/** What is wrong with what has come, in the words of grpc-js. */
export type MessageProblem = 'none' | 'second' | { readonly size: number };

/**
 * Puts the one message of a call together. Its memory is at most about twice what has come, in however many pieces: pieces of a byte each would
 * else cost a hundred times as much, and each would hold all that was read from the connection with it.
 */
export class MessageReader {
  readonly #maxBytes: number;
  #bytes: Buffer = NO_BYTES;
  #length = 0;
  #isOurs = false;

  /** `maxBytes`: of the message. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes what has come next. A problem: the call is over, and nothing more is taken. */
  add(chunk: Buffer): MessageProblem | undefined {
    // A message that comes in one piece, as most do, is read where it is.
    if (this.#length === 0 && isWhole(chunk)) this.#bytes = chunk;
    else this.#append(chunk);
    this.#length += chunk.length;
    if (this.#length < HEAD_BYTES) return undefined;
    const size = this.#bytes.readUInt32BE(1);
    if (size > this.#maxBytes) return { size };
    return this.#length > HEAD_BYTES + size ? 'second' : undefined;
  }

  /** The message, if it is whole; 'none' where it is not, now that nothing more will come. */
  message(): Buffer | 'none' {
    const bytes = this.#bytes.subarray(0, this.#length);
    return isWhole(bytes) ? bytes.subarray(HEAD_BYTES) : 'none';
  }

  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (!this.#isOurs || length > this.#bytes.length) {
      const more = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, 2 * length));
      this.#bytes.copy(more, 0, 0, this.#length);
      this.#bytes = more;
      this.#isOurs = true;
    }
    chunk.copy(this.#bytes, this.#length);
  }
}

function isWhole(bytes: Buffer): boolean {
  return bytes.length >= HEAD_BYTES && bytes.length === HEAD_BYTES + bytes.readUInt32BE(1);
}
