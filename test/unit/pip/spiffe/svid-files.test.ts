import { createPrivateKey } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SvidSource } from '../../../../src/pdp/x509-svid.ts';
import { createSvidFiles } from '../../../../src/pip/spiffe/svid-files.ts';
import { eventually } from '../../../support/eventually.ts';
import { type Leaf, type TestCa, createTestCa } from '../../../support/test-ca.ts';
import { type MemoryLog, memoryLog } from '../fixture.ts';

const DOMAIN = 'prod.example.com';
const ID = `spiffe://${DOMAIN}/ns/pdp/sa/cedar-pdp`;
const HOUR = 3_600_000;

let opened: AsyncDisposableStack;
let folder: string;
let ca: TestCa;
let log: MemoryLog;
let offset: number;
/** How often the time was asked for. */
let asked = 0;

beforeEach(async () => {
  opened = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'pdp-svid-files-'));
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  ca = opened.use(await createTestCa(DOMAIN));
  log = memoryLog();
  offset = 0;
});

afterEach(() => opened.disposeAsync());

function inFolder(name: string): string {
  return join(folder, name);
}

/** Writes a file in one step: a poll that comes between must not see half of it. */
async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.next`, text);
  await rename(`${file}.next`, file);
}

async function write(leaf: Pick<Leaf, 'cert' | 'key'>, bundle = ca.bundle): Promise<void> {
  await put(inFolder('bundle.pem'), bundle);
  await put(inFolder('svid.pem'), leaf.cert);
  await put(inFolder('key.pem'), leaf.key);
}

interface Watched {
  readonly source: SvidSource;
  /** How often the state has changed. */
  readonly changes: () => number;
}

async function open(bundles: readonly string[] = [DOMAIN], where = folder): Promise<Watched> {
  const source = opened.use(
    createSvidFiles({
      certFile: join(where, 'svid.pem'),
      keyFile: join(where, 'key.pem'),
      bundles: bundles.map((trustDomain) => ({
        trustDomain,
        file: join(where, trustDomain === DOMAIN ? 'bundle.pem' : `${trustDomain}.json`),
      })),
      pollMs: 5,
      clock: { now: () => ((asked += 1), Date.now() + offset), monotonic: () => performance.now() },
      log,
    }),
  );
  let changes = 0;
  source.onChange(() => (changes += 1));
  await source.start();
  return { source, changes: () => changes };
}

function isTrue(what: string, holds: () => boolean): Promise<true> {
  return eventually(what, () => holds() || undefined);
}

/** The problem that the log tells, once it does. */
function logged(words: string): Promise<true> {
  return isTrue(`logged: ${words}`, () => log.text().includes(words));
}

describe('SVID files', () => {
  test('are held from the start, the chain with its intermediates', async () => {
    const leaf = await ca.issueAuthority().issue({ spiffeId: ID });
    await write(leaf);
    const { source, changes } = await open();
    expect(source.state.svid).toMatchObject({ identity: { id: ID }, certificateChain: leaf.cert });
    expect(source.state.bundles.get(DOMAIN)?.x509Authorities).toHaveLength(1);
    expect(source.state.svid?.notAfter).toBeGreaterThan(Date.now());
    expect(changes()).toBe(1);
  });

  test('that are not there yet are waited for', async () => {
    const { source } = await open();
    expect(source.state).toEqual({ bundles: new Map() });
    expect(log.text()).toContain('the file does not exist');
    await write(await ca.issue({ spiffeId: ID }));
    await isTrue('the SVID is held', () => source.state.svid?.identity.id === ID);
  });

  test('that are not there are complained of once', async () => {
    await open();
    const before = log.entries.length;
    await isTrue('looked again', () => log.entries.length === before);
    await write(await ca.issue({ spiffeId: ID }));
    await logged('SVID taken');
    expect(log.entries.filter(({ message }) => message.includes('cannot be read'))).toHaveLength(3);
  });

  test('rotate: the new pair replaces the old, and listeners are told', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source, changes } = await open();
    const next = await ca.issue({ spiffeId: ID });
    await write(next);
    await isTrue('the new SVID is held', () => source.state.svid?.certificateChain === next.cert);
    expect(source.state.svid?.privateKey).toBe(next.key);
    expect(changes()).toBeGreaterThan(1);
  });

  test('that are half rotated leave the old pair, and the log says so', async () => {
    const old = await ca.issue({ spiffeId: ID });
    await write(old);
    const { source } = await open();
    const next = await ca.issue({ spiffeId: ID });
    await put(inFolder('svid.pem'), next.cert);
    await logged('does not belong to the certificate');
    expect(source.state.svid?.certificateChain).toBe(old.cert);
    await put(inFolder('key.pem'), next.key);
    await isTrue('the new pair is held', () => source.state.svid?.certificateChain === next.cert);
  });

  test('that are not taken say why for as long as they are not, and are counted', async () => {
    const { source } = await open();
    expect(source.health).toEqual({
      problem: 'the certificate cannot be read: the file does not exist',
      refused: 0,
      bundles: [{ trustDomain: DOMAIN, problem: 'the file does not exist' }],
    });
    const [leaf, other] = [await ca.issue({ spiffeId: ID }), await ca.issue({ spiffeId: ID })];
    await write({ cert: leaf.cert, key: other.key });
    await isTrue('it is refused', () => source.health.problem?.includes('does not belong') === true);
    expect(source.health.refused).toBeGreaterThan(0);
    await put(inFolder('key.pem'), leaf.key);
    await isTrue('it is taken', () => source.health.problem === undefined);
    const [bundle] = source.health.bundles;
    expect(bundle?.confirmedAt).toBeGreaterThan(Date.now() - 60_000);
    await put(inFolder('bundle.pem'), 'garbage');
    await isTrue(
      'the bundle is refused',
      () => source.health.bundles[0]?.problem?.startsWith('the bundle') === true,
    );
    const { confirmedAt } = source.health.bundles[0] ?? {};
    offset += HOUR;
    const next = await ca.issue({ spiffeId: ID });
    await put(inFolder('key.pem'), next.key);
    await put(inFolder('svid.pem'), next.cert);
    await isTrue('there was another look', () => source.state.svid?.certificateChain === next.cert);
    expect(source.health.bundles[0]?.confirmedAt).toBe(confirmedAt);
  });

  test('never give a certificate with the key of another, however they are written', async () => {
    const leaves = await Promise.all(Array.from({ length: 25 }, () => ca.issue({ spiffeId: ID })));
    const [first, last] = [leaves[0], leaves.at(-1)] as [Leaf, Leaf];
    await write(first);
    const { source } = await open();
    const pairs: string[] = [];
    source.onChange(() =>
      pairs.push(`${source.state.svid?.certificateChain}${source.state.svid?.privateKey}`),
    );
    for (const [index, leaf] of leaves.entries()) {
      const files = [put(inFolder('svid.pem'), leaf.cert), put(inFolder('key.pem'), leaf.key)];
      await Promise.all(index % 2 === 0 ? files : files.reverse());
    }
    await isTrue('the last pair is held', () => source.state.svid?.certificateChain === last.cert);
    const whole = new Set(leaves.map(({ cert, key }) => `${cert}${key}`));
    expect(pairs.filter((pair) => !whole.has(pair))).toEqual([]);
  });

  test('rotate by swapped symlinks, as Kubernetes projects them', async () => {
    const version = async (name: string, leaf: Leaf): Promise<void> => {
      await mkdir(inFolder(name));
      await Promise.all([
        writeFile(join(folder, name, 'svid.pem'), leaf.cert),
        writeFile(join(folder, name, 'key.pem'), leaf.key),
        writeFile(join(folder, name, 'bundle.pem'), ca.bundle),
      ]);
      await symlink(name, inFolder('..next'));
      await rename(inFolder('..next'), inFolder('..data'));
    };
    await version('..1', await ca.issue({ spiffeId: ID }));
    for (const file of ['svid.pem', 'key.pem', 'bundle.pem']) await symlink(`..data/${file}`, inFolder(file));
    const { source } = await open();
    expect(source.state.svid).toBeDefined();
    const next = await ca.issue({ spiffeId: ID });
    await version('..2', next);
    await rm(inFolder('..1'), { recursive: true });
    await isTrue('the new SVID is held', () => source.state.svid?.certificateChain === next.cert);
    expect(log.entries.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  test.each([
    ['is removed', () => rm(inFolder('svid.pem')), 'does not exist'],
    ['is emptied', () => put(inFolder('svid.pem'), ''), 'no certificate in PEM'],
    ['is cut off', () => put(inFolder('svid.pem'), ca.bundle.slice(0, 99)), 'no certificate in PEM'],
    ['is garbled', () => put(inFolder('svid.pem'), ca.bundle.replace('MII', 'AAA')), 'cannot be read'],
    ['has a garbled key', () => put(inFolder('key.pem'), 'not a key'), 'private key cannot be read'],
  ])('that are broken leave what was held: the SVID %s', async (_what, breakIt, words) => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source, changes } = await open();
    const held = source.state;
    await breakIt();
    await logged(words);
    expect(source.state).toBe(held);
    expect(changes()).toBe(1);
  });

  test.each([
    ['has an invalid SPIFFE ID', { uris: ['spiffe://Prod/x'] }, 'spiffe_id'],
    ['has no URI', { uris: [] }, 'spiffe_id'],
    ['has expired', { lifetimeMs: -60_000 }, 'expired'],
    ['is of a trust domain without a bundle', { uris: ['spiffe://b.example/x'] }, 'trust_domain'],
    ['is only for clients', { purposes: ['1.3.6.1.5.5.7.3.2'] }, 'key_usage'],
    ['is only for servers', { purposes: ['1.3.6.1.5.5.7.3.1'] }, 'key_usage'],
    ['is a CA', { isCa: true }, 'key_usage'],
  ])('are refused where the certificate %s', async (_what, shape, cause) => {
    await write(await ca.issue({ spiffeId: ID, ...shape }));
    const { source } = await open();
    expect(source.state.svid).toBeUndefined();
    expect(source.state.bundles.size).toBe(1);
    expect(log.entries).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ cause }) }),
    );
  });

  test('are refused while their own bundle does not vouch for them, and taken once it does', async () => {
    await using other = await createTestCa(DOMAIN);
    const leaf = await other.issue({ spiffeId: ID });
    await write(leaf);
    const { source } = await open();
    expect(source.state.svid).toBeUndefined();
    await put(inFolder('bundle.pem'), other.bundle);
    await isTrue('the SVID is held', () => source.state.svid?.certificateChain === leaf.cert);
  });

  test('are taken when their time has come, without another change', async () => {
    const leaf = await ca.issue({
      spiffeId: ID,
      notBefore: Date.now() + HOUR,
      notAfter: Date.now() + 2 * HOUR,
    });
    await write(leaf);
    const { source } = await open();
    expect(source.state.svid).toBeUndefined();
    expect(log.text()).toContain('not valid for another');
    asked = 0;
    await isTrue('looked at several times', () => asked > 3);
    offset = HOUR + 5_000;
    await isTrue('the SVID is held', () => source.state.svid?.certificateChain === leaf.cert);
    expect(log.entries.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test.each(['SEC 1', 'PKCS #1'])('may have a key in %s, which is held in PKCS #8', async (form) => {
    const leaf = await ca.issue({ spiffeId: ID, key: form === 'SEC 1' ? 'P-256' : 'RSA-2048' });
    const type = form === 'SEC 1' ? 'sec1' : 'pkcs1';
    const key = createPrivateKey(leaf.key).export({ type, format: 'pem' }).toString();
    await write({ ...leaf, key });
    const { source } = await open();
    expect(source.state.svid?.privateKey).toBe(leaf.key);
  });

  test('with an encrypted key are refused in words', async () => {
    const leaf = await ca.issue({ spiffeId: ID });
    const key = createPrivateKey(leaf.key)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
      .toString();
    await write({ ...leaf, key });
    expect((await open()).source.state.svid).toBeUndefined();
    expect(log.text()).toContain('the private key is encrypted');
  });

  test('never put the key into the log', async () => {
    const leaf = await ca.issue({ spiffeId: ID });
    await write(leaf);
    await open();
    await put(inFolder('key.pem'), leaf.key.replace('BEGIN', 'BEGUN'));
    await logged('private key cannot be read');
    for (const line of leaf.key.split('\n').filter((text) => text.length > 20 && !text.includes('-----')))
      expect(log.text()).not.toContain(line);
  });

  test('are left alone after disposal', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source, changes } = await open();
    await source[Symbol.asyncDispose]();
    await write(await ca.issue({ spiffeId: ID }));
    // Another source that sees the change shows that there was time to.
    const { source: witness } = await open();
    expect(witness.state.svid?.certificateChain).not.toBe(source.state.svid?.certificateChain);
    expect(changes()).toBe(1);
  });

  test('are watched once, however often that is begun, and not after disposal', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source, changes } = await open();
    await source.start();
    await source[Symbol.asyncDispose]();
    await source.start();
    expect(changes()).toBe(1);
  });

  test('are not taken by a look that disposal came before', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const files = { certFile: inFolder('svid.pem'), keyFile: inFolder('key.pem') };
    const bundles = [{ trustDomain: DOMAIN, file: inFolder('bundle.pem') }];
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    const source = createSvidFiles({ ...files, bundles, clock, log });
    const started = source.start();
    await source[Symbol.asyncDispose]();
    await started;
    expect(source.state).toEqual({ bundles: new Map() });
  });

  test('tell everybody, though somebody who is told fails', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source } = await open();
    let told = 0;
    source.onChange(() => {
      throw new Error('not now');
    });
    source.onChange(() => (told += 1));
    await put(inFolder('bundle.pem'), `${ca.bundle}# again\n`);
    await isTrue('the other is told', () => told === 1);
    await put(inFolder('bundle.pem'), `${ca.bundle}# and again\n`);
    await isTrue('the other is told again', () => told === 2);
  });

  test('tell nobody who has stopped to listen', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source, changes } = await open();
    let told = 0;
    const stop = source.onChange(() => (told += 1));
    stop();
    await put(inFolder('bundle.pem'), `${ca.bundle}# again\n`);
    await isTrue('others are told', () => changes() === 2);
    expect(told).toBe(0);
  });
});

