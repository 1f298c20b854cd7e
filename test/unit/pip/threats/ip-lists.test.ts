import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readIp, readIpRange } from '../../../../src/pip/threats/ip-text.ts';
import { setOf } from './fixture.ts';

/** An address as a number, and the slow, obvious rules about it. */
interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
}

interface Entry {
  readonly text: string;
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

const BITS = { 4: 32n, 6: 128n } as const;

function textOf({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => (value >> BigInt(112 - index * 16)) & 0xffffn);
  return groups.map((group) => group.toString(16)).join(':');
}

/** Close together, so that entries overlap, touch and just miss; around the ends of the address space too. */
const address: fc.Arbitrary<Address> = fc
  .tuple(
    fc.constantFrom(4 as const, 6 as const),
    fc.integer({ min: 0, max: 600 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([family, offset, where]) => {
    const bases =
      family === 4
        ? [0n, 0x0a000000n - 300n, 0xffffffffn - 600n, 0x7fffffffn - 300n]
        : [1n << 96n, 0x20010db8n << 96n, (1n << 128n) - 601n, (0x20010db8n << 96n) + (1n << 64n) - 300n];
    return { family, value: (bases[where] ?? 0n) + BigInt(offset) };
  });

const entry: fc.Arbitrary<Entry> = fc
  .tuple(
    address,
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 2 }),
  )
  .map(([{ family, value }, hostBits, size, form]) => {
    const text = textOf({ family, value });
    if (form === 0) return { text, family, first: value, last: value };
    if (form === 1) {
      const first = (value >> BigInt(hostBits)) << BigInt(hostBits);
      const last = first + (1n << BigInt(hostBits)) - 1n;
      return {
        text: `${textOf({ family, value: first })}/${Number(BITS[family]) - hostBits}`,
        family,
        first,
        last,
      };
    }
    const top = (1n << BITS[family]) - 1n;
    const last = value + BigInt(size) > top ? top : value + BigInt(size);
    return { text: `${text} - ${textOf({ family, value: last })}`, family, first: value, last };
  });

describe('a list of addresses', () => {
  test('names exactly the addresses that its entries cover', async () => {
    const lists = fc.array(entry, { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(lists, fc.array(address, { minLength: 1, maxLength: 40 }), async (entries, others) => {
        const list = await setOf('ip', entries.map(({ text }) => text).join('\n'));
        const borders = entries.flatMap(({ family, first, last }) =>
          [first - 1n, first, last, last + 1n].map((value) => ({ family, value })),
        );
        for (const { family, value } of [...borders, ...others]) {
          if (value < 0n || value >> BITS[family] !== 0n) continue;
          const expected = entries.some(
            (one) => one.family === family && one.first <= value && value <= one.last,
          );
          expect(list.has(textOf({ family, value })), textOf({ family, value })).toBe(expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('is the same list however its lines are ordered', async () => {
    const lists = fc.array(entry, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(lists, address, async (entries, asked) => {
        const texts = entries.map(({ text }) => text);
        const forth = await setOf('ip', texts.join('\n'));
        const back = await setOf('ip', texts.toReversed().join('\n'));
        expect(back.has(textOf(asked))).toBe(forth.has(textOf(asked)));
        expect(back.bytes).toBe(forth.bytes);
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    ['10.0.0.0/8', '::ffff:10.1.2.3'],
    ['10.0.0.0/8', '::ffff:a01:203'],
    ['::ffff:10.0.0.0/104', '10.255.255.255'],
    ['::ffff:a00:0-::ffff:aff:ffff', '10.0.0.0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['0.0.0.0/0', '255.255.255.255'],
    ['2000::/3', '3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:DB8::/32', '2001:db8:0:0::'],
    ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:2ff'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['::/127', '::1'],
  ])('with %s names %s', async (text, asked) => {
    expect((await setOf('ip', text)).has(asked)).toBe(true);
  });

  test.each([
    ['10.0.0.0/8', '::10.1.2.3'],
    ['2000::/3', '32.0.0.1'],
    ['0.0.0.0/0', '::1'],
  ])('with %s does not name %s', async (text, asked) => {
    expect((await setOf('ip', text)).has(asked)).toBe(false);
  });

  test.each(['', 'alice', '10.0.0', '010.0.0.1', 'fe80::1%eth0', '[::1]', '10.0.0.1:80', '10.0.0.0/8'])(
    'fails a lookup of what is no address: %j',
    async (asked) => {
      const list = await setOf('ip', '10.0.0.0/8');
      expect(() => list.has(asked)).toThrow(
        expect.objectContaining({ name: 'PdpError', reason: 'attribute_unavailable' }),
      );
    },
  );
});

describe('an entry of a list of addresses', () => {
  const EXPECTED = 'is not an address, a prefix such as 192.0.2.0/24 or 2001:db8::/32, or a range first-last';
  test.each([
    ['example.com', EXPECTED],
    ['10.0.0.256', EXPECTED],
    ['10.0.0.01', EXPECTED],
    ['0x0a000001', EXPECTED],
    ['10.0.0.0/33', EXPECTED],
    ['2001:db8::/129', EXPECTED],
    ['10.0.0.0/', EXPECTED],
    ['10.0.0.0/08', EXPECTED],
    ['10.0.0.0/-1', EXPECTED],
    ['10.0.0.0/8/8', EXPECTED],
    ['10.0.0.1-', EXPECTED],
    ['10.0.0.1-10.0.0.2-10.0.0.3', EXPECTED],
    ['10.0.0.0/8-10.0.0.1', EXPECTED],
    ['fe80::1%eth0', EXPECTED],
    ['[::1]', EXPECTED],
    ['1::2::3', EXPECTED],
    ['10.0.0.1 10.0.0.2', EXPECTED],
    ['10.0.0.1/8', 'is not a prefix: bits beyond the first 8 are set'],
    ['2001:db8::1/64', 'is not a prefix: bits beyond the first 64 are set'],
    ['10.0.0.2-10.0.0.1', 'is a range that ends before it begins'],
    ['10.0.0.1-2001:db8::1', 'is a range from one family of addresses to the other'],
    ['::/0', 'reaches into ::ffff:0:0/96, which is IPv4: write IPv4 and IPv6 apart'],
    ['::/64', 'reaches into ::ffff:0:0/96, which is IPv4: write IPv4 and IPv6 apart'],
    ['::1-::ffff:1.2.3.4', 'reaches into ::ffff:0:0/96, which is IPv4: write IPv4 and IPv6 apart'],
  ])('is refused where it is %j', (text, problem) => {
    expect(readIpRange(text)).toEqual({ problem });
  });

  test('is read or refused, never thrown at, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:./-]{0,40}$/)),
        (text) => {
          const range = readIpRange(text);
          if (!('problem' in range)) expect(range.first.length).toBe(range.last.length);
        },
      ),
    );
  });

  test('is an address wherever the runtime finds one, by the same words as the runtime', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const words = readIp(text);
        const { hostname } = new URL(`http://[${text}]/`);
        expect(words).toEqual(readIp(hostname.slice(1, -1)));
        expect(words).toBeDefined();
      }),
    );
  });
});
