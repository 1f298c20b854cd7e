import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { NODE_LOG_FS } from '../../../../src/audit/log/log-fs.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { faultyFs, lastSegment, line, openWriter, records, systemError, tempDir } from '../log-fixture.ts';

const kinds = (dir: string) => records(dir).map(({ kind }) => kind);

describe('a log writer', () => {
  it('begins with a boot record, ends with a shutdown record, and numbers every record', async () => {
    const dir = join(tempDir(), 'made', 'on-demand');
    const writer = await openWriter(dir);
    await writer.append(line('d-1'));
    expect(writer.nextIndex).toBe(2);
    await writer[Symbol.asyncDispose]();
    expect(records(dir).map(({ kind, index }) => `${index} ${kind}`)).toEqual([
      '0 boot',
      '1 decision',
      '2 shutdown',
    ]);
    expect(await verifyLog(dir)).toMatchObject({
      completeness: 'ok',
      integrity: 'not_checked',
      problemCount: 0,
    });
  });

  it('says in the boot record how it runs, and which surfaces take any caller', async () => {
    const dir = tempDir();
    const surfaces = ['grpc', 'ops'];
    const first = await openWriter(dir, { plaintext: surfaces });
    await first[Symbol.asyncDispose]();
    const second = await openWriter(dir, { plaintext: [] });
    await second[Symbol.asyncDispose]();
    const run = { durability: 'written', pid: process.pid, node: process.version };
    expect(records(dir).filter(({ kind }) => kind === 'boot')).toMatchObject([
      { ...run, previous_run: 'none', plaintext: surfaces },
      { ...run, previous_run: 'clean', plaintext: [] },
    ]);
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', byKind: { boot: 2 } });
  });

  it('makes its directory and files readable by the owner only', async () => {
    const dir = join(tempDir(), 'log');
    await openWriter(dir);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(lastSegment(dir)).mode & 0o777).toBe(0o600);
  });

  it('appends control records in order with the others, and verification knows them', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const activation = { digest: 'sha256:b', before: undefined, slot: 'sets', by: 'start', policies: 3 };
    await Promise.all([
      writer.append(line('d-1')),
      writer.appendControl('policy_activated', activation),
      writer.append(line('d-2')),
    ]);
    expect(kinds(dir)).toEqual(['boot', 'decision', 'policy_activated', 'decision']);
    expect(records(dir)[2]).toEqual({
      v: 1,
      kind: 'policy_activated',
      log: 'example.com/pdp/test',
      index: 2,
      timestamp: expect.stringMatching(/^2026-01-02T/),
      digest: 'sha256:b',
      slot: 'sets',
      by: 'start',
      policies: 3,
    });
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', byKind: { policy_activated: 1 } });
    await expect(writer.appendControl('policy_activated', activation)).rejects.toThrow(/is closed/);
  });

  it('verification tells of an activation that does not say of what', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer.appendControl('policy_activated', { slot: 'sets', by: 'start' });
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({
      completeness: 'failed',
      problems: [{ line: 2, message: expect.stringMatching(/activation does not say/) }],
    });
  });

  it('continues the index after a restart', async () => {
    const dir = tempDir();
    await (await openWriter(dir))[Symbol.asyncDispose]();
    const writer = await openWriter(dir);
    expect(records(dir).map(({ previous_run: run }) => run)).toEqual(['none', undefined, 'clean']);
    expect(writer.nextIndex).toBe(3);
  });

  it('keeps the order of a thousand concurrent appends', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const ids = Array.from({ length: 1000 }, (_, i) => `d-${i}`);
    await Promise.all(ids.map((id) => writer.append(line(id))));
    expect(
      records(dir)
        .slice(1)
        .map((record) => record.decision_id),
    ).toEqual(ids);
  });

  it('puts all that one turn of the event loop appends into one write', async () => {
    const write = vi.fn((fd: number, bytes: Buffer, offset: number) => NODE_LOG_FS.write(fd, bytes, offset));
    const writer = await openWriter(tempDir(), { fs: faultyFs({ write }) });
    write.mockClear();
    const now = Array.from({ length: 50 }, (_, i) => writer.append(line(`d-${i}`)));
    const later = Promise.resolve().then(() => writer.append(line('after-a-microtask')));
    await Promise.all([...now, later]);
    expect(write).toHaveBeenCalledTimes(1);
  });

  it('has the record in the file before `written` resolves', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    await writer.append(line('d-1'));
    expect(readFileSync(lastSegment(dir), 'utf8')).toContain('"d-1"');
  });

  it('resolves `async` before the record is written, and writes it all the same', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { durability: 'async' });
    await writer.append(line('d-1'));
    expect(readFileSync(lastSegment(dir), 'utf8')).not.toContain('"d-1"');
    await writer[Symbol.asyncDispose]();
    expect(kinds(dir)).toEqual(['boot', 'decision', 'shutdown']);
  });

  it('syncs once for all that waits, and resolves `synced` only then', async () => {
    const dir = tempDir();
    const pending: (() => void)[] = [];
    let held = false;
    const sync = vi.fn((fd: number, done: (error: Error | null) => void) => {
      if (held) pending.push(() => NODE_LOG_FS.sync(fd, done));
      else NODE_LOG_FS.sync(fd, done);
    });
    const writer = await openWriter(dir, { durability: 'synced', fs: faultyFs({ sync }) });
    sync.mockClear();
    held = true;
    let first = false;
    const one = writer.append(line('d-1')).then(() => (first = true));
    await vi.waitFor(() => expect(pending).toHaveLength(1));
    const group = Array.from({ length: 20 }, (_, i) => writer.append(line(`g-${i}`)));
    expect(first).toBe(false);
    held = false;
    pending.forEach((release) => release());
    await Promise.all([one, ...group]);
    expect(sync).toHaveBeenCalledTimes(2);
    await writer[Symbol.asyncDispose]();
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', records: 23 });
  });

  it('begins a new segment, named by its first index, when one is full', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { segmentBytes: 300 });
    for (let i = 0; i < 10; i++) await writer.append(line(`d-${i}`));
    await writer[Symbol.asyncDispose]();
    const names = readdirSync(dir);
    expect(names.length).toBeGreaterThan(3);
    expect(names[0]).toBe('segment-00000000000000000000.ndjson');
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', records: 12, segments: names.length });
    const again = await openWriter(dir, { segmentBytes: 300 });
    expect(again.nextIndex).toBe(13);
  });

  it('writes what still waits when it is disposed, and refuses what comes later', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const waiting = writer.append(line('d-1'));
    await Promise.all([writer[Symbol.asyncDispose](), writer[Symbol.asyncDispose]()]);
    await waiting;
    await expect(writer.append(line('d-2'))).rejects.toThrow('closed');
    expect(kinds(dir)).toEqual(['boot', 'decision', 'shutdown']);
  });

  it('refuses a directory that holds another log', async () => {
    const dir = tempDir();
    await (await openWriter(dir))[Symbol.asyncDispose]();
    await expect(openWriter(dir, { log: 'example.com/other' })).rejects.toThrow(
      "belongs to the log 'example.com/pdp/test'",
    );
  });

  it('refuses to start where nothing can be written, and gives the directory back', async () => {
    const dir = tempDir();
    const path = join(dir, 'segment-00000000000000000000.ndjson');
    symlinkSync('/dev/full', path);
    await expect(openWriter(dir)).rejects.toThrow('ENOSPC');
    rmSync(path);
    await expect(openWriter(dir)).resolves.toMatchObject({ healthy: true });
  });
});

