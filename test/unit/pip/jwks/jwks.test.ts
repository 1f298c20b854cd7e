import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { type KeySet, type KeySetOptions, createKeySet } from '../../../../src/pip/jwks/jwks.ts';
import { pollFile } from '../../../../src/pip/polled-file.ts';
import { eventually } from '../../../support/eventually.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { type ManualClock, type MemoryLog, manualClock, memoryLog } from '../fixture.ts';

const URL_ = 'https://id.example.com/jwks';

let clock: ManualClock;
let log: MemoryLog;
let one: TestIssuer;
let two: TestIssuer;
const open: KeySet[] = [];

beforeEach(async () => {
  clock = manualClock();
  log = memoryLog();
  one = await createTestIssuer({ issuer: 'i', audience: 'a', kid: 'one' });
  two = await createTestIssuer({ issuer: 'i', audience: 'a', kid: 'two' });
});

afterEach(() => {
  for (const keySet of open.splice(0)) keySet[Symbol.dispose]();
  vi.useRealTimers();
});

function keySet(options: Pick<KeySetOptions, 'source'> & Partial<KeySetOptions>): KeySet {
  const created = createKeySet({ name: 'staff', clock, log, ...options });
  open.push(created);
  return created;
}

async function knows(keys: KeySet, kid: string): Promise<boolean> {
  const resolver = keys.keys(clock.now());
  if (resolver === undefined) return false;
  return await resolver({ alg: 'ES256', kid }).then(
    () => true,
    () => false,
  );
}

function answer(issuer: TestIssuer): Response {
  return new Response(JSON.stringify(issuer.jwks));
}

/** A fetch whose answers the test gives, one by one, in whatever order. */
function manualFetch() {
  const asked: { answer: (response: Response) => void; fail: (error: Error) => void; init: RequestInit }[] =
    [];
  const fetch = (_url: string, init: RequestInit): Promise<Response> => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    init.signal?.addEventListener('abort', () => reject(new Error('aborted')));
    asked.push({ answer: resolve, fail: reject, init });
    return promise;
  };
  return { asked, fetch };
}

