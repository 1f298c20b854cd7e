import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type KeyFolder, openKeyFolder } from '../../../../src/api/onward/key-folder.ts';
import { readSigningKey } from '../../../../src/api/onward/signing-key.ts';
import { START, type ManualClock, manualClock, memoryLog } from '../../pip/fixture.ts';

const AHEAD = 300_000;
const DAY = 86_400_000;

let folder: string;
let clock: ManualClock;
let log: ReturnType<typeof memoryLog>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-keys-'));
  clock = manualClock();
  // Nobody can say when a file came to its place, so that the time of the tests has to be later than they run.
  clock.advance(Math.floor(Date.now() / 1000) * 1000 + 2 * DAY - START);
  log = memoryLog();
  return () => rm(folder, { recursive: true, force: true, maxRetries: 20 });
});

const makers = {
  EdDSA: () => generateKeyPairSync('ed25519').privateKey,
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
};

/** Writes a key that was there for `ageMs`; returns its id. */
async function put(name: string, algorithm: keyof typeof makers = 'EdDSA', ageMs = DAY): Promise<string> {
  const pem = makers[algorithm]().export({ format: 'pem', type: 'pkcs8' }).toString();
  await putText(name, pem, ageMs);
  const key = readSigningKey(pem);
  if ('problem' in key) throw new Error(key.problem);
  return key.jwk.kid;
}

async function putText(name: string, text: string, ageMs = DAY): Promise<void> {
  const file = join(folder, name);
  await writeFile(file, text, { mode: 0o600 });
  const at = (clock.now() - ageMs) / 1000;
  await utimes(file, at, at);
}

async function open(): Promise<KeyFolder> {
  const keys = await openKeyFolder({
    folder,
    algorithm: 'EdDSA',
    publishAheadMs: AHEAD,
    clock,
    log,
    intervalMs: 3_600_000,
  });
  onTestFinished(() => keys[Symbol.dispose]());
  return keys;
}

const signer = (keys: KeyFolder) => keys.signer(clock.now())?.jwk.kid;
const published = (keys: KeyFolder) => keys.published(clock.now()).map(({ kid }) => kid);

