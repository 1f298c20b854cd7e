import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogProblem } from '../../../../src/audit/verify/findings.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { sealedLog, segmentNames } from './sealed-log.ts';

const LINE_FEED = 0x0a;

/** A sealed log of several segments, as bytes, that can be changed and put back. */
async function openSealed(compress: boolean) {
  const { dir } = await sealedLog({ decisions: 300, segmentBytes: 8_000, sealEvery: 64, compress });
  const names = segmentNames(dir);
  const stored = names.map((name) => readFileSync(join(dir, name)));
  const plain = names.map((name, at) =>
    name.endsWith('.gz') ? gunzipSync(stored[at] ?? '') : stored[at],
  ) as Buffer[];
  const write = (segment: number, bytes: Buffer) => {
    const name = names[segment] ?? '';
    writeFileSync(join(dir, name), name.endsWith('.gz') ? gzipSync(bytes) : bytes);
  };
  const restore = () => names.forEach((name, at) => writeFileSync(join(dir, name), stored[at] ?? ''));
  return { dir, names, plain, write, restore, firstIndexes: names.map((name) => Number(name.slice(8, 28))) };
}

type Sealed = Awaited<ReturnType<typeof openSealed>>;

function linesOf(bytes: Buffer | undefined): Buffer[] {
  const lines: Buffer[] = [];
  for (let rest = bytes ?? Buffer.alloc(0); rest.length > 0;) {
    const end = rest.indexOf(LINE_FEED) + 1;
    lines.push(rest.subarray(0, end));
    rest = rest.subarray(end);
  }
  return lines;
}

/** Puts a changed segment in its place, verifies, and puts the log back as it was. */
async function integrityAfter(log: Sealed, segment: number, bytes: Buffer) {
  log.write(segment, bytes);
  const report = await verifyLog(log.dir);
  log.restore();
  const failures = report.problems.filter(
    ({ question, severity }) => question === 'integrity' && severity === 'failed',
  );
  return { integrity: report.integrity, failures };
}

/** Whether a failure is at this record, in words that name a file. */
function names(failures: readonly LogProblem[], index: number): boolean {
  return failures.some((problem) => problem.index === index && problem.file !== undefined);
}

const anywhere = fc.record({
  segment: fc.nat(),
  line: fc.nat(),
  other: fc.nat(),
  byte: fc.nat(),
  bit: fc.nat(7),
});
const runs = { numRuns: 30 };

