import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PROBLEMS } from '../../../../src/audit/verify/findings.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { lastSegment, line, openWriter, tempDir } from '../log-fixture.ts';

async function closedLog(decisions: number, segmentBytes = 1_000_000): Promise<string> {
  const dir = tempDir();
  const writer = await openWriter(dir, { segmentBytes });
  for (let i = 0; i < decisions; i++) await writer.append(line(`d-${i}`));
  await writer[Symbol.asyncDispose]();
  return dir;
}

/** Rewrites the lines of the only segment. */
function change(dir: string, edit: (lines: string[]) => readonly string[]): void {
  const path = lastSegment(dir);
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  writeFileSync(
    path,
    edit(lines)
      .map((text) => `${text}\n`)
      .join(''),
  );
}

async function messages(dir: string, accessLog?: string): Promise<string[]> {
  const { problems } = await verifyLog(dir, accessLog === undefined ? {} : { accessLog });
  return problems.map(({ message, line: number }) => `${number ?? '-'}: ${message}`);
}

describe('verifyLog', () => {
  it('finds a whole log complete, counts its records, and claims nothing about integrity', async () => {
    expect(await verifyLog(await closedLog(3))).toEqual({
      completeness: 'ok',
      integrity: 'not_checked',
      log: 'example.com/pdp/test',
      records: 5,
      byKind: { boot: 1, decision: 3, shutdown: 1 },
      segments: 1,
      firstIndex: 0,
      lastIndex: 4,
      blobs: 0,
      unsealed: 5,
      checkpoints: 0,
      evidence: { olderCheckpoint: false },
      lost: 0,
      reconciled: 0,
      problems: [],
      problemCount: 0,
    });
  });

  it('names the range of records that are missing', async () => {
    const dir = await closedLog(5);
    change(dir, (lines) => lines.toSpliced(2, 2));
    expect(await messages(dir)).toEqual(['3: index 4 where 2 was due: records 2 to 3 are missing']);
  });

  it('sees any deleted, repeated, swapped or cut line, except at the very end', async () => {
    const dir = await closedLog(6);
    const path = lastSegment(dir);
    const text = readFileSync(path, 'utf8');
    const lines = text.trimEnd().split('\n');
    const edits = fc.oneof(
      fc.nat(lines.length - 2).map((at) => lines.toSpliced(at, 1)),
      fc.nat(lines.length - 1).map((at) => lines.toSpliced(at, 0, lines[at] ?? '')),
      fc.nat(lines.length - 2).map((at) => lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? '')),
      fc.nat(lines.length - 1).map((at) => lines.with(at, (lines[at] ?? '').slice(0, -1))),
    );
    await fc.assert(
      fc.asyncProperty(edits, async (edited) => {
        writeFileSync(path, `${edited.join('\n')}\n`);
        expect(await verifyLog(dir)).toMatchObject({ completeness: 'failed' });
      }),
      { numRuns: 60 },
    );
  });

  it('sees a missing segment, at the beginning too', async () => {
    const dir = await closedLog(4, 1);
    rmSync(join(dir, 'segment-00000000000000000000.ndjson'));
    rmSync(join(dir, 'segment-00000000000000000002.ndjson'));
    expect(await messages(dir)).toEqual([
      '-: the segment begins at 1: record 0 is missing',
      '-: the segment begins at 3: record 2 is missing',
    ]);
  });

  it('reports an unfinished last line, lines that are no records, unknown versions and other logs', async () => {
    const dir = await closedLog(3);
    change(dir, ([boot = '', one = '', two = '', three = '']) => [
      boot,
      one.replace('"v":1', '"v":9'),
      'not json',
      two.replace('"index":2', '"index":3').replace('pdp/test', 'pdp/else'),
      three.replace('"index":3', '"index":"x"'),
    ]);
    writeFileSync(lastSegment(dir), '{"v":1,', { flag: 'a' });
    expect(await messages(dir)).toEqual([
      '2: unknown record version 9',
      '3: the line is not a JSON object',
      '4: a record of another log: "example.com/pdp/else"',
      '5: the record has no index',
      '6: the last line is not finished',
    ]);
  });

  it('sees a decision that has no id', async () => {
    const dir = await closedLog(2);
    change(dir, (lines) => lines.map((text) => text.replace('"decision_id":"d-0"', '"x":1')));
    expect(await messages(dir)).toEqual(['2: the decision has no id']);
  });

  it('keeps the report small however much is wrong, and counts all of it', async () => {
    const dir = await closedLog(500);
    change(dir, (lines) => lines.map(() => 'x'));
    const report = await verifyLog(dir);
    expect(report.problems).toHaveLength(MAX_PROBLEMS);
    expect(report.problemCount).toBe(502);
  });

  it('refuses a folder that holds no log', async () => {
    await expect(verifyLog(tempDir())).rejects.toThrow(/holds no decision log/);
  });

  it('does not split records at U+2028, and reads records across chunk borders', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const big = 'ü\u2028'.repeat(10_000);
    for (let i = 0; i < 60; i++) {
      await writer.append((index) =>
        line(`d-${i}`)(index).replace('"decision":', `"detail":"${big}","decision":`),
      );
    }
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', records: 62 });
  });
});

describe('verifyLog beside an Envoy access log', () => {
  async function reconcile(entries: readonly object[]): Promise<string[]> {
    const dir = await closedLog(2);
    const accessLog = join(tempDir(), 'access.log');
    writeFileSync(accessLog, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    return messages(dir, accessLog);
  }

  it('is content when every request has its record and the same decision', async () => {
    const entries = [
      { decision_id: 'd-1', decision: 'ALLOW' },
      { decision_id: 'd-0', decision: 'allow' },
    ];
    expect(await reconcile(entries)).toEqual([]);
  });

  it('finds requests without a record, without a decision, and decisions that differ', async () => {
    const entries = [
      { decision_id: 'd-9', decision: 'ALLOW' },
      { decision_id: '-', decision: '-' },
      { decision_id: null },
      { decision_id: 'd-0', decision: 'DENY' },
    ];
    expect(await reconcile(entries)).toEqual([
      '1: decision d-9 has no record',
      '2: a request was let through without a decision',
      '3: a request was let through without a decision',
      '4: decision d-0 is ALLOW in the record and DENY at the PEP',
    ]);
  });

  it('sees a decision that is there twice', async () => {
    const dir = await closedLog(2);
    change(dir, (lines) => lines.map((text) => text.replace('"d-1"', '"d-0"')));
    const accessLog = join(tempDir(), 'access.log');
    writeFileSync(accessLog, '');
    expect(await messages(dir, accessLog)).toEqual(['3: decision d-0 is there twice']);
  });

  it('only notes requests that the PEP refused by itself, and fails on those that went upstream unasked', async () => {
    const refused = { decision_id: null, response_code_details: 'http1.codec_error' };
    expect(await reconcile([refused, refused])).toEqual(['-: the PEP refused 2 requests without a decision']);
    const passed = { decision_id: null, response_code_details: 'via_upstream' };
    expect(await reconcile([refused, passed])).toContain('2: a request was let through without a decision');
  });
});
