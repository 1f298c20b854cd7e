import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { leaveNote } from '../../../../src/audit/log/inbox.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { SealLoop } from '../../../../src/audit/seal/seal-loop.ts';
import { type SealedLog, linesOf, openSealedLog } from './seal-fixture.ts';

async function open(): Promise<SealedLog> {
  const log = await openSealedLog();
  prepareIdentity(log.settings);
  return log;
}

function readers({ dir }: SealedLog): unknown[] {
  return linesOf(dir)
    .map((bytes): { kind: string; verb?: string; note_id?: string } => JSON.parse(bytes.toString()))
    .filter(({ kind }) => kind === 'log_read')
    .map(({ verb }) => verb);
}

function inbox({ dir }: SealedLog): string[] {
  return readdirSync(join(dir, 'inbox'));
}

describe('notes of other processes', () => {
  it('are recorded once each, and removed then', async () => {
    const log = await open();
    for (const verb of ['query', 'tail']) leaveNote(log.dir, 'log_read', { verb });
    for (let round = 0; round < 3; round++) await log.seal();
    expect(new Set(readers(log))).toEqual(new Set(['query', 'tail']));
    expect(readers(log)).toHaveLength(2);
    expect(inbox(log)).toEqual([]);
  });

  it('that were left before the start are taken too', async () => {
    const log = await open();
    leaveNote(log.dir, 'log_read', { verb: 'query' });
    log.restart();
    await log.seal();
    expect(readers(log)).toEqual(['query']);
  });

  it('stay until their record is in the log', async () => {
    const log = await open();
    const { writer } = log;
    let refusing = true;
    const appendControl = writer.appendControl.bind(writer);
    writer.appendControl = (kind, fields) =>
      refusing && kind === 'log_read' ? Promise.reject(new Error('full')) : appendControl(kind, fields);
    leaveNote(log.dir, 'log_read', { verb: 'query' });
    await log.seal();
    expect(inbox(log)).toHaveLength(1);
    refusing = false;
    await log.seal();
    await log.seal();
    expect(inbox(log)).toEqual([]);
    expect(readers(log)).toEqual(['query']);
  });

  it('are not recorded again by the run after one that ended between the record and the removal', async () => {
    const log = await open();
    await log.seal();
    leaveNote(log.dir, 'log_read', { verb: 'query' });
    // It is appended, and nobody ever hears of it.
    const ending = new SealLoop({
      settings: log.settings,
      clock: log.clock,
      committed: () => log.writer.committed.read(),
      announce: async (kind, fields) => {
        await log.writer.appendControl(kind, fields);
        await new Promise(() => undefined);
      },
    });
    ending.round();
    await log.append(1);
    expect(inbox(log)).toHaveLength(1);
    log.restart();
    await log.seal();
    await log.seal();
    expect(inbox(log)).toEqual([]);
    expect(readers(log)).toEqual(['query']);
  });

  it('are recorded although the log cannot be sealed', async () => {
    const log = await openSealedLog();
    leaveNote(log.dir, 'log_read', { verb: 'query' });
    await log.seal();
    expect(log.loop.status().sealing).toBe(false);
    expect(readers(log)).toEqual(['query']);
    expect(inbox(log)).toEqual([]);
  });
});