describe('a log writer whose disk fails', () => {
  it('rejects on a full disk, burns no index, and says afterwards how many records were lost', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { segmentBytes: 1 });
    const full = join(dir, 'segment-00000000000000000001.ndjson');
    symlinkSync('/dev/full', full);
    const lost = await Promise.allSettled([writer.append(line('lost-1')), writer.append(line('lost-2'))]);
    expect(lost.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(writer.append(line('lost-3'))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(writer).toMatchObject({ healthy: false, nextIndex: 1, lastError: { code: 'ENOSPC' } });
    rmSync(full);
    await writer.append(line('d-1'));
    expect(writer).toMatchObject({ healthy: true, lastError: undefined });
    await writer[Symbol.asyncDispose]();
    expect(records(dir)).toMatchObject([
      { kind: 'boot', index: 0 },
      { kind: 'gap', index: 1, count: 3, reason: 'ENOSPC' },
      { kind: 'decision', index: 2, decision_id: 'd-1' },
      { kind: 'shutdown', index: 3 },
    ]);
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'failed', lost: 3, problemCount: 1 });
  });

  it('cuts a half-written batch off again', async () => {
    const dir = tempDir();
    let fail = false;
    let taken = 0;
    const write = (fd: number, bytes: Buffer, offset: number) => {
      if (!fail) return NODE_LOG_FS.write(fd, bytes, offset);
      if (taken > 0) throw systemError('EIO');
      taken = NODE_LOG_FS.write(fd, bytes.subarray(0, offset + 30), offset);
      return taken;
    };
    const writer = await openWriter(dir, { fs: faultyFs({ write }) });
    const before = statSync(lastSegment(dir)).size;
    fail = true;
    await expect(writer.append(line('lost'))).rejects.toMatchObject({ code: 'EIO' });
    expect(taken).toBe(30);
    expect(statSync(lastSegment(dir)).size).toBe(before);
    fail = false;
    await writer.append(line('d-1'));
    expect(kinds(dir)).toEqual(['boot', 'gap', 'decision']);
  });

  it('goes on with short writes', async () => {
    const dir = tempDir();
    const write = (fd: number, bytes: Buffer, offset: number) =>
      NODE_LOG_FS.write(fd, bytes.subarray(0, Math.min(bytes.length, offset + 7)), offset);
    const writer = await openWriter(dir, { fs: faultyFs({ write }) });
    await writer.append(line('d-1'));
    expect(kinds(dir)).toEqual(['boot', 'decision']);
  });

  it('cuts the rest of a failed write when the file can be opened again, where it could not be cut at once', async () => {
    const dir = tempDir();
    let fail = false;
    const write = (fd: number, bytes: Buffer, offset: number) => {
      if (!fail) return NODE_LOG_FS.write(fd, bytes, offset);
      NODE_LOG_FS.write(fd, bytes.subarray(0, 20), 0);
      throw systemError('EIO');
    };
    const truncate = (fd: number, size: number) => {
      if (fail) throw systemError('EIO');
      NODE_LOG_FS.truncate(fd, size);
    };
    const writer = await openWriter(dir, { fs: faultyFs({ write, truncate }) });
    fail = true;
    await expect(writer.append(line('lost'))).rejects.toMatchObject({ code: 'EIO' });
    await expect(writer.append(line('lost'))).rejects.toMatchObject({ code: 'EIO' });
    fail = false;
    await writer.append(line('d-1'));
    expect(records(dir)).toMatchObject([{ kind: 'boot' }, { kind: 'gap', count: 2 }, { decision_id: 'd-1' }]);
  });

  it('takes a batch back that did not reach the medium, and the one that waited behind it still gets through', async () => {
    const dir = tempDir();
    let fail = false;
    const sync = (fd: number, done: (error: Error | null) => void) => {
      if (!fail) return NODE_LOG_FS.sync(fd, done);
      setImmediate(() => {
        fail = false;
        done(systemError('EIO'));
      });
    };
    const writer = await openWriter(dir, { durability: 'synced', fs: faultyFs({ sync }) });
    fail = true;
    const lost = writer.append(line('lost'));
    const caught = expect(lost).rejects.toMatchObject({ code: 'EIO' });
    await new Promise(setImmediate);
    await Promise.all([caught, writer.append(line('d-1'))]);
    await writer[Symbol.asyncDispose]();
    expect(records(dir)).toMatchObject([
      { kind: 'boot', index: 0 },
      { kind: 'gap', index: 1, count: 1, reason: 'EIO' },
      { decision_id: 'd-1', index: 2 },
      { kind: 'shutdown', index: 3 },
    ]);
  });

  it('opens its file again after the descriptor was lost', async () => {
    const dir = tempDir();
    let fd = -1;
    const openAppend = (path: string) => (fd = NODE_LOG_FS.openAppend(path));
    const writer = await openWriter(dir, { fs: faultyFs({ openAppend }) });
    NODE_LOG_FS.close(fd);
    await expect(writer.append(line('lost'))).rejects.toMatchObject({ code: 'EBADF' });
    await writer.append(line('d-1'));
    expect(kinds(dir)).toEqual(['boot', 'gap', 'decision']);
  });

  it('notices that its directory was removed, instead of writing to a file that nobody sees', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    rmSync(dir, { recursive: true });
    await expect(writer.append(line('lost'))).rejects.toThrow('removed');
    await writer.append(line('d-1'));
    expect(records(dir)).toMatchObject([
      { kind: 'gap', index: 1 },
      { decision_id: 'd-1', index: 2 },
    ]);
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'failed' });
  });

  it('stops writing into a file that somebody else wrote to, and leaves their bytes alone', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const path = lastSegment(dir);
    appendFileSync(path, 'foreign\n');
    await expect(writer.append(line('lost'))).rejects.toThrow('changed by somebody else');
    await writer.append(line('d-1'));
    expect(readFileSync(path, 'utf8')).toMatch(/foreign\n$/);
    expect(lastSegment(dir)).not.toBe(path);
  });

  it('heals by itself when no append comes, so that a replica taken out of rotation can come back', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { segmentBytes: 1, retryMs: 5 });
    const full = join(dir, 'segment-00000000000000000001.ndjson');
    symlinkSync('/dev/full', full);
    await expect(writer.append(line('lost'))).rejects.toThrow('ENOSPC');
    rmSync(full);
    await vi.waitFor(() => expect(writer.healthy).toBe(true));
    expect(kinds(dir)).toEqual(['boot', 'gap']);
  });

  it('counts what `async` lost without telling the caller', async () => {
    const dir = tempDir();
    const error = vi.fn();
    const logger = { info: () => undefined, warn: () => undefined, error };
    const writer = await openWriter(dir, { durability: 'async', segmentBytes: 1, logger });
    const full = join(dir, 'segment-00000000000000000001.ndjson');
    symlinkSync('/dev/full', full);
    await Promise.all([writer.append(line('lost-1')), writer.append(line('lost-2'))]);
    await vi.waitFor(() => expect(writer.healthy).toBe(false));
    rmSync(full);
    await writer[Symbol.asyncDispose]();
    expect(records(dir)).toMatchObject([{ kind: 'boot' }, { kind: 'gap', count: 2 }, { kind: 'shutdown' }]);
    expect(error).toHaveBeenCalledTimes(1);
  });

  it('refuses more than may wait for the disk, and counts it', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir, { maxQueue: 1000 });
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => writer.append(line(`d-${i}`))),
    );
    const refused = results.filter(({ status }) => status === 'rejected').length;
    expect(refused).toBeGreaterThan(30);
    const decisions = records(dir).filter(({ kind }) => kind === 'decision');
    expect(decisions).toHaveLength(50 - refused);
    expect(records(dir)).toContainEqual(
      expect.objectContaining({ kind: 'gap', count: refused, reason: 'queue_full' }),
    );
    expect(writer.healthy).toBe(true);
  });

  it('rejects a record that cannot be made, and keeps the others', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    const broken = writer.append(() => {
      throw new TypeError('no line');
    });
    await expect(broken).rejects.toThrow('no line');
    await writer.append(line('d-1'));
    expect(kinds(dir)).toEqual(['boot', 'decision']);
  });

  it('fails instead of waiting for ever where a FIFO is in the place of a segment', async () => {
    const dir = tempDir();
    const { execFileSync } = await import('node:child_process');
    mkdirSync(dir, { recursive: true });
    execFileSync('mkfifo', [join(dir, 'segment-00000000000000000000.ndjson')]);
    await expect(openWriter(dir)).rejects.toThrow(/ENXIO|changed|ESPIPE|EINVAL/);
  });
});
