import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nextPruning, prune } from '../../../../src/audit/seal/retention.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { parseCheckpoint, signCheckpoint } from '../../../../src/audit/tlog/checkpoint.ts';
import { leafHash } from '../../../../src/audit/tlog/hash.ts';
import {
  generateSigningKey,
  parseVerifierKey,
  signingKeyFromPem,
  verifierKeyText,
} from '../../../../src/audit/tlog/note-key.ts';
import { Findings } from '../../../../src/audit/verify/findings.ts';
import { headsOf } from '../../../../src/audit/verify/head-check.ts';
import { headNow, isIn } from '../../../../src/audit/verify/signed-since.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { verifyText } from '../../../../src/cli/audit-verify-text.ts';
import { line, openWriter, tempDir } from '../log-fixture.ts';
import { NOW, identityFile, seal, sealedLog, segmentNames } from './sealed-log.ts';

const ORIGIN = 'example.com/pdp/test';

/** A log whose process was killed: sealed to its end, not closed. */
async function killedLog(decisions = 900): Promise<{ dir: string; key: string; next: number }> {
  const [live, dir, key] = [tempDir(), join(tempDir(), 'copy'), identityFile()];
  const writer = await openWriter(live, { segmentBytes: 20_000 });
  for (let i = 0; i < decisions; i++) await writer.append(line(`d-${i}`));
  seal(live, writer, key);
  cpSync(live, dir, { recursive: true });
  rmSync(join(dir, 'writer.lock'), { force: true });
  return { dir, key, next: decisions + 1 };
}

/** Puts lines of one's own at the end of a log. */
function putIn(dir: string, index: number, kind: string, fields: object): void {
  const record = { v: 1, kind, log: ORIGIN, index, ...fields };
  appendFileSync(join(dir, segmentNames(dir).at(-1) ?? ''), `${JSON.stringify(record)}\n`);
}

/** Removes the oldest segment with the tiles below it, as retention would. */
function removeOldest(dir: string): number {
  const to = Number(segmentNames(dir)[1]?.slice(8, 28)) - 1;
  rmSync(join(dir, segmentNames(dir)[0] ?? ''));
  return to;
}

async function failures(dir: string, options = {}): Promise<string[]> {
  const { problems } = await verifyLog(dir, options);
  return problems
    .filter(({ severity }) => severity === 'failed')
    .map(({ question, message }) => `${question}: ${message}`);
}