describe('key set from a URL', () => {
  test('holds the keys once started', async () => {
    const keys = keySet({ source: { url: URL_ }, fetch: async () => answer(one) });
    expect(keys.keys(clock.now())).toBeUndefined();
    expect(keys.lastSuccess).toBeUndefined();
    await keys.start();
    expect(await knows(keys, 'one')).toBe(true);
    expect(keys.lastSuccess).toBe(clock.now());
    expect(keys.failures).toBe(0);
  });

  test('follows no redirect and asks with a limit of time', async () => {
    const { asked, fetch } = manualFetch();
    const started = keySet({ source: { url: URL_ }, fetch }).start();
    expect(asked[0]?.init).toMatchObject({
      redirect: 'error',
      signal: expect.any(AbortSignal) as AbortSignal,
    });
    asked[0]?.answer(answer(one));
    await started;
  });

  test('starts without keys where the issuer is down, and gets them later', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let isUp = false;
    const fetch = async (): Promise<Response> => {
      if (isUp) return answer(one);
      throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    };
    const keys = keySet({ source: { url: URL_ }, fetch });
    await keys.start();
    expect(keys.keys(clock.now())).toBeUndefined();
    expect(log.text()).toContain('connect ECONNREFUSED');
    isUp = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await knows(keys, 'one')).toBe(true);
  });

  test('asks less and less often while the issuer is down', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let asked = 0;
    const fetch = async (): Promise<Response> => {
      asked += 1;
      throw new Error('down');
    };
    await keySet({ source: { url: URL_ }, fetch }).start();
    await vi.advanceTimersByTimeAsync(60_000);
    // 1, 2, 4, 8, 16, 32 s, each less up to a fifth.
    expect(asked).toBeGreaterThanOrEqual(6);
    expect(asked).toBeLessThanOrEqual(8);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(asked).toBeLessThanOrEqual(8 + 3_600 / 240 + 3);
  });

  test('refreshes at its interval and follows a rotation', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let current = one;
    const keys = keySet({ source: { url: URL_ }, fetch: async () => answer(current), refreshMs: 60_000 });
    await keys.start();
    current = two;
    await vi.advanceTimersByTimeAsync(47_000);
    expect(await knows(keys, 'one')).toBe(true);
    await vi.advanceTimersByTimeAsync(13_000);
    expect([await knows(keys, 'one'), await knows(keys, 'two')]).toEqual([false, true]);
  });

  test('keeps good keys while the issuer fails, and not beyond the ceiling', async () => {
    let isUp = true;
    const fetch = async (): Promise<Response> => (isUp ? answer(one) : new Response('', { status: 503 }));
    const keys = keySet({ source: { url: URL_ }, fetch, staleCeilingMs: 600_000 });
    await keys.start();
    isUp = false;
    clock.advance(600_000);
    keys.requestRefresh();
    await eventually('the failure is logged', () => (log.text().includes('status 503') ? true : undefined));
    expect(await knows(keys, 'one')).toBe(true);
    clock.advance(1);
    expect(keys.keys(clock.now())).toBeUndefined();
  });

  test.each([
    ['no JSON', '<html>'],
    ['no key set', '{}'],
    ['a private key', '{"keys":[{"kty":"EC","d":"x"}]}'],
    ['a key set of more than 512 KiB', `{"keys":[],"x":"${'x'.repeat(524_288)}"}`],
    ['bytes that are not UTF-8', Buffer.from('{"keys":[],"x":"\xff"}', 'latin1')],
  ])('keeps good keys when the issuer answers with %s', async (_what, body) => {
    let bad = false;
    const keys = keySet({
      source: { url: URL_ },
      fetch: async () => (bad ? new Response(body) : answer(one)),
    });
    await keys.start();
    bad = true;
    keys.requestRefresh();
    await eventually('the failure is logged', () =>
      log.text().includes('could not be refreshed') ? true : undefined,
    );
    expect(await knows(keys, 'one')).toBe(true);
    expect(keys.failures).toBe(1);
  });

  test('drops its keys when the issuer withdraws them all', async () => {
    let body = JSON.stringify(one.jwks);
    const keys = keySet({ source: { url: URL_ }, fetch: async () => new Response(body) });
    await keys.start();
    body = '{"keys":[]}';
    keys.requestRefresh();
    await eventually('the keys are gone', () => (keys.keys(clock.now()) === undefined ? true : undefined));
  });

  test('asks out of turn at most once in ten seconds, however many tokens ask', async () => {
    let asked = 0;
    const fetch = async (): Promise<Response> => {
      asked += 1;
      return answer(one);
    };
    const keys = keySet({ source: { url: URL_ }, fetch });
    await keys.start();
    for (let token = 0; token < 1_000; token += 1) keys.requestRefresh();
    expect(asked).toBe(2);
    clock.advance(9_999);
    keys.requestRefresh();
    expect(asked).toBe(2);
    clock.advance(1);
    keys.requestRefresh();
    expect(asked).toBe(3);
  });

  test('never lets a late answer overwrite a newer one', async () => {
    const { asked, fetch } = manualFetch();
    const keys = keySet({ source: { url: URL_ }, fetch });
    const started = keys.start();
    keys.requestRefresh();
    asked[1]?.answer(answer(two));
    await eventually('the newer keys are here', async () => ((await knows(keys, 'two')) ? true : undefined));
    asked[0]?.answer(answer(one));
    await started;
    expect([await knows(keys, 'one'), await knows(keys, 'two')]).toEqual([false, true]);
  });

  test('stops asking once disposed', async () => {
    const { asked, fetch } = manualFetch();
    const keys = keySet({ source: { url: URL_ }, fetch });
    const started = keys.start();
    keys[Symbol.dispose]();
    await started;
    keys.requestRefresh();
    expect(asked).toHaveLength(1);
    expect(asked[0]?.init.signal?.aborted).toBe(true);
    expect(log.entries).toEqual([]);
  });

  test.each([
    'http://id.example.com/jwks',
    'http://127.0.0.1.evil.com/',
    'http://localhost.evil.com',
    'ftp://localhost/',
    'file:///etc/passwd',
    'jwks',
    'https://user:secret@id.example.com/',
    'http://10.0.0.1/',
  ])('refuses %s as a source', (url) => {
    expect(() => keySet({ source: { url } })).toThrow(InputError);
    expect(() => keySet({ source: { url } })).not.toThrow(/secret/);
  });

  test.each(['http://localhost:8080/jwks', 'http://127.0.0.1/', 'http://127.9.9.9:1/', 'http://[::1]:9/'])(
    'takes plain HTTP on loopback: %s',
    (url) => {
      expect(() => keySet({ source: { url } })).not.toThrow();
    },
  );
});

