import { cpSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { nextPruning, prune } from '../../../../src/audit/seal/retention.ts';
import { generateSigningKey, parseVerifierKey } from '../../../../src/audit/tlog/note-key.ts';
import { verifyRecord } from '../../../../src/audit/verify/record-proof.ts';
import { type VerifyOptions, verifyLog } from '../../../../src/audit/verify/verify.ts';
import { line, openWriter, tempDir } from '../log-fixture.ts';
import { NOW, compressClosed, identityFile, seal, sealedLog, segmentNames } from './sealed-log.ts';

async function failures(dir: string, options: VerifyOptions = {}): Promise<string[]> {
  const { problems } = await verifyLog(dir, options);
  return problems
    .filter(({ question, severity }) => question === 'integrity' && severity === 'failed')
    .map(({ file, message }) => `${file ?? '-'}: ${message}`);
}

function vkey(dir: string) {
  return parseVerifierKey(readFileSync(join(dir, 'keys', 'identity.vkey'), 'utf8'));
}

/** Flips one bit of a file. */
function flip(path: string, at = Math.floor(statSync(path).size / 2)): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('the integrity of a log', () => {
  it.each([{ compress: false }, { compress: true }])(
    'is ok where nothing was touched (%o)',
    async ({ compress }) => {
      const { dir } = await sealedLog({ decisions: 700, segmentBytes: 20_000, sealEvery: 100, compress });
      const report = await verifyLog(dir);
      expect(report.problems).toEqual([]);
      expect(report).toMatchObject({
        integrity: 'ok',
        completeness: 'ok',
        records: 702,
        unsealed: 0,
        sealed: { size: 702, time: NOW },
        evidence: { identityKey: 'folder', olderCheckpoint: false },
      });
      expect(report.checkpoints).toBeGreaterThan(7);
    },
  );

  it('is checked under the key that is given, and fails under any other', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    expect(await verifyLog(dir, { identity: vkey(dir) })).toMatchObject({
      integrity: 'ok',
      evidence: { identityKey: 'given' },
    });
    const other = generateSigningKey('example.com/pdp/test');
    expect(await failures(dir, { identity: other })).toEqual([
      expect.stringMatching(
        /^keys\/identity.vkey: the key that you gave \(--vkey\) is not the key of this log: you gave .*, and the folder has .*/,
      ),
      'keys/epoch-1.note: the certificate of an epoch key: the note has no signature of a trusted key',
      'checkpoint: the identity key vouches for none of the keys that sign checkpoints',
    ]);
  });

  it.each([
    'checkpoint',
    'checkpoints.log',
    'keys/identity.vkey',
    'keys/epoch-1.note',
    'tile/0/000',
    'tile/0/001.p/46',
    'tile/1/000.p/1',
  ])('fails where a bit of %s was flipped, and names it', async (file) => {
    const { dir } = await sealedLog({ decisions: 300, segmentBytes: 20_000 });
    flip(join(dir, file));
    const found = await failures(dir);
    expect(found.join('\n')).toContain(file);
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed' });
  });

  it.each(['tile/0/000', 'tile/0/001.p/46', 'tile/1/000.p/1', 'checkpoint', 'keys/epoch-1.note'])(
    'fails where %s is gone',
    async (file) => {
      const { dir } = await sealedLog({ decisions: 300, segmentBytes: 20_000 });
      rmSync(join(dir, file));
      expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed' });
    },
  );

  it('fails where tiles and lines were both written anew, and says from when on', async () => {
    const { dir } = await sealedLog({ decisions: 300, sealEvery: 100 });
    const forged = await sealedLog({ decisions: 300, sealEvery: 100 });
    const [name = ''] = segmentNames(dir);
    const text = readFileSync(join(dir, name), 'utf8').replace(
      '"decision_id":"d-150"',
      '"decision_id":"d-xxx"',
    );
    rmSync(join(forged.dir, 'tile'), { recursive: true });
    rmSync(join(forged.dir, 'checkpoint'));
    rmSync(join(forged.dir, 'checkpoints.log'));
    writeFileSync(join(forged.dir, name), text);
    const writer = await openWriter(forged.dir);
    await writer[Symbol.asyncDispose]();
    seal(forged.dir, writer, forged.key);
    rmSync(join(dir, 'tile'), { recursive: true });
    writeFileSync(join(dir, name), text);
    cpSync(join(forged.dir, 'tile'), join(dir, 'tile'), { recursive: true });
    const found = await failures(dir);
    expect(found).toHaveLength(2);
    expect(found.join('\n')).toMatch(
      /do not come to what was signed over the first 201 of them; up to 101 they do/,
    );
  });

  it('goes from one epoch key to the next, and needs the certificates of both', async () => {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir);
    for (let hour = 0; hour < 3; hour++) {
      await writer.append(line(`d-${hour}`));
      seal(dir, writer, key, NOW + hour * 20 * 3_600_000);
    }
    await writer[Symbol.asyncDispose]();
    seal(dir, writer, key, NOW + 60 * 3_600_000);
    expect(readdirSync(join(dir, 'keys'))).toContain('epoch-2.note');
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok', problems: [] });
    rmSync(join(dir, 'keys', 'epoch-1.note'));
    expect(await failures(dir)).toEqual([
      'checkpoints.log: a kept checkpoint: the note has no signature of a trusted key',
      'checkpoints.log: a kept checkpoint: the note has no signature of a trusted key',
    ]);
  });

  it('is not checked without any checkpoint, and not without any key', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'not_checked', completeness: 'ok', unsealed: 2 });
    const sealed = await sealedLog({ decisions: 2 });
    rmSync(join(sealed.dir, 'keys', 'identity.vkey'));
    expect(await verifyLog(sealed.dir)).toMatchObject({ integrity: 'not_checked', evidence: {} });
  });
});

