import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { readSlotState } from '../../../src/pdp/slot-state.ts';

const SLOT_STATE = new URL('../../../src/pdp/slot-state.ts', import.meta.url).href;
const QUIET = { info() {}, warn() {}, error() {} };

/** A process that writes the same state many times; rejects where it could not. */
async function writeOften(file: string): Promise<void> {
  const program = `
    import { writeSlotState } from '${SLOT_STATE}';
    for (let times = 0; times < 2000; times++)
      writeSlotState(${JSON.stringify(file)}, { enforced: 'candidate', digest: 'sha256:next' });`;
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
}

test('several processes that write the state at once do not get in the way of each other', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-slots-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'state.json');
  await Promise.all([writeOften(file), writeOften(file), writeOften(file)]);
  expect(readSlotState(file, QUIET)).toEqual({ enforced: 'candidate', digest: 'sha256:next' });
  expect(readdirSync(folder)).toEqual(['state.json']);
});
