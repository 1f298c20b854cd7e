import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { NODE_LOG_FS } from '../../../../src/audit/log/log-fs.ts';
import { packName } from '../../../../src/audit/log/segments.ts';
import { logSegments } from '../../../../src/audit/read/log-folder.ts';
import { loadPack } from '../../../../src/audit/read/pack.ts';
import { type Blob, contextBlob, payloadDigest } from '../../../../src/audit/record/blob.ts';
import { createManualClock } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { faultyFs, line, openWriter, records, systemError, tempDir } from '../log-fixture.ts';

const ONE = contextBlob('{"a":1}');
const TWO = contextBlob('{"b":2}');

function packText(dir: string, firstIndex = 0): string {
  return readFileSync(join(dir, packName(firstIndex)), 'utf8');
}

describe('what lines refer to', () => {
  it('is in the pack of their segment, once, under its digest', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer.append(line('d-1'), [ONE, TWO]);
    await writer.append(line('d-2'), [TWO, ONE]);
    expect(packText(dir).split('\n')).toEqual([
      `${ONE.digest} ${ONE.payload()}`,
      `${TWO.digest} ${TWO.payload()}`,
      '',
    ]);
    expect(payloadDigest(ONE.payload())).toBe(ONE.digest);
  });

  it('is in the pack of every segment that needs it, so that each can stand alone', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { segmentBytes: 1 });
    await writer.append(line('d-1'), [ONE]);
    await writer.append(line('d-2'), [ONE]);
    for (const { pack } of logSegments(dir).slice(1))
      expect((await loadPack(pack)).get(ONE.digest)?.toString()).toBe(ONE.payload());
  });

  it('is written before the line, so that no line ever refers to nothing', async () => {
    const dir = tempDir();
    let failing = false;
    const fs = faultyFs({
      write: (fd, bytes, offset) => {
        if (failing) throw systemError('ENOSPC');
        failing = bytes.includes(ONE.digest);
        return NODE_LOG_FS.write(fd, bytes, offset);
      },
    });
    const writer = await openWriter(dir, { fs });
    await expect(writer.append(line('lost'), [ONE])).rejects.toThrow('ENOSPC');
    expect(packText(dir)).toContain(ONE.digest);
    failing = false;
    await writer.append(line('d-1'), [ONE]);
    expect(packText(dir).split('\n')).toHaveLength(2);
    expect(records(dir).map(({ kind }) => kind)).toEqual(['boot', 'gap', 'decision']);
  });

  it('takes its lines down with it where it cannot be written, and both come with the next batch', async () => {
    const dir = tempDir();
    let full = true;
    const fs = faultyFs({
      write: (fd, bytes, offset) => {
        if (full && bytes.includes(ONE.digest)) throw systemError('ENOSPC');
        return NODE_LOG_FS.write(fd, bytes, offset);
      },
    });
    const writer = await openWriter(dir, { fs });
    await expect(writer.append(line('lost'), [ONE])).rejects.toThrow('ENOSPC');
    full = false;
    await writer.append(line('d-1'), [ONE]);
    expect(packText(dir)).toBe(`${ONE.digest} ${ONE.payload()}\n`);
  });

  it('keeps the log from being called writable until a pack can be opened again', async () => {
    const dir = tempDir();
    const path = join(dir, packName(0));
    const writer = await openWriter(dir, { retryMs: 5 });
    mkdirSync(path);
    await expect(writer.append(line('lost'), [ONE])).rejects.toThrow('EISDIR');
    await delay(50);
    expect(writer.healthy).toBe(false);
    expect(records(dir).map(({ kind }) => kind)).toEqual(['boot']);
    rmSync(path, { recursive: true });
    await eventually('writable', () => (writer.healthy ? true : undefined));
    await writer.append(line('d-1'), [ONE]);
    expect(records(dir)).toMatchObject([{ kind: 'boot' }, { kind: 'gap', count: 1 }, { decision_id: 'd-1' }]);
    expect(packText(dir)).toBe(`${ONE.digest} ${ONE.payload()}\n`);
  });

  it('is asked for its bytes only where the pack lacks it', async () => {
    const writer = await openWriter(tempDir());
    let asked = 0;
    const blob: Blob = { digest: 'sha256:00', payload: () => `{"n":${++asked}}` };
    await writer.append(line('d-1'), [blob]);
    await writer.append(line('d-2'), [blob]);
    expect(asked).toBe(1);
  });

  it('counts towards the size at which a new segment begins', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { segmentBytes: 5000 });
    await writer.append(line('d-1'), [contextBlob(JSON.stringify({ long: 'x'.repeat(6000) }))]);
    await writer.append(line('d-2'));
    expect(logSegments(dir)).toHaveLength(2);
  });

  it('loses the half blob that a crash left, and only that', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer.append(line('d-1'), [ONE]);
    await writer[Symbol.asyncDispose]();
    appendFileSync(join(dir, packName(0)), `${TWO.digest} {"kind":"con`);
    const next = await openWriter(dir);
    await next.append(line('d-2'), [TWO]);
    expect(
      packText(dir)
        .split('\n')
        .map((text) => text.slice(0, 43)),
    ).toEqual([ONE.digest, TWO.digest, '']);
  });

  it('goes where a crash kept the first line of its segment from being written', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer[Symbol.asyncDispose]();
    writeFileSync(join(dir, packName(2)), `${ONE.digest} ${ONE.payload()}\n`);
    const next = await openWriter(dir, { segmentBytes: 1 });
    expect(existsSync(join(dir, packName(2)))).toBe(false);
    await next.append(line('d-1'), [TWO]);
    expect(readdirSync(dir).filter((name) => name.endsWith('.blobs'))).toHaveLength(1);
  });
});