describe('an older checkpoint', () => {
  async function grown() {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir);
    for (let i = 0; i < 40; i++) await writer.append(line(`d-${i}`));
    seal(dir, writer, key);
    const older = readFileSync(join(dir, 'checkpoint'), 'utf8');
    for (let i = 40; i < 90; i++) await writer.append(line(`d-${i}`));
    await writer[Symbol.asyncDispose]();
    seal(dir, writer, key);
    return { dir, key, older };
  }

  it('is what the log goes on from', async () => {
    const { dir, older } = await grown();
    expect(await verifyLog(dir, { older })).toMatchObject({
      integrity: 'ok',
      evidence: { olderCheckpoint: true },
      problems: [],
    });
  });

  it('shows a log that was written anew by the owner of its keys', async () => {
    const { dir, key, older } = await grown();
    for (const name of ['tile', 'checkpoint', 'checkpoints.log'])
      rmSync(join(dir, name), { recursive: true });
    const [name = ''] = segmentNames(dir);
    const path = join(dir, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace('"d-7"', '"d-x"'));
    const writer = await openWriter(dir);
    await writer[Symbol.asyncDispose]();
    seal(dir, writer, key);
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok' });
    expect(await failures(dir, { older })).toEqual([
      '--checkpoint: the records do not come to what was signed over the first 41 of them; up to 0 they do',
    ]);
  });

  it('shows a log that was put back to an older state', async () => {
    const { dir } = await grown();
    const newest = readFileSync(join(dir, 'checkpoint'), 'utf8');
    const before = await grown();
    expect(await failures(before.dir, { older: newest })).not.toEqual([]);
    const other = await grown();
    const signed = readFileSync(join(other.dir, 'checkpoint'), 'utf8');
    writeFileSync(join(other.dir, 'checkpoint'), other.older);
    expect((await failures(other.dir, { older: signed })).join()).toMatch(/an old state was put back/);
  });
});