describe.each([{ compress: false }, { compress: true }])(
  'verification of a sealed log with compress=$compress',
  ({ compress }) => {
    it('has several segments to look at', async () => {
      const log = await openSealed(compress);
      expect(log.names.length).toBeGreaterThan(4);
      expect(log.names.some((name) => name.endsWith('.gz'))).toBe(compress);
      expect(await verifyLog(log.dir)).toMatchObject({ integrity: 'ok', completeness: 'ok', problems: [] });
    });

    it('says where a bit was flipped', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, byte, bit }) => {
          const segment = any % log.names.length;
          const bytes = Buffer.from(log.plain[segment] ?? '');
          const at = byte % bytes.length;
          const index =
            (log.firstIndexes[segment] ?? 0) +
            bytes.subarray(0, at).filter((each) => each === LINE_FEED).length;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          const { integrity, failures } = await integrityAfter(log, segment, bytes);
          expect(integrity).toBe('failed');
          expect({ index, failures, found: names(failures, index) }).toMatchObject({ found: true });
        }),
        runs,
      );
    });

    it('says which line was deleted', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, line }) => {
          const segment = any % log.names.length;
          const lines = linesOf(log.plain[segment]);
          const at = line % lines.length;
          const { integrity, failures } = await integrityAfter(
            log,
            segment,
            Buffer.concat(lines.toSpliced(at, 1)),
          );
          expect(integrity).toBe('failed');
          expect(names(failures, (log.firstIndexes[segment] ?? 0) + at)).toBe(true);
          expect(failures).toHaveLength(1);
        }),
        runs,
      );
    });

    it('says which lines were swapped', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, line, other }) => {
          const segment = any % log.names.length;
          const lines = linesOf(log.plain[segment]);
          const [a, b] = [line % lines.length, other % lines.length];
          fc.pre(a !== b);
          const swapped = lines.with(a, lines[b] ?? Buffer.alloc(0)).with(b, lines[a] ?? Buffer.alloc(0));
          const { integrity, failures } = await integrityAfter(log, segment, Buffer.concat(swapped));
          expect(integrity).toBe('failed');
          const first = log.firstIndexes[segment] ?? 0;
          expect(names(failures, first + a) || names(failures, first + b)).toBe(true);
          expect(failures.length).toBeLessThan(6);
        }),
        runs,
      );
    });

    it('says which line was cut, whatever is left of it', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, line, byte }) => {
          const segment = any % log.names.length;
          const lines = linesOf(log.plain[segment]);
          const at = line % lines.length;
          const whole = lines[at] ?? Buffer.alloc(0);
          const cut = Buffer.concat([whole.subarray(0, byte % (whole.length - 1)), Buffer.of(LINE_FEED)]);
          const { integrity, failures } = await integrityAfter(
            log,
            segment,
            Buffer.concat(lines.with(at, cut)),
          );
          expect(integrity).toBe('failed');
          expect(names(failures, (log.firstIndexes[segment] ?? 0) + at)).toBe(true);
        }),
        runs,
      );
    });

    it('says where a segment was cut off', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, byte }) => {
          const segment = any % log.names.length;
          const bytes = log.plain[segment] ?? Buffer.alloc(0);
          const end = byte % bytes.length;
          const index =
            (log.firstIndexes[segment] ?? 0) +
            bytes.subarray(0, end).filter((each) => each === LINE_FEED).length;
          const { integrity, failures } = await integrityAfter(log, segment, bytes.subarray(0, end));
          expect(integrity).toBe('failed');
          expect(names(failures, index)).toBe(true);
        }),
        runs,
      );
    });

    it('says where a line was put in, be it one of the log or not', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, fc.boolean(), async ({ segment: any, line, other }, forged) => {
          const segment = any % log.names.length;
          const lines = linesOf(log.plain[segment]);
          const at = line % (lines.length + 1);
          const copy = linesOf(log.plain[other % log.names.length])[0] ?? Buffer.alloc(0);
          const put = forged ? Buffer.from(copy.toString().replace('example', 'exampel')) : copy;
          const { integrity, failures } = await integrityAfter(
            log,
            segment,
            Buffer.concat(lines.toSpliced(at, 0, put)),
          );
          expect(integrity).toBe('failed');
          expect(
            failures.some(
              ({ file, line: number }) =>
                file === log.names[segment] && (number === at + 1 || number === at + 2),
            ),
          ).toBe(true);
        }),
        runs,
      );
    });

    it('never takes a compressed or plain file for whole whose raw bytes were changed so that its lines did', async () => {
      const log = await openSealed(compress);
      await fc.assert(
        fc.asyncProperty(anywhere, async ({ segment: any, byte, bit }) => {
          const segment = any % log.names.length;
          const path = join(log.dir, log.names[segment] ?? '');
          const bytes = readFileSync(path);
          const at = byte % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          writeFileSync(path, bytes);
          const same = sameLines(bytes, path, log.plain[segment]);
          const { integrity } = await verifyLog(log.dir);
          log.restore();
          expect(integrity).toBe(same ? 'ok' : 'failed');
        }),
        runs,
      );
    });

    it('says which range is missing with a segment, and that this is no matter of a changed line elsewhere', async () => {
      const log = await openSealed(compress);
      const nexts = [...log.firstIndexes.slice(1), 302];
      for (const [segment, name] of log.names.entries()) {
        renameSync(join(log.dir, name), join(log.dir, 'aside'));
        const [from, to] = [log.firstIndexes[segment], (nexts[segment] ?? 0) - 1];
        const range = from === to ? `record ${from} is missing` : `records ${from} to ${to} are missing`;
        const report = await verifyLog(log.dir);
        renameSync(join(log.dir, 'aside'), join(log.dir, name));
        expect(report).toMatchObject({ completeness: 'failed', integrity: 'failed' });
        expect(report.problems.map(({ message }) => message).join()).toContain(range);
        expect(report.problems).toHaveLength(2);
      }
    });
  },
);

/** Whether a file still holds the same lines: of the bytes of a gzip header, some say nothing about them. */
function sameLines(bytes: Buffer, path: string, plain: Buffer | undefined): boolean {
  try {
    return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).equals(plain ?? Buffer.alloc(0));
  } catch {
    return false;
  }
}
