import fc from 'fast-check';

/** A field of a message that is written by hand: also as no PEP would. */
export interface WireField {
  readonly number: number;
  readonly type: number;
  /** Bytes and messages for LEN, else how the value is spelled. */
  readonly value: Uint8Array | readonly WireField[];
  /** Bytes by which tag and length are longer than they need to be. */
  readonly overlong?: number;
}

export const LEN = 2;

export function varint(value: number, overlong = 0): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      bytes.push(rest);
      break;
    }
    bytes.push((rest % 128) | 0x80);
  }
  for (let more = 0; more < overlong; more++) {
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) | 0x80;
    bytes.push(0);
  }
  return Buffer.from(bytes);
}

export const text = (number: number, value: string): WireField => ({
  number,
  type: LEN,
  value: Buffer.from(value),
});
export const message = (number: number, ...value: readonly WireField[]): WireField => ({
  number,
  type: LEN,
  value,
});
export const integer = (number: number, value: number): WireField => ({
  number,
  type: 0,
  value: varint(value),
});

function isBytes(value: WireField['value']): value is Uint8Array {
  return value instanceof Uint8Array;
}

/** The bytes of a message. */
export function wireBytes(fields: readonly WireField[]): Buffer {
  return Buffer.concat(
    fields.map(({ number, type, value, overlong = 0 }) => {
      const bytes = isBytes(value) ? value : wireBytes(value);
      const tag = varint(number * 8 + type, overlong);
      return Buffer.concat(type === LEN ? [tag, varint(bytes.length, overlong), bytes] : [tag, bytes]);
    }),
  );
}

type Header = readonly [name: string, value: string];

const rawHeader = ([name, value]: Header) => message(1, text(1, name), text(3, value));
const mapHeader = ([name, value]: Header) => message(3, text(1, name), text(2, value));

/** What is in a CheckRequest, as Envoy would write it. */
export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly Header[];
  readonly form: 'raw' | 'map';
  readonly port: number;
  readonly seconds: number;
  readonly id: string;
  readonly extension: string;
}

/** The fields of a CheckRequest. */
export function checkRequest({
  method,
  path,
  headers,
  form,
  port,
  seconds,
  id,
  extension,
}: Sent): WireField[] {
  const peer = (number: number, name: string, at: number) =>
    message(
      number,
      message(1, message(1, integer(1, 0), text(2, '10.0.0.7'), integer(3, at))),
      text(4, name),
    );
  const fields = form === 'raw' ? [message(13, ...headers.map(rawHeader))] : headers.map(mapHeader);
  const http = [text(1, id), text(2, method), ...fields, text(4, path), text(5, 'api.example.com')];
  const size: WireField = { number: 9, type: 0, value: Buffer.from('ffffffffffffffffff01', 'hex') };
  return [
    message(
      1,
      peer(1, 'spiffe://prod.example.com/ns/a/sa/b', port),
      peer(2, 'spiffe://prod.example.com/ns/c/sa/d', 443),
      message(
        4,
        message(1, integer(1, seconds), integer(2, 5)),
        message(2, ...http, text(6, 'https'), size, text(10, 'HTTP/2')),
      ),
      message(10, text(1, 'key'), text(2, extension)),
      message(12, text(1, 'api.example.com')),
    ),
  ];
}

const SIGNIFICANT = ['x-flag', 'authorization', ':path', 'content-type'] as const;
const INCIDENTAL = ['accept', 'user-agent', 'x-request-id', 'traceparent', 'sec-fetch-mode'] as const;

const header = fc.tuple(
  fc.constantFrom(...SIGNIFICANT, ...INCIDENTAL, 'X-Flag', 'Accept', 'x_flag', 'user_agent', ''),
  fc.constantFrom('', 'a', '/a', 'b!', 'é', '00-11111111111111111111111111111111-2222222222222222-01'),
);

/** Questions that differ in few things, so that many of them are alike. */
export const sent: fc.Arbitrary<Sent> = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  path: fc.constantFrom('/a', '/a!', '/b?x=1'),
  headers: fc.array(header, { maxLength: 4 }),
  form: fc.constantFrom('raw', 'map'),
  port: fc.constantFrom(1, 70_000),
  seconds: fc.integer({ min: 0, max: 2 ** 31 }),
  id: fc.constantFrom('', '1', '234'),
  extension: fc.constantFrom('', 'v'),
});

type Change = (fields: readonly WireField[], at: number) => readonly WireField[];

const replaced = (
  fields: readonly WireField[],
  at: number,
  field: Partial<WireField>,
): readonly WireField[] => fields.map((one, index) => (index === at ? { ...one, ...field } : one));
const copied: Change = (fields, at) => [...fields, ...fields.slice(at, at + 1)];
const moved: Change = (fields, at) => [
  ...fields.filter((_, index) => index !== at),
  ...fields.slice(at, at + 1),
];
const dropped: Change = (fields, at) => fields.filter((_, index) => index !== at);

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom(copied, moved, dropped),
  fc.integer({ min: 0, max: 5 }).map(
    (type): Change =>
      (fields, at) =>
        replaced(fields, at, { type }),
  ),
  fc.integer({ min: 0, max: 20 }).map(
    (number): Change =>
      (fields, at) =>
        replaced(fields, at, { number }),
  ),
  fc.integer({ min: 1, max: 9 }).map(
    (overlong): Change =>
      (fields, at) =>
        replaced(fields, at, { overlong }),
  ),
  fc.uint8Array({ maxLength: 12 }).map(
    (value): Change =>
      (fields, at) =>
        replaced(fields, at, { value }),
  ),
  fc
    .constantFrom(
      integer(3, 5),
      text(1, ''),
      text(1, 'accept'),
      text(2, 'x'),
      text(3, ''),
      text(20, 'new'),
      { number: 7, type: 3, value: Buffer.from([0x3c]) },
      { number: 6, type: 0, value: Buffer.from('808080808001', 'hex') },
    )
    .map((field): Change => (fields, at) => [...fields.slice(0, at), field, ...fields.slice(at)]),
);

/** A change somewhere in a message, at any depth. */
export const distortion = fc.tuple(fc.array(fc.nat(7), { maxLength: 6 }), change).map(
  ([path, apply]) =>
    (fields: readonly WireField[]) =>
      distorted(fields, path, apply),
);

function distorted(
  fields: readonly WireField[],
  path: readonly number[],
  apply: Change,
): readonly WireField[] {
  const [first = 0, ...rest] = path;
  const at = fields.length === 0 ? 0 : first % fields.length;
  const value = fields[at]?.value;
  if (rest.length === 0 || value === undefined || isBytes(value)) return apply(fields, at);
  return replaced(fields, at, { value: distorted(value, rest, apply) });
}