describe('what is after the newest checkpoint', () => {
  async function unsealed(close: boolean) {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir);
    for (let i = 0; i < 10; i++) await writer.append(line(`d-${i}`));
    seal(dir, writer, key);
    for (let i = 10; i < 15; i++) await writer.append(line(`d-${i}`));
    if (close) await writer[Symbol.asyncDispose]();
    return { dir, writer, key };
  }

  it('is only counted while the log is being written, and so is half a line at its end', async () => {
    const { dir } = await unsealed(false);
    writeFileSync(join(dir, segmentNames(dir)[0] ?? ''), '{"v":1,"ki', { flag: 'a' });
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok', unsealed: 5, sealed: { size: 11 } });
    expect(report.problems).toMatchObject([{ severity: 'note', line: 17 }]);
  });

  it('is a problem where the log was closed in good order', async () => {
    const { dir } = await unsealed(true);
    expect(await failures(dir)).toEqual([
      '-: 6 records at the end were never sealed, though the log was closed in good order',
    ]);
  });

  it('must begin with another run where the log was closed', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    writeFileSync(join(dir, segmentNames(dir)[0] ?? ''), `${line('d-9')(5)}\n`, { flag: 'a' });
    expect((await failures(dir)).join()).toMatch(/a record after the log was closed/);
  });
});

describe('what retention has removed', () => {
  async function pruned(record: boolean) {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir, { segmentBytes: 20_000 });
    for (let i = 0; i < 900; i++) await writer.append(line(`d-${i}`));
    seal(dir, writer, key);
    const progress = { sealed: 901, open: writer.committed.read().segment, keepFrom: 901, now: NOW };
    const pruning = nextPruning(dir, { maxBytes: 40_000 }, progress);
    if (pruning === undefined) throw new Error('nothing to prune');
    const { from, to, bytes, root } = pruning;
    if (record) await writer.appendControl('pruned', { from, to, bytes, root });
    await writer[Symbol.asyncDispose]();
    seal(dir, writer, key, NOW + 120_000);
    prune(dir, pruning, NODE_SEAL_FS);
    return { dir, to };
  }

  it('is only noted where a sealed record says so, and all that is left is proven', async () => {
    const { dir, to } = await pruned(true);
    expect(readdirSync(join(dir, 'tile', '0'))).not.toContain('000');
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok', firstIndex: to + 1 });
    expect(report.problems.map(({ severity, message }) => [severity, message])).toEqual([
      ['note', `records 0 to ${to} were removed by retention, as the log says`],
    ]);
    expect(await verifyRecord(dir, to + 1)).toMatchObject({ verdict: 'proven' });
  });

  it('is missing where no record says so', async () => {
    const { dir, to } = await pruned(false);
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'failed', completeness: 'failed' });
    expect(report.problems.map(({ message }) => message).join()).toContain(`records 0 to ${to} are missing`);
  });

  it('still shows a changed line among those that are left', async () => {
    const { dir } = await pruned(true);
    flip(join(dir, segmentNames(dir)[0] ?? ''), 500);
    expect(await failures(dir)).toHaveLength(1);
  });
});

describe('one record', () => {
  it('is proven, not sealed, or not what was signed', async () => {
    const { dir } = await sealedLog({ decisions: 300, segmentBytes: 10_000 });
    compressClosed(dir);
    expect(await verifyRecord(dir, 0)).toMatchObject({
      verdict: 'proven',
      identity: 'folder',
      sealed: { size: 302 },
    });
    expect(await verifyRecord(dir, 301, vkey(dir))).toMatchObject({ verdict: 'proven', identity: 'given' });
    expect(await verifyRecord(dir, 302)).toMatchObject({ verdict: 'failed' });
    const path = join(dir, segmentNames(dir).at(-1) ?? '');
    writeFileSync(path, `${line('d-new')(302)}\n`, { flag: 'a' });
    expect(await verifyRecord(dir, 302)).toMatchObject({ verdict: 'not_sealed' });
    flip(path, 20);
    expect(await verifyRecord(dir, Number(segmentNames(dir).at(-1)?.slice(8, 28)))).toMatchObject({
      verdict: 'failed',
    });
    expect(await verifyRecord(dir, 0, generateSigningKey('example.com/pdp/test'))).toMatchObject({
      verdict: 'failed',
    });
    rmSync(join(dir, 'checkpoint'));
    expect(await verifyRecord(dir, 0)).toMatchObject({ verdict: 'not_checkable' });
  });
});