describe('a segment', () => {
  it('ends at its age too', async () => {
    const dir = tempDir();
    const clock = createManualClock();
    const writer = await openWriter(dir, { clock, segmentMs: 60_000 });
    clock.advance(59_999);
    await writer.append(line('d-1'));
    expect(logSegments(dir)).toHaveLength(1);
    clock.advance(1);
    await writer.append(line('d-2'));
    await writer.append(line('d-3'));
    expect(logSegments(dir).map(({ firstIndex }) => firstIndex)).toEqual([0, 2]);
  });

  it('ends where that is asked for', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    writer.rotate();
    expect(logSegments(dir)).toHaveLength(1);
    await writer.append(line('d-1'), [ONE]);
    expect(logSegments(dir).map(({ firstIndex }) => firstIndex)).toEqual([0, 1]);
  });
});

describe('how far the files are final', () => {
  it('is told after each batch, and never tells of one that failed', async () => {
    const dir = tempDir();
    let full = false;
    const fs = faultyFs({
      write: (fd, bytes, offset) => {
        if (full) throw systemError('ENOSPC');
        return NODE_LOG_FS.write(fd, bytes, offset);
      },
    });
    const writer = await openWriter(dir, { fs });
    await writer.append(line('d-1'), [ONE]);
    const before = writer.committed.read();
    expect(before).toEqual({
      segment: 0,
      lineBytes: readFileSync(join(dir, 'segment-00000000000000000000.ndjson')).length,
      packBytes: packText(dir).length,
      nextIndex: 2,
    });
    full = true;
    await expect(writer.append(line('lost'))).rejects.toThrow('ENOSPC');
    expect(writer.committed.read()).toEqual(before);
    expect(writer.lost).toBe(1);
  });

  it('is known from the start of a run', async () => {
    const dir = tempDir();
    const first = await openWriter(dir);
    await first[Symbol.asyncDispose]();
    const second = await openWriter(dir);
    expect(second.committed.read()).toMatchObject({ segment: 0, nextIndex: 3 });
  });
});

describe('a log that was sealed', () => {
  it('is not gone on with where it has fewer records than its checkpoint was signed over', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer[Symbol.asyncDispose]();
    writeFileSync(join(dir, 'checkpoint'), 'example.com/pdp/test\n3\nroot\n\n— sig\n');
    await expect(openWriter(dir)).rejects.toThrow('holds 2 records where its checkpoint was signed over 3');
    writeFileSync(join(dir, 'checkpoint'), 'example.com/pdp/test\n2\nroot\n\n— sig\n');
    await expect(openWriter(dir)).resolves.toBeDefined();
  });

  it('is not begun again where all its records were removed', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'checkpoint'), 'example.com/pdp/test\n7\nroot\n\n— sig\n');
    await expect(openWriter(dir)).rejects.toThrow('holds 0 records');
  });

  it('is not gone on with where its checkpoint is none', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'checkpoint'), 'nonsense');
    await expect(openWriter(dir)).rejects.toThrow('is no checkpoint');
  });

  it('is not gone on with where its last segment is a compressed one', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'segment-00000000000000000000.ndjson.gz'), '');
    await expect(openWriter(dir)).rejects.toThrow('the one after it was removed');
    rmSync(join(dir, 'segment-00000000000000000000.ndjson.gz'));
  });
});
