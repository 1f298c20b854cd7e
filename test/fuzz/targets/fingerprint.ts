import { isDeepStrictEqual } from 'node:util';
import { fingerprintOf } from '../../../src/api/ext-authz/fingerprint.ts';
import { reading } from '../../unit/api/ext-authz/reading.ts';
import { checkRequestSeeds, CHECK_REQUEST_WORDS } from './check-request.ts';
import { mutateMessage } from '../engine/mutate-message.ts';
import { type FuzzTarget, must } from '../engine/target.ts';

/** Fingerprints of CheckRequests, taken back: what can be told from one is all that is decided by. */
export function fingerprintTarget(): FuzzTarget {
  return {
    name: 'fingerprint',
    promise:
      'The question can be read from its fingerprint as from its bytes, so that no two questions share one.',
    covers: ['src/api/ext-authz/fingerprint.ts', 'src/api/ext-authz/fingerprint-plan.ts'],
    seeds: checkRequestSeeds(),
    dictionary: [...CHECK_REQUEST_WORDS, 'accept', 'user-agent', 'x-request-id', 'traceparent', 'x_flag'],
    maxBytes: 2048,
    mutate: mutateMessage,
    run(input) {
      const print = fingerprintOf(input);
      if (!print) return 'none';
      const question = reading(input);
      const told = reading(new Backwards(Buffer.from(print.key, 'latin1')).message());
      must(isDeepStrictEqual(told, question), 'the fingerprint tells another question');
      return typeof question === 'string' ? question : 'read';
    },
  };
}

/** Makes a message of a fingerprint, by its grammar: fields as they came, and messages as 1, tag, fields, 0. */
class Backwards {
  readonly #key: Buffer;
  #at = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The fields up to a closing mark, or the end. */
  message(): Buffer {
    const fields: Buffer[] = [];
    while (this.#at < this.#key.length && this.#key[this.#at] !== 0) fields.push(this.#field());
    this.#at += 1;
    return Buffer.concat(fields);
  }

  #field(): Buffer {
    const start = this.#at;
    if (this.#key[start] !== 1) {
      const isBytes = (this.#varint() & 7) === 2;
      const value = this.#varint();
      if (isBytes) this.#at += value;
      return this.#key.subarray(start, this.#at);
    }
    this.#at += 2;
    const content = this.message();
    const length = Buffer.of((content.length & 0x7f) | 0x80, (content.length >> 7) & 0x7f);
    return Buffer.concat([this.#key.subarray(start + 1, start + 2), length, content]);
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#key[this.#at++] ?? 0;
      if (shift < 28) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
}
