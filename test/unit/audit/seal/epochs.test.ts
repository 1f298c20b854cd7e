import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { parseVerifierKey } from '../../../../src/audit/tlog/note-key.ts';
import { tempDir } from '../log-fixture.ts';
import {
  type SealedLog,
  checkpointOf,
  expectSealed,
  linesOf,
  openSealedLog,
  settingsFor,
} from './seal-fixture.ts';

const HOUR = 3_600_000;

async function open(epochMs = HOUR): Promise<SealedLog> {
  const log = await openSealedLog({ settings: { epochMs } });
  prepareIdentity(log.settings);
  return log;
}

function epochsOf({ dir }: SealedLog): number[] {
  return checkpointOf(dir).epochs.map(({ number }) => number);
}

function privateKeys({ dir }: SealedLog): string[] {
  return readdirSync(join(dir, 'keys')).filter((name) => name.endsWith('.pem'));
}

function rotations({ dir }: SealedLog): unknown[] {
  return linesOf(dir)
    .map((bytes): { kind: string; epoch?: number; vkey?: string; valid_until?: string } =>
      JSON.parse(bytes.toString()),
    )
    .filter(({ kind }) => kind === 'key_rotated');
}

describe('keys that sign', () => {
  it('change when their epoch ends: the first checkpoint after is signed by both, and the old key is erased', async () => {
    const log = await open();
    await log.seal();
    expect(epochsOf(log)).toEqual([1]);
    expect(privateKeys(log)).toEqual(['epoch-1.pem']);
    log.clock.advance(HOUR - 30_000);
    log.loop.round();
    expect(epochsOf(log)).toEqual([1, 2]);
    expect(privateKeys(log)).toEqual(['epoch-2.pem']);
    log.clock.advance(1000);
    await log.seal();
    expect(epochsOf(log)).toEqual([2]);
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
  });

  it('are recorded in the log, each once', async () => {
    const log = await open();
    for (let epoch = 0; epoch < 3; epoch++) {
      await log.seal();
      log.restart();
      await log.seal();
      log.clock.advance(HOUR);
    }
    expect(rotations(log)).toMatchObject([{ epoch: 1 }, { epoch: 2 }, { epoch: 3 }]);
    const [first] = rotations(log) as { vkey: string; valid_until: string }[];
    expect(parseVerifierKey(first?.vkey ?? '').name).toBe('example.com/pdp/test');
    expect(first?.valid_until).toBe('2026-01-02T01:00:00.000Z');
  });

  it('are recorded although the log could not take the record at first', async () => {
    const log = await open();
    const { writer } = log;
    let refusing = true;
    const appendControl = writer.appendControl.bind(writer);
    writer.appendControl = (kind, fields) =>
      refusing && kind === 'key_rotated' ? Promise.reject(new Error('full')) : appendControl(kind, fields);
    await log.seal();
    expect(rotations(log)).toEqual([]);
    refusing = false;
    await log.seal();
    await log.seal();
    expect(rotations(log)).toMatchObject([{ epoch: 1 }]);
  });

  it('are erased where they are, and never what a link of such a name leads to', async () => {
    const log = await open();
    await log.seal();
    const elsewhere = join(tempDir(), 'precious');
    writeFileSync(elsewhere, 'not to be written over');
    symlinkSync(elsewhere, join(log.dir, 'keys', 'epoch-7.pem'));
    log.restart();
    await log.seal();
    expect(privateKeys(log)).toEqual(['epoch-1.pem']);
    expect(readFileSync(elsewhere, 'utf8')).toBe('not to be written over');
  });

  it('outlive a restart within their epoch', async () => {
    const log = await open();
    await log.seal();
    log.loop.finish();
    log.restart();
    log.clock.advance(HOUR / 2);
    await log.seal();
    expect(epochsOf(log)).toEqual([1]);
  });

  it('are replaced where the private one is gone or not its own', async () => {
    const log = await open();
    await log.seal();
    rmSync(join(log.dir, 'keys/epoch-1.pem'));
    log.restart();
    await log.seal();
    expect(epochsOf(log)).toEqual([2]);
    const other = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(log.dir, 'keys/epoch-2.pem'), other);
    log.restart();
    await log.seal();
    expect(epochsOf(log)).toEqual([3]);
    expect(privateKeys(log)).toEqual(['epoch-3.pem']);
  });

  it('can be read by their owner only', async () => {
    const log = await open();
    await log.seal();
    expect(statSync(join(log.dir, 'keys/epoch-1.pem')).mode & 0o777).toBe(0o600);
    expect(statSync(log.settings.identityFile).mode & 0o777).toBe(0o600);
  });
});