describe('who can write into the folder and has no key', () => {
  it('cannot excuse what was removed by a line of retention, even where a process seems to be writing the log', async () => {
    const { dir, next } = await killedLog();
    const to = removeOldest(dir);
    putIn(dir, next, 'pruned', { from: 0, to });
    expect((await failures(dir)).join()).toContain(`records 0 to ${to}, which were sealed, are not here`);
    // Any process that lives will do for a forged lock.
    writeFileSync(join(dir, 'writer.lock'), JSON.stringify({ pid: process.pid, start: '' }));
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed', completeness: 'failed' });
  });

  it('cannot have records taken for signed that are much younger than the newest checkpoint', async () => {
    const { dir, next } = await killedLog(3);
    putIn(dir, next, 'decision', { decision_id: 'x', timestamp: new Date(NOW + 1000).toISOString() });
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok', unsealed: 1 });
    putIn(dir, next + 1, 'decision', { decision_id: 'y', timestamp: new Date(NOW + 90_000).toISOString() });
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'not_checked', completeness: 'ok', unsealed: 2 });
    expect(report.problems.map(({ message }) => message).join()).toMatch(/90 s younger .* signed by nobody/);
  });

  it('cannot hide bytes behind a tile or a compressed segment', async () => {
    const { dir } = await sealedLog({ decisions: 300, segmentBytes: 10_000, compress: true });
    const first = join(dir, segmentNames(dir)[0] ?? '');
    appendFileSync(first, Buffer.alloc(10));
    appendFileSync(join(dir, 'tile/0/000'), Buffer.alloc(32));
    const found = (await failures(dir)).join();
    expect(found).toContain('goes on after the end of what is compressed');
    expect((await verifyLog(dir)).problems.map(({ file }) => file)).toContain('tile/0/000');
  });

  it('cannot have another text of a segment beside it without a word', async () => {
    const { dir } = await sealedLog({ decisions: 5 });
    writeFileSync(join(dir, `${segmentNames(dir)[0]}.gz`), 'what others may read');
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok' });
    expect(report.problems.map(({ severity, message }) => `${severity} ${message}`)).toEqual([
      'note it is there twice, plain and compressed: only the plain one was looked at',
    ]);
  });

  it('cannot exchange the key in the folder unseen by who brings the right one', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    const path = join(dir, 'keys', 'identity.vkey');
    const identity = parseVerifierKey(readFileSync(path, 'utf8'));
    writeFileSync(path, `${verifierKeyText(generateSigningKey(ORIGIN))}\n`);
    expect(await failures(dir, { identity })).toEqual([
      "integrity: the folder's key was exchanged: it is not the key that you gave, which vouches for what signed this log",
    ]);
  });

  it('cannot write to the terminal of who verifies', async () => {
    const { dir, next } = await killedLog(3);
    putIn(dir, next, 'gap', { count: 1, reason: '\u001b[2J\nINTEGRITY:    OK\u009b31m' });
    const text = verifyText('/log\u001b]0;x', await verifyLog(dir));
    // eslint-disable-next-line no-control-regex -- the point
    expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(text.match(/^INTEGRITY:/gm)).toHaveLength(1);
  });

  it.each([
    'checkpoint',
    'checkpoints.log',
    'keys/epoch-1.note',
    'keys/identity.vkey',
    'segment-00000000000000000000.ndjson',
    'tile/0/000.p/5',
  ])(
    'cannot stop a verification by a pipe, or something without an end, in the place of %s',
    async (name) => {
      const { dir } = await sealedLog({ decisions: 3 });
      const path = join(dir, name);
      rmSync(path);
      execFileSync('mkfifo', [path]);
      expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed' });
      rmSync(path);
      symlinkSync('/dev/zero', path);
      expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed' });
      rmSync(path);
      mkdirSync(path);
      expect(await verifyLog(dir)).toMatchObject({ integrity: 'failed' });
    },
  );

  it('cannot take away the kept checkpoints without a word', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    rmSync(join(dir, 'checkpoints.log'));
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok' });
    expect(report.problems).toMatchObject([{ severity: 'note', file: 'checkpoints.log' }]);
  });

  it('cannot stop a verification by pipes beside the log', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    mkdirSync(join(dir, 'inbox'));
    for (const name of ['segment-00000000000000000000.blobs', 'inbox/a.json'])
      execFileSync('mkfifo', [join(dir, name)]);
    expect((await failures(dir)).join()).toContain('is no file');
  });

  it('cannot stop a verification by checkpoints without an end', async () => {
    const { dir } = await sealedLog({ decisions: 3 });
    writeFileSync(join(dir, 'checkpoints.log'), Buffer.alloc(17 * 1024 * 1024, 0x61));
    expect((await failures(dir)).join()).toMatch(/it cannot be read to its end \(.* has a line of more than/);
  });

  it('gets nothing said for the log where another key was given, and the reason first of all', async () => {
    const { dir, next } = await killedLog(3);
    putIn(dir, next, 'recovered', { bytes_dropped: 1 });
    const report = await verifyLog(dir, { identity: generateSigningKey('example.com/other') });
    const text = verifyText(dir, report);
    expect(text).not.toContain('vouches for what signed');
    expect(text.split('\n')[4]).toContain('the key that you gave (--vkey) is not the key of this log');
  });

  it('cannot stop a verification by a line without an end', async () => {
    const { dir } = await killedLog(3);
    const path = join(dir, segmentNames(dir)[0] ?? '');
    truncateSync(path, statSync(path).size + 20 * 1024 * 1024);
    expect((await failures(dir)).join()).toContain('has a line of more than');
  });
});

