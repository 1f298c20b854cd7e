import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { setOf } from './fixture.ts';

describe('a list of ids', () => {
  test('names exactly the ids in it, byte for byte', async () => {
    // A space or a comment sign is the business of lines; everything else an id may hold.
    const id = fc
      .string({ minLength: 1, maxLength: 30, unit: 'binary' })
      .filter((text) => /^[^\p{Cc}\p{Cs}\s#;[]+$/u.test(text));
    await fc.assert(
      fc.asyncProperty(fc.array(id, { minLength: 1, maxLength: 200 }), fc.array(id), async (ids, others) => {
        const list = await setOf('user', ids.join('\n'));
        expect(ids.every((one) => list.has(one))).toBe(true);
        for (const other of others) expect(list.has(other)).toBe(ids.includes(other));
      }),
      { numRuns: 200 },
    );
  });

  test('holds as many ids as fill several of its pages', async () => {
    const ids = Array.from({ length: 3_000 }, (_, index) => `corp/${index}-${'x'.repeat(index % 1_500)}`);
    const list = await setOf('user', ids.join('\n'));
    expect(list.entries).toBe(3_000);
    expect(list.bytes).toBeGreaterThan(2 * 1024 * 1024);
    expect(ids.filter((id) => !list.has(id))).toEqual([]);
    expect(
      ids.filter((id) => list.has(`${id}x`) || list.has(id.slice(0, -1)) !== ids.includes(id.slice(0, -1))),
    ).toEqual([]);
  });

  test.each(['Corp/alice', 'corp/alice ', 'corp/alic', 'corp/alicee', 'alice', 'corp/*', ''])(
    'is not a list of patterns: corp/alice is not %j',
    async (asked) => {
      expect((await setOf('user', 'corp/alice')).has(asked)).toBe(false);
      expect((await setOf('device', 'corp/alice')).has(asked)).toBe(false);
    },
  );

  test('takes * for a character', async () => {
    const list = await setOf('user', 'corp/*');
    expect([list.has('corp/*'), list.has('corp/alice')]).toEqual([true, false]);
  });

  test.each([
    ['["corp/\\u0000"]', /is an id with a control character/],
    ['["corp/\\ud800"]', /is an id with a control character/],
    ['[""]', /is an empty id/],
    [`corp/${'x'.repeat(2_048)}`, /is an id longer than 2048 bytes/],
  ])('is refused with %.30j', async (text, problem) => {
    await expect(setOf('user', text)).rejects.toThrow(problem);
  });
});

describe('a list of workloads', () => {
  const NS = 'spiffe://prod.example.com/ns';

  test.each([
    [`${NS}/pay/sa/api`, true],
    [`${NS}/pay/sa/api2`, false],
    [`${NS}/pay/sa`, false],
    [`${NS}/old/sa/x`, true],
    [`${NS}/old`, false],
    [`${NS}/older/sa/x`, false],
    ['spiffe://bad.example.com/anything', true],
    ['spiffe://bad.example.com.evil/anything', false],
    ['spiffe://evil.bad.example.com/anything', false],
    ['spiffe://prod.example.com/x', false],
  ])('of IDs, paths and trust domains: whether it names %s is %j', async (id, expected) => {
    const list = await setOf('workload', `${NS}/pay/sa/api\n${NS}/old/*\nspiffe://bad.example.com/*`);
    expect(list.has(id)).toBe(expected);
  });

  test('names what some entry names, by whole segments', async () => {
    const segment = fc.constantFrom('a', 'b', 'ab');
    const path = fc
      .array(segment, { minLength: 1, maxLength: 4 })
      .map((parts) => `spiffe://td/${parts.join('/')}`);
    const entry = fc.tuple(path, fc.boolean()).map(([id, isPattern]) => (isPattern ? `${id}/*` : id));
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1 }), path, async (entries, asked) => {
        const expected = entries.some((one) =>
          one.endsWith('/*') ? asked.startsWith(one.slice(0, -1)) : asked === one,
        );
        expect((await setOf('workload', entries.join('\n'))).has(asked)).toBe(expected);
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    'prod.example.com/ns/a',
    'spiffe://*',
    'spiffe://td',
    'spiffe://td/a*',
    'spiffe://TD/a',
    'spiffe://td/a/../b',
  ])('is refused with %s', async (entry) => {
    await expect(setOf('workload', entry)).rejects.toThrow(`list.txt:1:1: '${entry}' `);
  });
});
