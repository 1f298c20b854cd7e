import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { leaveNote, readInbox } from '../../../../src/audit/log/inbox.ts';
import { tempDir } from '../log-fixture.ts';

function drop(dir: string, content: unknown, name = `${randomUUID()}.json`): void {
  mkdirSync(join(dir, 'inbox'), { recursive: true });
  writeFileSync(join(dir, 'inbox', name), typeof content === 'string' ? content : JSON.stringify(content));
}

describe('the inbox of a log', () => {
  it('holds what was left until whoever reads it removes it', () => {
    const dir = tempDir();
    leaveNote(dir, 'log_read', { verb: 'query', records: 3 });
    expect(readInbox(dir)).toMatchObject([{ kind: 'log_read', fields: { verb: 'query', records: 3 } }]);
    expect(readInbox(dir)).toHaveLength(1);
  });

  it('is empty where nobody left anything', () => {
    expect(readInbox(tempDir())).toEqual([]);
  });

  it.each([
    ['a decision', { kind: 'decision', fields: { decision: 'ALLOW' } }],
    ['a boot', { kind: 'boot', fields: { pid: 1 } }],
    ['no kind', { fields: { a: 1 } }],
    ['no fields', { kind: 'log_read' }],
    ['nothing of use', { kind: 'log_read', fields: { index: 7, log: 'other', V: 1 } }],
    ['no JSON', '{'],
    ['too much', { kind: 'log_read', fields: { filter: 'x'.repeat(20_000) } }],
  ])('refuses %s, and keeps no such file', (_what, content) => {
    const dir = tempDir();
    drop(dir, content);
    expect(readInbox(dir)).toEqual([]);
    expect(readdirSync(join(dir, 'inbox'))).toEqual([]);
  });

  it('is read past whatever is in it that is no file', () => {
    const dir = tempDir();
    leaveNote(dir, 'log_read', { verb: 'query' });
    mkdirSync(join(dir, 'inbox', `${randomUUID()}.json`));
    execFileSync('mkfifo', [join(dir, 'inbox', `${randomUUID()}.json`)]);
    symlinkSync('/dev/zero', join(dir, 'inbox', `${randomUUID()}.json`));
    expect(readInbox(dir)).toMatchObject([{ kind: 'log_read' }]);
  });

  it('takes no field for one of the record itself, and no value that is not plain', () => {
    const dir = tempDir();
    drop(dir, {
      kind: 'log_read',
      fields: { verb: 'query', index: 7, timestamp: 'now', nested: {}, part: 1.5 },
    });
    expect(readInbox(dir)).toMatchObject([{ fields: { verb: 'query' } }]);
  });

  it('leaves alone what is not finished yet', () => {
    const dir = tempDir();
    drop(dir, { kind: 'log_read', fields: { verb: 'query' } }, `${randomUUID()}.json.draft`);
    expect(readInbox(dir)).toEqual([]);
    expect(readdirSync(join(dir, 'inbox'))).toHaveLength(1);
  });
});
