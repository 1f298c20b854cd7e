import { Sealer } from '../../../../src/audit/seal/sealer.ts';
import {
  appendFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { leaveNote } from '../../../../src/audit/log/inbox.ts';
import { segmentsOf } from '../../../../src/audit/log/segments.ts';
import { tileFiles } from '../../../../src/audit/read/tile-files.ts';
import { keptCheckpoints } from '../../../../src/audit/seal/checkpoint-files.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { leafHash } from '../../../../src/audit/tlog/hash.ts';
import { inclusionProof, rootAt } from '../../../../src/audit/tlog/proofs.ts';
import { verifyInclusion } from '../../../../src/audit/tlog/verify-proof.ts';
import { eventually } from '../../../support/eventually.ts';
import { systemError } from '../log-fixture.ts';
import {
  type SealedLog,
  type SealedLogOptions,
  checkpointOf,
  expectSealed,
  linesOf,
  openSealedLog,
  openedIn,
} from './seal-fixture.ts';

/** A log with a key of its own. */
async function open(options: SealedLogOptions = {}): Promise<SealedLog> {
  const log = await openSealedLog(options);
  prepareIdentity(log.settings);
  return log;
}

function kept(dir: string): string[] {
  return keptCheckpoints(readFileSync(join(dir, 'checkpoints.log')));
}

function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('sealing', () => {
  it('signs a tree over exactly the lines of the log', async () => {
    const log = await open();
    await log.append(700);
    await log.seal();
    expect(expectSealed(log.dir)).toBeGreaterThan(700);
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
  });

  it('goes on from segment to segment', async () => {
    const log = await open();
    for (let round = 0; round < 5; round++) {
      await log.append(300);
      log.writer.rotate();
      if (round % 2 === 0) await log.seal();
    }
    await log.append(1);
    await log.seal();
    expect(segmentsOf(log.dir, readdirSync(log.dir)).length).toBeGreaterThan(3);
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
  });

  it('takes a large backlog in parts, each with a checkpoint, and says when there is more', async () => {
    const log = await open();
    for (let part = 0; part < 7; part++) await log.append(10_000);
    expect(log.loop.round()).toBe(true);
    expect(expectSealed(log.dir)).toBeGreaterThan(0);
    expect(expectSealed(log.dir)).toBeLessThanOrEqual(65_536);
    while (log.loop.round());
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
  });

  it('leaves nothing else waiting where there is always more to seal', async () => {
    const log = await open();
    await log.seal();
    const note = leaveNote(log.dir, 'log_read', { verb: 'query' });
    for (let part = 0; part < 7; part++) await log.append(10_000);
    log.clock.advance(6000);
    expect(log.loop.round()).toBe(true);
    await eventually('the note is recorded', () => Promise.resolve(existsSync(note) ? undefined : true));
  });

  it('seals some of a backlog in each run, however short the runs are', async () => {
    const log = await open();
    await log.append(3);
    await log.seal();
    log.writer.rotate();
    await log.append(20_000);
    const sizes: number[] = [];
    for (let run = 0; run < 3; run++) {
      const sealer = new Sealer({
        ...log.settings,
        clock: log.clock,
        fs: NODE_SEAL_FS,
        committed: () => log.writer.committed.read(),
        followMs: 0,
      });
      const { size, more } = sealer.seal();
      // Killed: nothing is closed in good order.
      sealer.close();
      sizes.push(size);
      expect([more, expectSealed(log.dir)]).toEqual([true, size]);
    }
    expect(new Set(sizes).size).toBe(3);
  });

  it('writes tiles that prove each record', async () => {
    const log = await open();
    await log.append(1000);
    await log.seal();
    const head = checkpointOf(log.dir);
    const tiles = tileFiles(log.dir);
    for (const [index, bytes] of linesOf(log.dir).slice(0, head.size).entries()) {
      if (index % 37 !== 0) continue;
      const proof = inclusionProof(index, head.size, tiles);
      expect(verifyInclusion(leafHash(bytes), index, head, proof)).toBe(true);
    }
  });

  it('removes partial tiles once the full one is written', async () => {
    const log = await open();
    for (const count of [10, 20, 300]) {
      await log.append(count);
      await log.seal();
    }
    expect(readdirSync(join(log.dir, 'tile/0'))).not.toContain('000.p');
    expect(rootAt(log.loop.status().size, tileFiles(log.dir)).equals(checkpointOf(log.dir).root)).toBe(true);
  });

  it('publishes a checkpoint with a new time where nothing happened', async () => {
    const log = await open();
    await log.seal();
    const before = checkpointOf(log.dir);
    log.clock.advance(1000);
    log.loop.round();
    expect(checkpointOf(log.dir)).toMatchObject({ size: before.size, time: before.time + 1000 });
  });

  it('goes on when the clock was far ahead, says so, and keeps checkpoints all the same', async () => {
    const log = await open();
    log.clock.advance(1000 * 3_600_000);
    await log.seal();
    const ahead = checkpointOf(log.dir).time;
    log.clock.advance(-1000 * 3_600_000);
    const kept = () => keptCheckpoints(readFileSync(join(log.dir, 'checkpoints.log'))).length;
    await log.append(1);
    await log.seal();
    const before = kept();
    log.clock.advance(120_000);
    await log.append(1);
    await log.seal();
    expect(kept()).toBeGreaterThan(before);
    expect(checkpointOf(log.dir).time).toBe(ahead);
    expect(log.loop.status()).toMatchObject({
      sealing: true,
      problems: [expect.stringMatching(/^the clock was ahead when the decision log was signed/)],
    });
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
  });

  it('never says an earlier time than before, when the clock goes back', async () => {
    const log = await open();
    await log.seal();
    const before = checkpointOf(log.dir);
    log.clock.advance(-5000);
    log.restart();
    log.loop.round();
    expect(checkpointOf(log.dir).time).toBe(before.time);
  });

  it('keeps one checkpoint a minute and the last of a run', async () => {
    const log = await open();
    for (let second = 0; second < 125; second++) {
      log.loop.round();
      log.clock.advance(1000);
    }
    expect(kept(log.dir)).toHaveLength(3);
    log.loop.finish();
    expect(kept(log.dir)).toHaveLength(4);
    expect(kept(log.dir).at(-1)).toBe(readFileSync(join(log.dir, 'checkpoint'), 'utf8'));
    const sizes = kept(log.dir).map((note) => openedIn(log.dir, note).size);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  });

  it('keeps the last checkpoint of a run that was killed', async () => {
    const log = await open();
    await log.seal();
    log.clock.advance(1000);
    log.loop.round();
    const last = readFileSync(join(log.dir, 'checkpoint'), 'utf8');
    log.restart();
    log.loop.round();
    expect(kept(log.dir)).toContain(last);
  });

  it('goes on after a half-written entry of checkpoints.log', async () => {
    const log = await open();
    await log.seal();
    log.loop.finish();
    appendFileSync(join(log.dir, 'checkpoints.log'), 'example.com/pdp/test\n12\nAAAA');
    const before = kept(log.dir);
    log.clock.advance(1000);
    log.restart();
    await log.seal();
    log.loop.finish();
    expect(kept(log.dir).slice(0, before.length)).toEqual(before);
    for (const note of kept(log.dir)) openedIn(log.dir, note);
  });
});

describe('a sealer that starts over a log that was changed', () => {
  const changes: [string, RegExp, (dir: string) => void][] = [
    ['a partial tile', /tiles do not make the tree/, (dir) => flipByte(rightEdge(dir), 5)],
    [
      'a checkpoint',
      /not one that a key of this log has signed/,
      (dir) => flipByte(join(dir, 'checkpoint'), 25),
    ],
    ['a sealed line', /is not the one that was sealed/, (dir) => replaceText(dir, '"d42"', '"d43"')],
    [
      'a full tile of the segment',
      /is not the one that was sealed/,
      (dir) => flipByte(join(dir, 'tile/0/000'), 64),
    ],
    ['a removed checkpoint', /the checkpoint is gone/, (dir) => rmSync(join(dir, 'checkpoint'))],
    ['a removed tile', /the tiles were changed/, (dir) => rmSync(rightEdge(dir))],
    ['removed certificates', /not one that a key/, (dir) => rmSync(join(dir, 'keys/epoch-1.note'))],
    [
      'another verifier key',
      /identity.pem is not the key|is no verifier key/,
      (dir) => flipByte(join(dir, 'keys/identity.vkey'), 60),
    ],
  ];

  it.each(changes)('signs nothing over %s, and says so', async (_, said, change) => {
    const log = await open();
    await log.append(500);
    await log.seal();
    log.loop.finish();
    change(log.dir);
    const before = snapshotOf(log.dir);
    log.restart();
    await log.append(10);
    log.clock.advance(20_000);
    for (let round = 0; round < 3; round++) {
      log.loop.round();
      log.clock.advance(20_000);
    }
    expect(log.loop.status()).toMatchObject({ sealing: false, problems: [expect.stringMatching(said)] });
    expect(snapshotOf(log.dir)).toEqual(before);
  });

  it('goes on by itself once what was changed is put back', async () => {
    const log = await open();
    await log.append(500);
    await log.seal();
    log.loop.finish();
    const path = rightEdge(log.dir);
    flipByte(path, 5);
    log.restart();
    log.loop.round();
    expect(log.loop.status().sealing).toBe(false);
    flipByte(path, 5);
    log.clock.advance(20_000);
    log.loop.round();
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
  });

  it('refuses an older checkpoint that was put back', async () => {
    const log = await open();
    await log.append(10);
    await log.seal();
    const old = readFileSync(join(log.dir, 'checkpoint'));
    await log.append(10);
    await log.seal();
    log.loop.finish();
    writeFileSync(join(log.dir, 'checkpoint'), old);
    log.restart();
    log.loop.round();
    expect(log.loop.status().problems).toEqual([expect.stringMatching(/an old state was put back/)]);
  });

  it('refuses a log whose first records are gone and that has no checkpoint', async () => {
    const log = await open();
    await log.append(10);
    log.writer.rotate();
    await log.append(10);
    const [first] = segmentsOf(log.dir, readdirSync(log.dir));
    if (first) rmSync(first.path);
    log.loop.round();
    expect(log.loop.status().problems).toEqual([expect.stringMatching(/no checkpoint vouches for them/)]);
  });

  it('refuses lines that are cut off while it runs', async () => {
    const log = await open();
    await log.append(100);
    const [segment] = segmentsOf(log.dir, readdirSync(log.dir));
    if (segment) writeFileSync(segment.path, readFileSync(segment.path).subarray(0, 2000));
    log.loop.round();
    log.loop.round();
    expect(log.loop.status()).toMatchObject({
      sealing: false,
      problems: [expect.stringMatching(/records are missing/)],
    });
  });

  it('refuses records that are not in their place', async () => {
    const log = await open();
    await log.append(3);
    replaceText(log.dir, '"index":2', '"index":7');
    log.loop.round();
    expect(log.loop.status().problems).toEqual([expect.stringMatching(/does not have the record 2/)]);
  });
});

describe('a disk that fails', () => {
  it('loses nothing where tiles or checkpoints cannot be written for a while', async () => {
    let full = false;
    const create: typeof NODE_SEAL_FS.create = (path, bytes, mode) => {
      if (full) throw systemError('ENOSPC');
      NODE_SEAL_FS.create(path, bytes, mode);
    };
    const log = await open({ fs: { ...NODE_SEAL_FS, create } });
    await log.seal();
    const before = checkpointOf(log.dir);
    full = true;
    for (let round = 0; round < 4; round++) {
      await log.append(300);
      log.loop.round();
    }
    expect(log.loop.status()).toMatchObject({
      sealing: false,
      problems: [expect.stringMatching(/the decision log is not sealed: ENOSPC/)],
    });
    expect(checkpointOf(log.dir)).toEqual(before);
    full = false;
    await log.seal();
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
    const tiles = tileFiles(log.dir);
    expect(rootAt(log.loop.status().size, tiles).equals(checkpointOf(log.dir).root)).toBe(true);
  });

  it('signs nothing more in this run once records did not reach the medium', async () => {
    let failing = false;
    const sync: typeof NODE_SEAL_FS.sync = (fd) => {
      if (failing) throw systemError('EIO');
      NODE_SEAL_FS.sync(fd);
    };
    const log = await open({ fs: { ...NODE_SEAL_FS, sync } });
    await log.seal();
    const before = checkpointOf(log.dir);
    await log.append(10);
    failing = true;
    log.loop.round();
    failing = false;
    for (let round = 0; round < 3; round++) {
      log.clock.advance(20_000);
      log.loop.round();
    }
    expect(log.loop.status().problems).toEqual([expect.stringMatching(/did not reach the medium/)]);
    expect(checkpointOf(log.dir)).toEqual(before);
  });

  it('brings what lines refer to to the medium before the lines, and both before the checkpoint', async () => {
    const steps: string[] = [];
    const log = await open({
      fs: {
        ...NODE_SEAL_FS,
        sync: (fd) => {
          steps.push(readFdName(fd));
          NODE_SEAL_FS.sync(fd);
        },
        rename: (from, to) => {
          steps.push(to.slice(to.lastIndexOf('/') + 1));
          NODE_SEAL_FS.rename(from, to);
        },
      },
    });
    const blob = { kind: 'entity' as const, digest: 'd', payload: () => '{"kind":"entity","value":1}' };
    await log.writer.append((index) => `{"v":1,"kind":"decision","log":"x","index":${index},"a":1}`, [blob]);
    log.loop.round();
    const at = (name: string) => steps.findIndex((step) => step.endsWith(name));
    expect(at('.blobs')).toBeGreaterThanOrEqual(0);
    expect(at('.blobs')).toBeLessThan(at('.ndjson'));
    expect(at('.ndjson')).toBeLessThan(at('2'));
    expect(at('2')).toBeLessThan(at('checkpoint'));
  });
});

function readFdName(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

function rightEdge(dir: string): string {
  const { size } = checkpointOf(dir);
  return join(dir, `tile/0/001.p/${size - 256}`);
}

function replaceText(dir: string, from: string, to: string): void {
  const [segment] = segmentsOf(dir, readdirSync(dir));
  if (segment === undefined) throw new Error('no segment');
  writeFileSync(segment.path, readFileSync(segment.path, 'utf8').replace(from, to));
}

/** What has been signed so far. */
function snapshotOf(dir: string): readonly string[] {
  return ['checkpoint', 'checkpoints.log'].map((name) => {
    try {
      return readFileSync(join(dir, name), 'utf8');
    } catch {
      return '';
    }
  });
}
