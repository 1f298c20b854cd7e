/** ASN.1 DER (ITU-T X.690), as much of it as a certificate needs. Every function returns one encoded element. */

function element(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

/** SEQUENCE of elements that are encoded already. */
export function sequence(...items: readonly Uint8Array[]): Buffer {
  return element(0x30, Buffer.concat(items));
}

/** SET of one element. */
export function setOf(item: Uint8Array): Buffer {
  return element(0x31, item);
}

/** Context-specific tag around an element that is encoded already. */
export function explicit(number: number, item: Uint8Array): Buffer {
  return element(0xa0 | number, item);
}

/** Context-specific tag in place of the tag of a string. */
export function implicitText(number: number, text: string): Buffer {
  return element(0x80 | number, Buffer.from(text, 'latin1'));
}

/** Context-specific tag in place of the tag of bytes. */
export function implicit(number: number, content: Uint8Array): Buffer {
  return element(0x80 | number, content);
}

/** NULL. */
export function nothing(): Buffer {
  return element(0x05, Buffer.alloc(0));
}

/** BOOLEAN TRUE. */
export function yes(): Buffer {
  return Buffer.from([0x01, 0x01, 0xff]);
}

/** INTEGER, not negative, big endian. */
export function integer(bytes: Uint8Array): Buffer {
  const positive = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
  return element(0x02, positive);
}

/** UTF8String. */
export function utf8(text: string): Buffer {
  return element(0x0c, Buffer.from(text, 'utf8'));
}

/** OCTET STRING. */
export function octets(content: Uint8Array): Buffer {
  return element(0x04, content);
}

/** BIT STRING; `unused` counts the bits of the last byte that do not belong to it. */
export function bits(content: Uint8Array, unused = 0): Buffer {
  return element(0x03, Buffer.concat([Buffer.of(unused), content]));
}

/** GeneralizedTime, or UTCTime before 2050 (RFC 5280 §4.1.2.5). */
export function time(date: Date): Buffer {
  const text = `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050
    ? element(0x17, Buffer.from(text.slice(2)))
    : element(0x18, Buffer.from(text));
}

/** OBJECT IDENTIFIER in dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return element(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let left = value >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
  return digits;
}
