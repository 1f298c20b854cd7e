import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import {
  CHECK_REQUEST,
  HEADER,
  type Plan,
  REFUSE,
  treatmentOf,
} from '../../../../src/api/ext-authz/fingerprint-plan.ts';
import { fingerprintOf } from '../../../../src/api/ext-authz/fingerprint.ts';
import { EXT_AUTHZ_TYPES } from '../../../support/requests.ts';
import { reading } from './reading.ts';
import {
  LEN,
  type Sent,
  type WireField,
  checkRequest,
  distortion,
  integer,
  message,
  sent,
  text,
  wireBytes,
} from './wire-message.ts';

const SENT: Sent = {
  method: 'GET',
  path: '/a',
  headers: [
    ['x-flag', 'on'],
    ['accept', 'text/plain'],
    ['x-request-id', 'r-1'],
  ],
  form: 'raw',
  port: 4711,
  seconds: 1_800_000_000,
  id: '17',
  extension: 'v',
};

const bytesOf = (changes: Partial<Sent> = {}) => wireBytes(checkRequest({ ...SENT, ...changes }));
const keyOf = (bytes: Uint8Array) => fingerprintOf(bytes)?.key;

describe('the fingerprint of a question', () => {
  test('is there for what PEPs send, in both forms of header fields', () => {
    for (const form of ['raw', 'map'] as const) expect(keyOf(bytesOf({ form }))).toBeDefined();
    expect(keyOf(bytesOf({ form: 'raw' }))).not.toBe(keyOf(bytesOf({ form: 'map' })));
  });

  test('leaves out the ports, the time, the id of the stream and incidental header fields, and tells what joins records', () => {
    const trace = '00-11111111111111111111111111111111-2222222222222222-01';
    const headers = [
      ['traceparent', trace],
      ['user-agent', 'curl'],
      ['x-flag', 'on'],
      ['x-request-id', 'r-2'],
    ] as const;
    const other = fingerprintOf(bytesOf({ port: 1, seconds: 0, id: '', headers }));
    expect(other?.key).toBe(keyOf(bytesOf()));
    expect(other).toMatchObject({ requestId: 'r-2', traceparent: trace });
    expect(fingerprintOf(bytesOf())).toMatchObject({ requestId: 'r-1', traceparent: undefined });
  });

  test('changes with every other part', () => {
    const parts: Partial<Sent>[] = [
      { method: 'PUT' },
      { path: '/a?' },
      { extension: '' },
      { headers: [['x-flag', 'off']] },
      { headers: [] },
      { headers: [['x-other-id', 'r-1'], ...SENT.headers] },
      { headers: [...SENT.headers, ['x-flag', 'on']] },
      { headers: [['x-flag', 'on\0accept']] },
    ];
    const keys = [SENT, ...parts].map((part) => keyOf(bytesOf(part)));
    expect(keys).not.toContain(undefined);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('is equal only for questions that are read alike, however they are written', () => {
    const variant = fc.tuple(sent, fc.array(distortion, { maxLength: 3 }));
    const written = ([one, changes]: readonly [
      Sent,
      readonly ((fields: readonly WireField[]) => readonly WireField[])[],
    ]) =>
      wireBytes(changes.reduce((fields, apply) => apply(fields), checkRequest(one) as readonly WireField[]));
    let alike = 0;
    fc.assert(
      fc.property(variant, fc.array(distortion, { minLength: 1, maxLength: 2 }), ([one, changes], more) => {
        const [a, b] = [written([one, changes]), written([one, [...changes, ...more]])];
        const key = keyOf(a);
        if (key === undefined || key !== keyOf(b)) return;
        alike += 1;
        expect(reading(b)).toEqual(reading(a));
      }),
      { numRuns: 20_000 },
    );
    expect(alike).toBeGreaterThan(100);
  });

  test('is equal for two questions only where they are read alike', () => {
    fc.assert(
      fc.property(sent, sent, (one, other) => {
        const [a, b] = [wireBytes(checkRequest(one)), wireBytes(checkRequest(other))];
        const key = keyOf(a);
        if (key !== undefined && key === keyOf(b)) expect(reading(b)).toEqual(reading(a));
      }),
      { numRuns: 5000 },
    );
  });

  test('changes with any byte that changes the reading, or there is none', () => {
    const whole = bytesOf();
    const key = keyOf(whole);
    const read = reading(whole);
    for (let at = 0; at < whole.length; at++)
      for (const flip of [0x01, 0x02, 0x08, 0x20, 0x80, 0xff]) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        if (keyOf(bytes) === key) expect(reading(bytes)).toEqual(read);
      }
  });
});

/** A CheckRequest with these fields in its HttpRequest, beside or in the place of what is there. */
const withHttp = (...fields: readonly WireField[]) =>
  wireBytes([message(1, message(4, message(2, text(2, 'GET'), ...fields)))]);
const raw = (...fields: readonly WireField[]) => withHttp(message(13, message(1, ...fields)));
const nested = (...fields: readonly WireField[]) => wireBytes([message(1, message(4, ...fields))]);

describe('there is no fingerprint', () => {
  test.each<[string, Buffer]>([
    [
      'where a field has another wire type than its message says',
      withHttp({ number: 4, type: 0, value: Buffer.from([3]) }),
    ],
    ['where an integer is sent as bytes', withHttp(text(9, 'abc'))],
    ['with a group', withHttp({ number: 20, type: 3, value: Buffer.from([0xa4, 1]) })],
    ['with a fixed integer', withHttp({ number: 20, type: 5, value: Buffer.alloc(4) })],
    ['with field number 0', withHttp({ number: 0, type: 2, value: Buffer.alloc(1) })],
    [
      'with an integer of six bytes',
      withHttp({ number: 9, type: 0, value: Buffer.from('808080808001', 'hex') }),
    ],
    ['with an integer of eleven bytes', withHttp({ number: 9, type: 0, value: Buffer.alloc(11, 0x80) })],
    ['with a length of five bytes', withHttp({ ...text(4, '/'), overlong: 4 })],
    ['where a message is cut off', withHttp(text(4, '/')).subarray(0, -1)],
    [
      'where a field ends after its message',
      nested({ ...message(2), value: Buffer.from([0x22, 5, 0x2f]) }, text(1, 'abcd')),
    ],
    ['where one message is there twice', nested(message(2, text(2, 'GET')), message(2, text(2, 'PUT')))],
    ['where header fields come in both forms', withHttp(message(3, text(1, 'accept')), message(13))],
    ['with a time that is none', nested(message(1, text(1, 'x')))],
    ['with a header name that has an underscore', raw(text(1, 'x_flag'), text(3, 'a'))],
    ['with a header name that has a capital letter', raw(text(1, 'X-Request-Id'), text(3, 'a'))],
    ['with a header name twice in one field', raw(text(1, 'accept'), text(1, ''))],
    ['with a value twice in one header field', raw(text(1, 'accept'), text(2, 'a'), text(3, 'b'))],
    ['with something else in a header field', raw(text(1, 'accept'), integer(9, 1))],
    [
      'with more header fields than anybody sends',
      withHttp(message(13, ...Array.from({ length: 101 }, () => message(1, text(1, 'accept'))))),
    ],
    ['for what is too large', withHttp(text(4, 'x'.repeat(17_000)))],
  ])('%s', (_why, bytes) => {
    expect(fingerprintOf(bytes)).toBeUndefined();
  });

  test('of anything that is not bytes of a message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const key = keyOf(bytes);
        if (key !== undefined) expect(keyOf(Buffer.from(bytes))).toBe(key);
      }),
    );
  });
});

