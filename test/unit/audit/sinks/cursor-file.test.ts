import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CursorFile } from '../../../../src/audit/sinks/cursor-file.ts';

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pdp-cursor-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));
  return dir;
}

describe('the cursor of a sink', () => {
  test('is not there at first, and then what was written last, for whoever reads it', () => {
    const dir = folder();
    expect(new CursorFile(dir, 'siem').read()).toBeUndefined();
    for (const index of [0, 7, 123_456_789]) {
      new CursorFile(dir, 'siem').write(index);
      expect(new CursorFile(dir, 'siem').read()).toBe(index);
      expect(new CursorFile(dir, 'other').read()).toBeUndefined();
    }
    expect(readdirSync(join(dir, 'cursors'))).toEqual(['siem.json']);
    expect(statSync(join(dir, 'cursors/siem.json')).mode & 0o077).toBe(0);
  });

  test('is the last whole one where a crash left half of the next', () => {
    const dir = folder();
    const cursor = new CursorFile(dir, 'siem');
    cursor.write(3);
    writeFileSync(join(dir, 'cursors/siem.json.draft'), '{"ind');
    expect(cursor.read()).toBe(3);
    cursor.write(4);
    expect(cursor.read()).toBe(4);
  });

  test.each(['', '7', '{"index":"7"}', '{"index":-1}', '{"index":9007199254740993}', '{}', '{"index":1'])(
    'makes no sense as %j',
    (text) => {
      const dir = folder();
      mkdirSync(join(dir, 'cursors'));
      writeFileSync(join(dir, 'cursors/siem.json'), text);
      expect(new CursorFile(dir, 'siem').read()).toBe('unreadable');
    },
  );
});
