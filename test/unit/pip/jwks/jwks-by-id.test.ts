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
const open: KeySet[] = [];

beforeEach(async () => {
  clock = manualClock();
  log = memoryLog();
  asked = [];
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
    return text === undefined ? new Response('', { status: 404 }) : new Response(text);
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

const untilKnown = (keys: KeySet, kid: string) =>
  eventually('the key is known', async () => ((await knows(keys, kid)) ? true : undefined));

describe('keys with a URL each', () => {
  test('are fetched when a token names them, and refused until then', async () => {
    const keys = keySet();
    await keys.start();
    expect(asked).toEqual([]);
    expect(keys.keys(START)).toBeDefined();
    expect(await knows(keys, ONE)).toBe(false);
    keys.requestRefresh(ONE);
    keys.requestRefresh(ONE);
    await untilKnown(keys, ONE);
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
  ])('are never asked for by an id such as %j', (kid) => {
    const keys = keySet();
    keys.requestRefresh(kid);
    keys.requestRefresh();
    expect(asked).toEqual([]);
  });

  test('are asked for twelve times a minute at most, whatever tokens say', async () => {
    const keys = keySet();
    for (let count = 0; count < 100; count++) keys.requestRefresh(`unknown-${count}`);
    expect(asked).toHaveLength(12);
    clock.advance(60_000);
    keys.requestRefresh(ONE);
    await untilKnown(keys, ONE);
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
    for (const [index, text] of wrong.entries()) {
      const kid = `wrong-key-${index}`;
      pems.set(`https://keys.example.com/${kid}`, text);
      const keys = keySet();
      const before = log.entries.length;
      keys.requestRefresh(kid);
      await eventually('the refusal is logged', () => (log.entries.length > before ? true : undefined));
      expect(await knows(keys, kid)).toBe(false);
    }
    expect(log.text()).not.toContain('PRIVATE');
  });

  test('serve on while their source fails, up to the ceiling, and are confirmed while it does not', async () => {
    vi.useFakeTimers();
    const keys = keySet();
    await keys.start();
    keys.requestRefresh(ONE);
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

  test('are not asked for any more once the set is closed', () => {
    const keys = keySet();
    keys[Symbol.dispose]();
    keys.requestRefresh(ONE);
    expect(asked).toEqual([]);
  });
});
