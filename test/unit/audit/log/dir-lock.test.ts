import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DirLockedError, lockDir } from '../../../../src/audit/log/dir-lock.ts';
import { openWriter, tempDir } from '../log-fixture.ts';

const lockFile = (dir: string) => join(dir, 'writer.lock');

describe('the lock of a log directory', () => {
  it('refuses a second writer in the same process and names the first', () => {
    const dir = tempDir();
    lockDir(dir);
    expect(() => lockDir(dir)).toThrow(DirLockedError);
    expect(() => lockDir(dir)).toThrow(`process ${process.pid}`);
  });

  it('refuses a second writer in another process', async () => {
    const dir = tempDir();
    const writer = new URL('writer-child.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [writer, dir, 'written'], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    await expect(openWriter(dir)).rejects.toThrow(DirLockedError);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect(openWriter(dir)).resolves.toMatchObject({ healthy: true });
  });

  it('is free again when it is released', () => {
    const dir = tempDir();
    lockDir(dir).release();
    lockDir(dir).release();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('takes over what a dead process left, also one with our own process id', () => {
    const dir = tempDir();
    const owner = { pid: process.pid, start: 'another-boot:1', id: 'x' };
    writeFileSync(lockFile(dir), JSON.stringify(owner));
    expect(() => lockDir(dir)).not.toThrow();
    writeFileSync(lockFile(dir), JSON.stringify({ pid: 2 ** 22 + 1, start: 'b:1', id: 'x' }));
    expect(() => lockDir(dir)).not.toThrow();
  });

  it('takes over a lock that nobody can have written', () => {
    const dir = tempDir();
    for (const text of ['', 'null', '{}', '{"pid":"1"}', 'garbage']) {
      writeFileSync(lockFile(dir), text);
      expect(() => lockDir(dir)).not.toThrow();
    }
  });

  it('believes a process without a known start by its id alone', () => {
    const dir = tempDir();
    writeFileSync(lockFile(dir), JSON.stringify({ pid: process.ppid, start: '', id: 'x' }));
    expect(() => lockDir(dir)).toThrow(DirLockedError);
  });

  it('is taken again where it vanished, and not where somebody else has it', () => {
    const dir = tempDir();
    const lock = lockDir(dir);
    rmSync(lockFile(dir));
    lock.hold();
    expect(existsSync(lockFile(dir))).toBe(true);
    const other = JSON.stringify({ ...JSON.parse(readFileSync(lockFile(dir), 'utf8')), id: 'other' });
    writeFileSync(lockFile(dir), other);
    expect(() => lock.hold()).toThrow(DirLockedError);
    lock.release();
    expect(readFileSync(lockFile(dir), 'utf8')).toBe(other);
  });
});
