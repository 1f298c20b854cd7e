import { crc32 } from 'node:zlib';
import type { QuestionFingerprint } from '../../pdp/recent-answers.ts';
import {
  CHECK_REQUEST,
  COPY,
  HEADER,
  LEN,
  type Plan,
  RAW_HEADERS,
  REFUSE,
  SKIP,
  VARINT,
  WALK,
  treatmentOf,
} from './fingerprint-plan.ts';
import { INCIDENTAL_HEADERS } from './incidental-headers.ts';

/** What tells one CheckRequest from another, and what only joins it to other records. */
export interface Fingerprint extends QuestionFingerprint {
  /** An injective encoding of every byte that a decision can rest on. */
  readonly key: string;
  /** The header fields of these names, where the question has them; the key leaves them out. */
  readonly requestId: string | undefined;
  readonly traceparent: string | undefined;
}

/** Largest CheckRequest that has a fingerprint, in bytes. */
const MAX_BYTES = 16 * 1024;
/** Most header fields; less than canonicalising refuses. */
const MAX_HEADERS = 100;

// Members of a map entry, and of `config.core.v3.HeaderValue`.
const KEY = (1 << 3) | LEN;
const VALUE = (2 << 3) | LEN;
const RAW_VALUE = (3 << 3) | LEN;

const [CAPITAL_A, CAPITAL_Z, UNDERSCORE, NOT_ASCII] = [0x41, 0x5a, 0x5f, 0x80] as const;

const INCIDENTAL_BY_LENGTH: readonly (readonly string[])[] = Array.from(
  { length: 1 + Math.max(...[...INCIDENTAL_HEADERS].map(({ length }) => length)) },
  (_, length) => [...INCIDENTAL_HEADERS].filter((name) => name.length === length),
);

// No tag begins with these: the smallest is 1 << 3.
const OPEN = 1;
const CLOSE = 0;

/**
 * Reads the fingerprint of a CheckRequest, without decoding it. `undefined`: it has none, for it is too large, is not encoded as any PEP would,
 * or has header names that canonicalising must look at.
 *
 * Walks the message, and copies every field that is not known to be incidental, byte by byte as it came, unknown ones included. A message
 * that is walked into is written as opening mark, tag, fields, closing mark, so that no two questions are written alike. What the decoder could
 * take otherwise than the walk does has no fingerprint (ADR 0026).
 */
export function fingerprintOf(bytes: Uint8Array): Fingerprint | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  WALKER.begin(bytes);
  return WALKER.message(0, bytes.length, CHECK_REQUEST) ? WALKER.fingerprint() : undefined;
}

/** One walk at a time: it is synchronous, and its scratch memory is used again. */
class Walker {
  // A message that is walked into is written with one byte more than it had, if its tag and length had two.
  readonly #scratch = Buffer.allocUnsafeSlow(MAX_BYTES + 64);
  #bytes: Buffer = this.#scratch;
  #at = 0;
  #contentStart = 0;
  #written = 0;
  #headers = 0;
  #joinedForm = false;
  /** Plans of the messages that were walked into. */
  #seen = 0;
  #requestId: string | undefined;
  #traceparent: string | undefined;

  begin(bytes: Uint8Array): void {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#written = 0;
    this.#headers = 0;
    this.#seen = 0;
    this.#joinedForm = false;
    this.#requestId = undefined;
    this.#traceparent = undefined;
  }