/** protobufjs reads a field by its number alone: the plan must know the wire type of each. */
test('every field of the messages that are walked is planned with the wire type of its schema', () => {
  const looked: string[] = [];
  const look = (plan: Plan, type: protobuf.Type): void => {
    looked.push(type.name);
    for (const field of type.fieldsArray) {
      const { id, map } = field.resolve();
      const isVarint = field.resolvedType instanceof protobuf.Enum || /^(?:u?int|bool|sint)/.test(field.type);
      const wireType = isVarint && !map ? 0 : LEN;
      const others = [0, 1, 2, 3, 4, 5, 6, 7].filter((one) => one !== wireType);
      expect(treatmentOf(plan, id * 8 + wireType), field.fullName).not.toBe(REFUSE);
      for (const one of others) expect(treatmentOf(plan, id * 8 + one), field.fullName).toBe(REFUSE);
      const part = plan.parts.get(id * 8 + LEN);
      if (part && field.resolvedType instanceof protobuf.Type) look(part, field.resolvedType);
      if (treatmentOf(plan, id * 8 + LEN) === HEADER) looked.push(`${type.name}.${field.name}`);
    }
  };
  look(CHECK_REQUEST, EXT_AUTHZ_TYPES.CheckRequest);
  expect(looked).toContain('HttpRequest.headers');
  expect(looked).toContain('HeaderMap.headers');
  expect(looked.filter((name) => name === 'SocketAddress')).toHaveLength(2);
});