describe('bundle files', () => {
  test('of several trust domains are held side by side', async () => {
    await using partner = await createTestCa('partner.example.org');
    await write(await ca.issue({ spiffeId: ID }));
    const keys = [{ kty: 'EC', use: 'x509-svid', x5c: [partner.der.toString('base64')] }];
    await put(inFolder('partner.example.org.json'), JSON.stringify({ keys }));
    const { source } = await open([DOMAIN, 'partner.example.org']);
    expect([...source.state.bundles.keys()]).toEqual([DOMAIN, 'partner.example.org']);
  });

  test('that change are taken, and the SVID and the other bundles stay the same objects', async () => {
    await using next = await createTestCa(DOMAIN);
    await write(await ca.issue({ spiffeId: ID }));
    await put(inFolder('b.example.json'), '{"keys":[]}');
    const { source, changes } = await open([DOMAIN, 'b.example']);
    const { svid, bundles } = source.state;
    await put(inFolder('bundle.pem'), ca.bundle + next.bundle);
    await isTrue('both CAs are held', () => source.state.bundles.get(DOMAIN)?.x509Authorities.length === 2);
    expect(source.state.svid).toBe(svid);
    expect(source.state.bundles.get('b.example')).toBe(bundles.get('b.example'));
    expect(changes()).toBe(2);
  });

  test('that are broken leave the bundle that was held, and the log says why, once', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    const { source } = await open();
    const held = source.state;
    await put(inFolder('bundle.pem'), ca.bundle.slice(0, 200));
    await logged('trust bundle refused');
    await put(inFolder('key.pem'), 'not a key');
    await logged('private key cannot be read');
    expect(source.state).toBe(held);
    expect(log.entries.filter(({ message }) => message.startsWith('trust bundle refused'))).toHaveLength(1);
  });

  test('that become empty revoke the trust domain', async () => {
    await write(await ca.issue({ spiffeId: ID }));
    await put(inFolder('b.example.json'), '{"keys":[],"spiffe_sequence":1}');
    const { source } = await open([DOMAIN, 'b.example']);
    expect(source.state.bundles.get('b.example')?.x509Authorities).toEqual([]);
  });
});