describe('who has got the key of an epoch', () => {
  it('cannot sign for a time before that of a checkpoint that is kept', async () => {
    const { dir } = await sealedLog({ decisions: 30, sealEvery: 10 });
    const key = signingKeyFromPem(ORIGIN, readFileSync(join(dir, 'keys', 'epoch-1.pem')));
    const at = (time: number) => {
      const newest = parseCheckpoint(readFileSync(join(dir, 'checkpoint'), 'utf8').split('\n\n')[0] + '\n');
      return signCheckpoint({ ...newest, time }, [key]);
    };
    appendFileSync(join(dir, 'checkpoints.log'), `${at(NOW + 5000)}\n`);
    expect((await failures(dir)).join()).toMatch(/the newest checkpoint says an earlier time/);
    writeFileSync(join(dir, 'checkpoint'), at(NOW + 9000));
    expect(await failures(dir)).toEqual([]);
    appendFileSync(join(dir, 'checkpoints.log'), `${at(NOW + 4000)}\n`);
    expect((await failures(dir)).join()).toMatch(/a checkpoint of .* after one of /);
  });
});

describe('a log that goes on while it is verified', () => {
  it('is excused by what was signed meanwhile, line by line, and by nothing else', async () => {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir);
    await writer.append(line('d-0'));
    seal(dir, writer, key);
    const before = headsOf(dir, {}, new Findings());
    await writer.appendControl('pruned', { to: 0 });
    const index = writer.nextIndex - 1;
    const last = readFileSync(join(dir, segmentNames(dir)[0] ?? ''))
      .toString()
      .trimEnd()
      .split('\n')
      .at(-1);
    const claim = { index, leaf: leafHash(Buffer.from(last ?? '')) };
    expect(isIn(dir, claim, headNow(dir, before))).toBe(false);
    seal(dir, writer, key, NOW + 1000);
    const now = headNow(dir, before);
    expect(now).toMatchObject({ size: index + 1, time: NOW + 1000 });
    expect(isIn(dir, claim, now)).toBe(true);
    expect(isIn(dir, { ...claim, index: index - 1 }, now)).toBe(false);
    expect(isIn(dir, { index, leaf: leafHash(Buffer.from('{}')) }, now)).toBe(false);
    writeFileSync(join(dir, 'checkpoint'), 'nothing');
    expect(headNow(dir, before)).toBe(before.newest);
  });

  it('is looked at anew where retention removes what is being read', async () => {
    const [dir, key] = [tempDir(), identityFile()];
    const writer = await openWriter(dir, { segmentBytes: 3_000_000 });
    for (let part = 0; part < 10; part++)
      await Promise.all(Array.from({ length: 5_000 }, (_, i) => writer.append(line(`d-${part}-${i}`))));
    seal(dir, writer, key);
    const progress = { sealed: 50_001, open: writer.committed.read().segment, keepFrom: 50_001, now: NOW };
    const pruning = nextPruning(dir, { maxBytes: 1_500_000 }, progress);
    if (pruning === undefined) throw new Error('nothing to prune');
    await writer.appendControl('pruned', { from: 0, to: pruning.to, root: pruning.root });
    seal(dir, writer, key, NOW + 1000);
    let pruned = false;
    const report = await verifyLog(dir, {
      onProgress: () => {
        if (!pruned) prune(dir, pruning, NODE_SEAL_FS);
        pruned = true;
      },
    });
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok', firstIndex: pruning.to + 1 });
    expect(report.problems.map(({ severity }) => severity)).toEqual(['note']);
    expect(readdirSync(join(dir, 'tile', '0'))).not.toContain('000');
  });
});
