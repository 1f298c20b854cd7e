import type { Random } from './random.ts';

/** Something that takes bytes from outside, with what must always be true of it. */
export interface FuzzTarget {
  readonly name: string;
  /** The promise that is put to the test, in a sentence. */
  readonly promise: string;
  /** Ends of the paths of the modules whose coverage guides the search. */
  readonly covers: readonly string[];
  /** Inputs to begin with: right ones, and ones that are wrong in an interesting way. */
  readonly seeds: readonly Uint8Array[];
  /** Texts that have a meaning there. */
  readonly dictionary: readonly string[];
  /** Longest input, in bytes. */
  readonly maxBytes: number;
  /** Makes another input that keeps to the structure of the format; used every other time. */
  readonly mutate?: (input: Uint8Array, random: Random) => Uint8Array;
  /** Puts in one input. Throws where the promise is broken; else says in a word what became of it, which guides the search too. */
  run(input: Uint8Array): string | Promise<string>;
}

/** Throws with `message` unless `condition`: the promise of a target is broken. */
export function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BrokenPromise(message);
}

/** A property that does not hold. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

/** Bytes of a text, UTF-8. */
export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text);
}

/** Text of bytes, each a character: no input is lost on a decoder. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Text of UTF-8 bytes. */
export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
