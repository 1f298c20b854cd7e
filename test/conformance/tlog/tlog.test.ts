import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { generateSigningKey, verifierKeyText } from '../../../src/audit/tlog/note-key.ts';
import { findGo } from '../../support/parts.ts';
import { buildVerifier, runVerifier, type Verdict } from './go-verifier.ts';
import { makeLog, prune, type MadeLog } from './log-maker.ts';

const BROKEN_SIZE = 5000;
const EVIDENCE = ['-proofs', 'evidence', '-older', 'evidence/older', '-consistency', 'evidence/consistency'];

function verdictOf(program: string, log: MadeLog, ...flags: string[]): Verdict {
  return runVerifier(program, log.dir, ['-identity', log.identity, ...EVIDENCE, ...flags]);
}

/** A change to one file of a log; it is undone when the test is finished. */
function change(log: MadeLog, path: string, edit: (content: Buffer) => Uint8Array | string): void {
  const file = join(log.dir, path);
  const before = readFileSync(file);
  onTestFinished(() => writeFileSync(file, before));
  const after = Buffer.from(edit(before));
  expect(after.equals(before)).toBe(false);
  writeFileSync(file, after);
}

/** Flips one bit of the byte at a place: from the end where it is negative. */
const flipAt =
  (place: number) =>
  (content: Buffer): Buffer => {
    const at = place < 0 ? content.length + place : place;
    return Buffer.from(content.map((byte, index) => (index === at ? byte ^ 0x01 : byte)));
  };

/** Puts another character of base64 in place of the first one of a line of a text. */
const otherHash =
  (lineNumber: number) =>
  (content: Buffer): string => {
    const lines = content.toString().split('\n');
    return lines
      .with(
        lineNumber,
        (lines[lineNumber] ?? '').replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
      )
      .join('\n');
  };

describe.skipIf(findGo() === undefined)(
  'a verifier that is not ours (Go, golang.org/x/mod/sumdb and torchwood)',
  () => {
    let program: string;
    let broken: MadeLog;

    beforeAll(() => {
      const built = buildVerifier();
      program = built.program;
      broken = makeLog(BROKEN_SIZE);
      return () => {
        broken.remove();
        built.remove();
      };
    });

    test.each([1, 2, 255, 256, 257, 4097, 65_536, 65_536 + 300])(
      'finds every line of a log of %i in its tree, and the tree grown out of its older checkpoint',
      (size) => {
        const log = makeLog(size);
        onTestFinished(log.remove);
        const { status, says } = verdictOf(program, log);
        expect(says).toMatch(new RegExp(`^OK: ${size} lines, [1-9][0-9]* proofs, 2 epochs\n$`));
        expect(status).toBe(0);
      },
      60_000,
    );

    test('accepts the log that the following tests break', () => {
      expect(verdictOf(program, broken)).toMatchObject({ status: 0 });
    });

    const lastSegment = 'segment-00000000000000003000.ndjson';
    const checkpointLine = 4 + Math.ceil(Math.log2(BROKEN_SIZE));

    test.each([
      ['the first byte of a line', lastSegment, flipAt(0), /^FAILED: line 3000: /],
      ['the last byte of a line', lastSegment, flipAt(-2), /^FAILED: line 4999: /],
      ['the newline at the end', lastSegment, flipAt(-1), /^FAILED: lines: .*torn/],
      ['a full tile', 'tile/0/000', flipAt(0), /^FAILED: tiles: /],
      ['the last byte of a full tile', 'tile/0/018', flipAt(-1), /^FAILED: tiles: /],
      ['the partial tile of leaves', 'tile/0/019.p/136', flipAt(-1), /^FAILED: tiles: /],
      ['the tile above', 'tile/1/000.p/19', flipAt(40), /^FAILED: tiles: /],
      ['the origin of the checkpoint', 'checkpoint', flipAt(0), /^FAILED: checkpoint: /],
      ['the root of the checkpoint', 'checkpoint', otherHash(2), /^FAILED: checkpoint: /],
      ['the time of the checkpoint', 'checkpoint', flipAt(85), /^FAILED: checkpoint: /],
      ['the certificate of the epoch', 'keys/epoch-1.note', flipAt(25), /^FAILED: epoch certificate: /],
      ['the key in the certificate', 'keys/epoch-1.note', otherHash(3), /^FAILED: epoch certificate: /],
      ['the signature of the certificate', 'keys/epoch-1.note', flipAt(-10), /^FAILED: epoch certificate: /],
      ['a hash of a proof', 'evidence/512.tlog-proof', otherHash(3), /^FAILED: tlog-proof: 512/],
      ['the index of a proof', 'evidence/512.tlog-proof', withIndex513, /^FAILED: tlog-proof: 512/],
      [
        'the checkpoint in a proof',
        'evidence/0.tlog-proof',
        otherHash(checkpointLine + 2),
        /^FAILED: tlog-proof: 0/,
      ],
      ['the consistency proof', 'evidence/consistency', otherHash(0), /^FAILED: consistency: /],
      ['the older checkpoint', 'evidence/older', otherHash(2), /^FAILED: consistency: /],
    ])('refuses the log after a change of %s', (_, path, edit, says) => {
      change(broken, path, edit);
      const verdict = verdictOf(program, broken);
      expect(verdict.says).toMatch(says);
      expect(verdict.status).toBe(1);
    });

    test('refuses the log after two lines were swapped', () => {
      change(broken, lastSegment, (content) => {
        const lines = content.toString().split('\n');
        return lines
          .with(7, lines[8] ?? '')
          .with(8, lines[7] ?? '')
          .join('\n');
      });
      expect(verdictOf(program, broken).says).toMatch(/^FAILED: line 3007: /);
    });

    test('refuses the log after its last line was cut off', () => {
      change(broken, lastSegment, (content) => content.subarray(0, content.lastIndexOf('\n', -2) + 1));
      expect(verdictOf(program, broken).says).toMatch(
        /^FAILED: lines: they end at 4999, and the checkpoint is over 5000/,
      );
    });

    test('finds every line that is left of a pruned log in its tree, and refuses it where pruning is not expected', () => {
      const log = makeLog(BROKEN_SIZE);
      onTestFinished(log.remove);
      prune(log);
      expect(verdictOf(program, log, '-pruned').says).toMatch(
        /^OK: 2000 lines, [1-9][0-9]* proofs, 2 epochs\n$/,
      );
      expect(verdictOf(program, log).says).toMatch(/^FAILED: lines: .*line 0 would be next/);
    });

    test('refuses the log under the identity key of somebody else', () => {
      const name = broken.identity.slice(0, broken.identity.indexOf('+'));
      const other = { ...broken, identity: verifierKeyText(generateSigningKey(name)) };
      expect(verdictOf(program, other).says).toMatch(/^FAILED: epoch certificate: /);
    });
  },
);

function withIndex513(content: Buffer): string {
  return content.toString().replace('\nindex 512\n', '\nindex 513\n');
}
