import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { type KeySet, createKeySet } from '../../../../src/pip/jwks/jwks.ts';
import { eventually } from '../../../support/eventually.ts';
import { type ManualClock, type MemoryLog, START, manualClock, memoryLog } from '../fixture.ts';

const ONE = '11111111-1234-1234-1234-123456789012';
const TEMPLATE = 'https://keys.example.com/{kid}';
let clock: ManualClock;
let log: MemoryLog;
let pems: Map<string, string>;
let asked: string[];
let pem: string;
let missing: number;
const open: KeySet[] = [];

beforeEach(async () => {
  clock = manualClock();
  log = memoryLog();
  asked = [];
  missing = 404;
  pem = await exportSPKI((await generateKeyPair('ES384', { extractable: true })).publicKey);
  pems = new Map([[`https://keys.example.com/${ONE}`, pem]]);
});

afterEach(() => {
  for (const keySet of open.splice(0)) keySet[Symbol.dispose]();
  vi.useRealTimers();
});

function keySet(pemUrl = TEMPLATE): KeySet {
  const fetch = async (url: string): Promise<Response> => {
    asked.push(url);
    const text = pems.get(url);
    return text === undefined ? new Response('', { status: missing }) : new Response(text);
  };
  const source = { pemUrl, algorithm: 'ES384' };
  const created = createKeySet({
    name: 'ava',
    source,
    clock,
    log,
    fetch,
    refreshMs: 60_000,
    staleCeilingMs: 300_000,
  });
  open.push(created);
  return created;
}

async function knows(keys: KeySet, kid: string, alg = 'ES384'): Promise<boolean> {
  const resolver = keys.keys(clock.now());
  return (await resolver?.({ alg, kid }).catch(() => undefined)) !== undefined;
}

describe('keys with a URL each', () => {
  test('are fetched when a token names them, and refused until then', async () => {
    const keys = keySet();
    await keys.start();
    expect(asked).toEqual([]);
    expect(keys.keys(START)).toBeDefined();
    expect(await knows(keys, ONE)).toBe(false);
    keys.requestRefresh(ONE);
    keys.requestRefresh(ONE);
    await eventually('the key is known', async () => ((await knows(keys, ONE)) ? true : undefined));
    expect(asked).toEqual([`https://keys.example.com/${ONE}`]);
    expect(await knows(keys, ONE, 'ES256')).toBe(false);
    expect(await knows(keys, 'another-1')).toBe(false);
    expect(keys.lastSuccess).toBe(START);
  });

  test.each([
    '../../etc/passwd',
    'a/b',
    '',
    'x'.repeat(65),
    '{kid}',
    'a?b=12345',
    '$&$&$&$&',
    'k\u00e9y-12345',
  ])('are never asked for by an id such as %j', async (kid) => {
    vi.useFakeTimers();
    const keys = keySet();
    keys.requestRefresh(kid);
    keys.requestRefresh();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual([]);
  });

  test('are asked for twelve times a minute at most, whatever tokens say, and that is told once', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    for (let count = 0; count < 100; count++) keys.requestRefresh(`unknown-${count}`);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(12);
    const told = log.entries.filter(({ message }) => message.includes('more unknown keys than are fetched'));
    expect(told).toHaveLength(1);
  });

  test('are asked for in the order of how many tokens name them, however many others there are', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    for (let count = 0; count < 10_000; count++) {
      keys.requestRefresh(`unknown-${count}`);
      if (count % 100 === 0) keys.requestRefresh(ONE);
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toEqual([`https://keys.example.com/${ONE}`]);
    await vi.waitFor(async () => expect(await knows(keys, ONE)).toBe(true));
  });

  test.each([403, 404, 410])(
    'are not asked for again for ten minutes where the answer is %d',
    async (status) => {
      vi.useFakeTimers();
      missing = status;
      const keys = keySet();
      const again = async (ms: number): Promise<number> => {
        clock.advance(ms);
        keys.requestRefresh('unknown-1');
        await vi.advanceTimersByTimeAsync(10_000);
        return asked.length;
      };
      expect(await again(0)).toBe(1);
      expect(await again(10_000)).toBe(1);
      expect(await again(589_999)).toBe(1);
      expect(await again(1)).toBe(2);
    },
  );

  test('are asked for again soon where their source fails', async () => {
    vi.useFakeTimers();
    missing = 503;
    const keys = keySet();
    for (let count = 1; count <= 3; count++) {
      keys.requestRefresh('unknown-1');
      await vi.advanceTimersByTimeAsync(5_000);
      expect(asked).toHaveLength(count);
    }
    expect(keys.failures).toBe(3);
  });

  test('are counted as failures of the issuer where they were held, not where tokens name what never was', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    await keys.start();
    keys.requestRefresh('unknown-1');
    await vi.advanceTimersByTimeAsync(5_000);
    await vi.waitFor(() => expect(log.entries).toHaveLength(1));
    keys.requestRefresh(ONE);
    await vi.advanceTimersByTimeAsync(5_000);
    await vi.waitFor(async () => expect(await knows(keys, ONE)).toBe(true));
    expect(keys.failures).toBe(0);
    pems.clear();
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => expect(keys.failures).toBeGreaterThan(0));
  });

  test('are refused where what is there is not one public key of the algorithm', async () => {
    const pair = await generateKeyPair('ES384', { extractable: true });
    const wrong = [
      await exportPKCS8(pair.privateKey),
      `${pem}${await exportPKCS8(pair.privateKey)}`,
      '<html></html>',
      '',
      await exportSPKI((await generateKeyPair('ES256', { extractable: true })).publicKey),
    ];
    vi.useFakeTimers();
    for (const [index, text] of wrong.entries()) {
      const kid = `wrong-key-${index}`;
      pems.set(`https://keys.example.com/${kid}`, text);
      const keys = keySet();
      const before = log.entries.length;
      keys.requestRefresh(kid);
      await vi.advanceTimersByTimeAsync(1_000);
      await vi.waitFor(() => expect(log.entries.length).toBeGreaterThan(before));
      expect(await knows(keys, kid)).toBe(false);
    }
    expect(log.text()).not.toContain('PRIVATE');
  });

  test('serve on while their source fails, up to the ceiling, and are confirmed while it does not', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    await keys.start();
    keys.requestRefresh(ONE);
    await vi.advanceTimersByTimeAsync(1_000);
    await vi.waitFor(async () => expect(await knows(keys, ONE)).toBe(true));
    clock.advance(200_000);
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => expect(keys.lastSuccess).toBe(START + 200_000));
    pems.clear();
    clock.advance(300_000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await knows(keys, ONE)).toBe(true);
    clock.advance(1);
    expect(await knows(keys, ONE)).toBe(false);
  });

  test.each(['http://keys.example.com/{kid}', 'https://u:p@keys.example.com/{kid}', 'file:///{kid}'])(
    'are not fetched from %s',
    (url) => {
      expect(() => keySet(url)).toThrow(InputError);
    },
  );

  test('are not asked for any more once the set is closed', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    keys.requestRefresh(ONE);
    keys[Symbol.dispose]();
    keys.requestRefresh(ONE);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toEqual([]);
  });
});