describe('key set from a file', () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'jwks-'));
    file = join(folder, 'jwks.json');
    await writeFile(file, JSON.stringify(one.jwks));
  });

  afterEach(() => rm(folder, { recursive: true }));

  test('holds the keys once started and reads a changed file again', async () => {
    const keys = keySet({ source: { file }, refreshMs: 5 });
    await keys.start();
    expect(await knows(keys, 'one')).toBe(true);
    await writeFile(`${file}.new`, JSON.stringify(two.jwks));
    await rename(`${file}.new`, file);
    await eventually('the new keys are here', async () => ((await knows(keys, 'two')) ? true : undefined));
    expect(await knows(keys, 'one')).toBe(false);
  });

  test('is confirmed by every look at an unchanged file', async () => {
    const keys = keySet({ source: { file }, refreshMs: 5 });
    await keys.start();
    clock.advance(7_200_000);
    await eventually('the file was looked at', async () => ((await knows(keys, 'one')) ? true : undefined));
  });

  test('keeps good keys over a bad or missing file, says so once, and not beyond the ceiling', async () => {
    const keys = keySet({ source: { file }, refreshMs: 5 });
    await keys.start();
    await writeFile(file, '{');
    await eventually('the bad file is noticed', () =>
      log.text().includes('not a JSON object') ? true : undefined,
    );
    await rm(file);
    await eventually('the loss is noticed', () => (log.text().includes('does not exist') ? true : undefined));
    expect(await knows(keys, 'one')).toBe(true);
    clock.advance(3_600_001);
    expect(keys.keys(clock.now())).toBeUndefined();
    expect(log.text().split('does not exist')).toHaveLength(2);
    await writeFile(file, JSON.stringify(two.jwks));
    await eventually('the file is back', async () => ((await knows(keys, 'two')) ? true : undefined));
  });

  test('is not confirmed by looks at a bad file', async () => {
    const keys = keySet({ source: { file }, refreshMs: 5 });
    await keys.start();
    const confirmed = keys.lastSuccess;
    await writeFile(file, '{');
    await eventually('the bad file is noticed', () =>
      log.text().includes('not a JSON object') ? true : undefined,
    );
    clock.advance(1_000);
    let looks = 0;
    using _others = pollFile({
      file,
      intervalMs: 5,
      onContent() {},
      onProblem() {},
      onUnchanged: () => (looks += 1),
    });
    await eventually('the file was looked at again', () => (looks > 3 ? true : undefined));
    expect(keys.lastSuccess).toBe(confirmed);
    expect(keys.failures).toBe(1);
  });

  test('starts without keys where the file is missing', async () => {
    const keys = keySet({ source: { file: join(folder, 'none.json') } });
    await keys.start();
    expect(keys.keys(clock.now())).toBeUndefined();
    expect(log.text()).toContain('the file does not exist');
  });
});