describe('a folder of signing keys', () => {
  test('publishes all, and signs with the newest by name', async () => {
    const [b, c, a] = [await put('b.pem'), await put('c.pem'), await put('a.pem')];
    await putText('readme.txt', 'no key');
    const keys = await open();
    expect(published(keys)).toEqual([a, b, c]);
    expect(signer(keys)).toBe(c);
    expect(log.entries).toEqual([]);
  });

  test('signs with a new key when verifiers had time to see it', async () => {
    const a = await put('a.pem');
    const keys = await open();
    const b = await put('b.pem');
    await keys.poll();
    expect(published(keys)).toEqual([a, b]);
    clock.advance(AHEAD - 1);
    expect(signer(keys)).toBe(a);
    clock.advance(1);
    expect(signer(keys)).toBe(b);
  });

  test('counts from when the key was written, where it was there before the process', async () => {
    const a = await put('a.pem');
    const b = await put('b.pem', 'EdDSA', AHEAD - 1);
    const keys = await open();
    expect(signer(keys)).toBe(a);
    clock.advance(1);
    expect(signer(keys)).toBe(b);
  });

  test('counts from when the key was moved there, where that was later than it was written', async () => {
    const a = await put('a.pem');
    await put('b.pem', 'EdDSA', 30 * DAY);
    clock.advance(-2 * DAY);
    const keys = await open();
    // Both have just come, and none is better known than the first.
    expect(signer(keys)).toBe(a);
  });

  test('keeps a key for one look that does not find it in its file any more: it may be half written', async () => {
    const a = await put('a.pem');
    const b = await put('b.pem');
    const keys = await open();
    await putText('b.pem', '-----BEGIN PRIVATE KEY-----\nMC4');
    await keys.poll();
    expect([signer(keys), published(keys)]).toEqual([b, [a, b]]);
    expect(log.entries).toEqual([]);
    await keys.poll();
    expect([signer(keys), published(keys)]).toEqual([a, [a]]);
    await keys.poll();
    expect(log.entries).toMatchObject([{ level: 'warn', fields: { file: join(folder, 'b.pem') } }]);
    const next = await put('b.pem');
    await keys.poll();
    expect(published(keys)).toEqual([a, next]);
  });

  test('goes on with the key that comes when the file is whole', async () => {
    await put('a.pem');
    const keys = await open();
    await putText('a.pem', '');
    await keys.poll();
    const next = await put('a.pem');
    await keys.poll();
    expect(signer(keys)).toBe(next);
    expect(log.entries).toEqual([]);
  });

  test('does not wait forever for a key from the future', async () => {
    await put('a.pem');
    const b = await put('b.pem', 'EdDSA', -DAY);
    const keys = await open();
    clock.advance(AHEAD);
    expect(signer(keys)).toBe(b);
  });

  test('signs at once with the only key there is', async () => {
    const keys = await open();
    expect(signer(keys)).toBeUndefined();
    const a = await put('a.pem', 'EdDSA', 0);
    await keys.poll();
    expect(signer(keys)).toBe(a);
  });

  test('neither signs with nor publishes a key whose file is gone', async () => {
    const a = await put('a.pem');
    await put('b.pem');
    const keys = await open();
    await rm(join(folder, 'b.pem'));
    await keys.poll();
    expect(published(keys)).toEqual([a]);
    expect(signer(keys)).toBe(a);
    await rm(join(folder, 'a.pem'));
    await keys.poll();
    expect(signer(keys)).toBeUndefined();
    expect(keys.problem).toBe('the folder of signing keys holds no usable key for EdDSA');
  });

  test('publishes keys of the other algorithm and does not sign with them', async () => {
    const other = await put('z.pem', 'ES256');
    const keys = await open();
    expect(published(keys)).toEqual([other]);
    expect(signer(keys)).toBeUndefined();
    const a = await put('a.pem');
    await keys.poll();
    expect(signer(keys)).toBe(a);
  });

  test('passes over a file that holds no key, and names it once', async () => {
    const a = await put('a.pem');
    await putText('b.pem', 'garbage');
    await putText('c.pem', 'x'.repeat(16_385));
    await mkdir(join(folder, 'd.pem'));
    execFileSync('mkfifo', [join(folder, 'e.pem')]);
    const keys = await open();
    await keys.poll();
    expect(published(keys)).toEqual([a]);
    expect(log.entries).toMatchObject(
      ['b.pem', 'c.pem', 'd.pem', 'e.pem'].map((name) => ({
        level: 'warn',
        fields: { file: join(folder, name) },
      })),
    );
    const b = await put('b.pem');
    await keys.poll();
    expect(published(keys)).toEqual([a, b]);
  });

  test('warns of a key that others can read, and uses it', async () => {
    const a = await put('a.pem');
    await chmod(join(folder, 'a.pem'), 0o644);
    const keys = await open();
    expect(signer(keys)).toBe(a);
    expect(log.entries).toMatchObject([{ level: 'warn', fields: { mode: '0644' } }]);
    expect(log.text()).not.toContain('PRIVATE');
  });

  test('publishes a key once that has two names, as of the first', async () => {
    const pem = makers.EdDSA().export({ format: 'pem', type: 'pkcs8' }).toString();
    await putText('a.pem', pem);
    await putText('b.pem', pem);
    expect(published(await open())).toHaveLength(1);
  });

  test('keeps its keys while the folder is away, and says so once', async () => {
    const a = await put('a.pem');
    const keys = await open();
    await rm(folder, { recursive: true });
    await keys.poll();
    await keys.poll();
    expect(signer(keys)).toBe(a);
    expect(log.entries).toHaveLength(1);
  });

  test('that was never there is a problem in words', async () => {
    await rm(folder, { recursive: true });
    const keys = await open();
    expect(signer(keys)).toBeUndefined();
    expect(keys.problem).toContain('cannot be read');
  });

  test('is bounded', async () => {
    for (let n = 10; n < 30; n++) await put(`${n}.pem`);
    const newest = await put('99.pem');
    const keys = await open();
    await keys.poll();
    expect(published(keys)).toHaveLength(16);
    expect(signer(keys)).toBe(newest);
    expect(log.entries).toHaveLength(1);
  });
});
