import {
  appendFileSync,
  cpSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { sealedLog } from '../verify/sealed-log.ts';
import { lastSegment, line, openWriter, records, tempDir } from '../log-fixture.ts';

/** A log of some decisions whose process vanished: no shutdown record, lock left behind. */
async function crashedLog(decisions: number): Promise<string> {
  const live = tempDir();
  const writer = await openWriter(live);
  for (let i = 0; i < decisions; i++) await writer.append(line(`d-${i}-ü`));
  const dir = tempDir();
  cpSync(lastSegment(live), lastSegment(live).replace(live, dir));
  return dir;
}

describe('opening a log after a crash', () => {
  it('cuts a torn last line at whatever byte the write stopped, says how much, and continues the index', async () => {
    const crashed = await crashedLog(3);
    const path = lastSegment(crashed);
    const bytes = readFileSync(path);
    const lastLine = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
    for (let end = lastLine; end <= bytes.length; end++) {
      const whole = end === bytes.length;
      const dropped = whole ? 0 : end - lastLine;
      writeFileSync(path, bytes.subarray(0, end));
      const writer = await openWriter(crashed);
      await writer.append(line('after'));
      await writer[Symbol.asyncDispose]();
      const recovered = records(crashed).find(({ kind }) => kind === 'recovered');
      expect(recovered?.bytes_dropped).toBe(dropped === 0 ? undefined : dropped);
      expect(records(crashed).find(({ kind, index }) => kind === 'boot' && index > 0)?.previous_run).toBe(
        'unclean',
      );
      expect(await verifyLog(crashed)).toMatchObject({ completeness: 'ok' });
      expect(records(crashed).filter(({ decision_id: id }) => id?.startsWith('d-'))).toHaveLength(
        whole ? 3 : 2,
      );
    }
  });

  it('keeps every whole record before any garbage', async () => {
    const crashed = await crashedLog(4);
    const path = lastSegment(crashed);
    const bytes = readFileSync(path);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.uint8Array({ maxLength: 300 }), async (end, garbage) => {
        const kept = bytes.subarray(0, end);
        writeFileSync(path, Buffer.concat([kept, Buffer.from([0xff]), garbage]));
        const whole = kept.toString().split('\n').length - 1;
        const writer = await openWriter(crashed);
        await writer[Symbol.asyncDispose]();
        expect(
          records(crashed)
            .slice(0, whole)
            .map(({ index }) => index),
        ).toEqual([...Array(whole).keys()]);
        expect(await verifyLog(crashed)).toMatchObject({ completeness: 'ok' });
      }),
      { numRuns: 40 },
    );
  });

  it('goes on where a segment was begun and nothing written to it', async () => {
    const dir = await crashedLog(2);
    writeFileSync(join(dir, 'segment-00000000000000000003.ndjson'), '');
    const writer = await openWriter(dir);
    expect(writer.nextIndex).toBe(4);
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', records: 5 });
  });

  it('finds the last record behind a torn tail that is longer than one read', async () => {
    const dir = await crashedLog(2);
    const path = lastSegment(dir);
    const size = statSync(path).size;
    truncateSync(path, size + 700_000);
    const writer = await openWriter(dir);
    expect(writer.nextIndex).toBe(5);
    expect(records(dir)[3]).toMatchObject({ kind: 'recovered', bytes_dropped: 700_000 });
  });

  it('refuses to cut more than an interrupted write can have left', async () => {
    const dir = await crashedLog(1);
    truncateSync(lastSegment(dir), 70 * 1024 * 1024);
    await expect(openWriter(dir)).rejects.toThrow('too many for a torn write');
    expect(statSync(lastSegment(dir)).size).toBe(70 * 1024 * 1024);
  });

  it('refuses a segment whose end comes before its beginning', async () => {
    const dir = await crashedLog(1);
    cpSync(lastSegment(dir), join(dir, 'segment-00000000000000000099.ndjson'));
    await expect(openWriter(dir)).rejects.toThrow('below its first');
  });
});

describe('a folder that the log cannot go on in', () => {
  it('is left as it is, to the last byte: it is evidence', async () => {
    const { dir } = await sealedLog({ decisions: 5 });
    const path = lastSegment(dir);
    const bytes = readFileSync(path);
    bytes[bytes.length - 3] = 0x21;
    writeFileSync(path, bytes);
    writeFileSync(join(dir, 'segment-00000000000000000099.blobs'), 'x y\n');
    appendFileSync(join(dir, 'segment-00000000000000000000.blobs'), 'half a blob');
    const before = readdirSync(dir).toSorted();
    await expect(openWriter(dir)).rejects.toThrow(/some were removed/);
    expect(readFileSync(path)).toEqual(bytes);
    expect(readFileSync(join(dir, 'segment-00000000000000000000.blobs'), 'utf8')).toBe('half a blob');
    expect(readdirSync(dir).toSorted()).toEqual(before);
  });

  it.each(['99999999999999999999', '00000000000000001000'])(
    'is one with an empty segment that begins at %s, where another record is due',
    async (digits) => {
      const crashed = await crashedLog(3);
      writeFileSync(join(crashed, `segment-${digits}.ndjson`), '');
      await expect(openWriter(crashed)).rejects.toThrow(/has no record and begins at/);
    },
  );

  it('is not one whose last segment was begun and never got a record', async () => {
    const crashed = await crashedLog(3);
    writeFileSync(join(crashed, 'segment-00000000000000000004.ndjson'), '');
    const writer = await openWriter(crashed);
    expect(writer.nextIndex).toBe(5);
  });
});
