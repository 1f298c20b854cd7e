import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openPrivacyKey, readPrivacyKey } from '../../../../src/audit/privacy/key-file.ts';
import { tempDir } from '../log-fixture.ts';

describe('the key of the pseudonyms', () => {
  test('is made once, for its owner only, and is the same ever after', () => {
    const dir = tempDir();
    const path = join(dir, 'keys', 'privacy.key');
    const key = openPrivacyKey(dir, { path, epoch: 1 });
    expect(key).toHaveLength(32);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(openPrivacyKey(dir, { path, epoch: 1 })).toEqual(key);
    expect(readFileSync(join(dir, 'privacy.json'), 'utf8')).not.toContain(key.toString('base64url'));
  });

  test('is never made anew for a log that has pseudonyms of it', () => {
    const dir = tempDir();
    const path = join(dir, 'privacy.key');
    openPrivacyKey(dir, { path, epoch: 1 });
    rmSync(path);
    expect(() => openPrivacyKey(dir, { path, epoch: 1 })).toThrow(/cannot be read/);
    writeFileSync(path, Buffer.alloc(32, 1), { mode: 0o600 });
    expect(() => openPrivacyKey(dir, { path, epoch: 1 })).toThrow(/is not the key that epoch 1/);
    expect(openPrivacyKey(dir, { path, epoch: 2 })).toEqual(Buffer.alloc(32, 1));
  });

  test.each([
    ['too short', Buffer.alloc(31), 0o600, /holds 31 bytes/],
    ['too long', Buffer.alloc(5000), 0o600, /holds 4097 bytes/],
    ['readable by others', Buffer.alloc(32), 0o640, /chmod 600/],
  ])('is refused where it is %s', (_what, bytes, mode, words) => {
    const path = join(tempDir(), 'privacy.key');
    writeFileSync(path, bytes);
    chmodSync(path, mode);
    expect(() => readPrivacyKey(path)).toThrow(words);
  });
});