  /** Of a message that was walked. */
  fingerprint(): Fingerprint | undefined {
    // Whether there is a field in the joined form too changes how the raw ones are read.
    if (this.#joinedForm && (this.#seen & RAW_HEADERS.bit) !== 0) return undefined;
    const key = this.#scratch.toString('latin1', 0, this.#written);
    const sum = crc32(this.#scratch.subarray(0, this.#written)) | 0;
    return { key, sum, requestId: this.#requestId, traceparent: this.#traceparent };
  }

  /** Writes the fields from `start` to `end`; false where there is no fingerprint. */
  message(start: number, end: number, plan: Plan): boolean {
    // The decoder takes the last one of several.
    if ((this.#seen & plan.bit) !== 0) return false;
    this.#seen |= plan.bit;
    let copied = start;
    this.#at = start;
    while (this.#at < end) {
      const from = this.#at;
      const tag = this.#field(end);
      const to = this.#at;
      let treatment = treatmentOf(plan, tag);
      if (treatment === HEADER) treatment = this.#header(this.#contentStart, to, plan.raw);
      this.#at = to;
      if (treatment === REFUSE) return false;
      if (treatment === COPY) continue;
      this.#copy(copied, from);
      copied = to;
      if (treatment === WALK && !this.#part(tag, to, plan.parts.get(tag))) return false;
    }
    this.#copy(copied, end);
    return true;
  }

  #part(tag: number, end: number, plan: Plan | undefined): boolean {
    this.#scratch[this.#written++] = OPEN;
    this.#scratch[this.#written++] = tag;
    if (!plan || !this.message(this.#contentStart, end, plan)) return false;
    this.#scratch[this.#written++] = CLOSE;
    return true;
  }

  /** Goes past one field, and gives its tag; 0, which no field has, where it is none, or one that ends after `end`. */
  #field(end: number): number {
    const tag = this.#varint();
    const type = tag & 7;
    if (type === LEN) {
      const length = this.#varint();
      this.#contentStart = this.#at;
      this.#at += length;
    } else if (type !== VARINT || !this.#skipInteger()) return 0;
    return tag >= 8 && this.#at <= end ? tag : 0;
  }

  /** A tag or a length; one that is longer than it can be here is more than all bytes, and no tag of ours. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0x80;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return Number.MAX_SAFE_INTEGER;
  }

  /** The decoder takes integers of six to nine bytes for ones of ten. */
  #skipInteger(): boolean {
    const start = this.#at;
    for (let length = 1; length <= 10; length += 1)
      if ((this.#bytes[this.#at++] ?? 0x80) < 0x80) return this.#at - start <= 5 || length === 10;
    return false;
  }

  /** What becomes of a header field. */
  #header(start: number, end: number, raw: boolean): number {
    this.#joinedForm ||= !raw;
    if (++this.#headers > MAX_HEADERS) return REFUSE;
    // Not taken apart from arrays, each of which would be made.
    let nameStart = 0;
    let nameEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    this.#at = start;
    for (let seen = 0, bit: number; this.#at < end; seen |= bit) {
      const tag = this.#field(end);
      bit = 1 << (tag >> 3);
      // Of twins the decoder takes the last.
      if ((seen & bit) !== 0) return REFUSE;
      if (tag === KEY) {
        nameStart = this.#contentStart;
        nameEnd = this.#at;
      } else if (tag !== VALUE && !(raw && tag === RAW_VALUE)) return REFUSE;
      else if (this.#at > this.#contentStart) {
        if (valueEnd > 0) return REFUSE;
        valueStart = this.#contentStart;
        valueEnd = this.#at;
      }
    }
    const name = this.#incidental(nameStart, nameEnd);
    if (name === undefined) return this.#isPlain(nameStart, nameEnd) ? COPY : REFUSE;
    if (name === 'x-request-id' || name === 'traceparent') {
      const member = this.#bytes.toString('latin1', valueStart, valueEnd);
      if (name === 'traceparent') this.#traceparent = (raw ? this.#traceparent : undefined) ?? member;
      else this.#requestId = (raw ? this.#requestId : undefined) ?? member;
    }
    return SKIP;
  }

  /** The name that is there, if it is one of an incidental field. */
  #incidental(start: number, end: number): string | undefined {
    for (const name of INCIDENTAL_BY_LENGTH[end - start] ?? []) {
      // From the end, for many begin alike.
      let at = end;
      while (at > start && this.#bytes[at - 1] === name.charCodeAt(at - 1 - start)) at -= 1;
      if (at === start) return name;
    }
    return undefined;
  }

  /** Whether canonicalising takes a name as it is: it folds '_', and writes all names in small letters. */
  #isPlain(start: number, end: number): boolean {
    for (let at = start; at < end; at += 1) {
      const byte = this.#bytes[at] ?? UNDERSCORE;
      if (byte === UNDERSCORE || (byte >= CAPITAL_A && byte <= CAPITAL_Z) || byte >= NOT_ASCII) return false;
    }
    return true;
  }

  #copy(from: number, to: number): void {
    if (to <= from) return;
    this.#bytes.copy(this.#scratch, this.#written, from, to);
    this.#written += to - from;
  }
}

const WALKER = new Walker();