describe('the identity key', () => {
  it('may be taken away between the epochs; without it the running key signs while it lasts', async () => {
    const log = await open();
    await log.seal();
    const { identityFile } = log.settings;
    renameSync(identityFile, `${identityFile}.away`);
    log.restart();
    await log.seal();
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
    log.clock.advance(HOUR - 30_000);
    log.loop.round();
    expect(log.loop.status()).toMatchObject({
      sealing: true,
      problems: [expect.stringMatching(/no new key can sign .* is not there/)],
    });
    log.clock.advance(HOUR);
    log.loop.round();
    expect(log.loop.status()).toMatchObject({
      sealing: false,
      problems: [expect.anything(), expect.stringMatching(/no key may sign now/)],
    });
    renameSync(`${identityFile}.away`, identityFile);
    log.clock.advance(20_000);
    await log.seal();
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
  });

  it('is made once, and not for a log that had another', async () => {
    const log = await open();
    await log.seal();
    const { identityFile } = log.settings;
    const before = readFileSync(identityFile);
    prepareIdentity(log.settings);
    expect(readFileSync(identityFile)).toEqual(before);
    rmSync(identityFile);
    prepareIdentity(log.settings);
    expect(existsSync(identityFile)).toBe(false);
  });

  it('cannot be another than the one that the log began with', async () => {
    const log = await open();
    await log.seal();
    rmSync(log.settings.identityFile);
    prepareIdentity(settingsFor(tempDir(), log.settings.identityFile));
    log.restart();
    log.loop.round();
    expect(log.loop.status()).toMatchObject({
      sealing: false,
      problems: [expect.stringMatching(/is not the key that this log began with/)],
    });
  });

  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const rsa = other.export({ type: 'pkcs8', format: 'pem' }).toString();
  const encrypted = generateKeyPairSync('ed25519')
    .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString();

  it.each([
    [
      'that others can read',
      (file: string) => chmodSync(file, 0o640),
      /can be read by others than its owner \(0640\)/,
    ],
    ['that is no key', (file: string) => writeFileSync(file, 'nothing'), /not a private key in PEM form/],
    ['of another algorithm', (file: string) => writeFileSync(file, rsa), /not Ed25519/],
    ['that is encrypted', (file: string) => writeFileSync(file, encrypted), /not a private key in PEM form/],
    [
      'that is too large',
      (file: string) => writeFileSync(file, 'x'.repeat(20_000)),
      /is not the file of a key/,
    ],
  ])('is refused in a file %s', (_, change, said) => {
    const settings = settingsFor(tempDir());
    prepareIdentity(settings);
    change(settings.identityFile);
    expect(() => prepareIdentity(settings)).toThrow(InputError);
    expect(() => prepareIdentity(settings)).toThrow(said);
  });

  it.runIf(process.getuid?.() === 0)('may be given through a group, but not to everybody', () => {
    const settings = settingsFor(tempDir());
    prepareIdentity(settings);
    chownSync(settings.identityFile, 12_345, 0);
    chmodSync(settings.identityFile, 0o440);
    prepareIdentity(settings);
    chmodSync(settings.identityFile, 0o444);
    expect(() => prepareIdentity(settings)).toThrow(/can be read by others/);
  });

  it('is refused where it cannot be made', () => {
    const file = join(tempDir(), 'file');
    writeFileSync(file, '');
    expect(() => prepareIdentity(settingsFor(tempDir(), join(file, 'identity.pem')))).toThrow(InputError);
  });
});
