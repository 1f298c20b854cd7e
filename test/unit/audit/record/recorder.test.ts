import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createRecorder, type RecorderOptions } from '../../../../src/audit/record/recorder.ts';
import { openWriter, records, tempDir } from '../log-fixture.ts';
import { allowedTrace, refusedTrace } from '../trace-fixture.ts';

const OPTIONS: Omit<RecorderOptions, 'writer'> = {
  onFailure: 'deny',
  engine: 'cedar-wasm 4.13.0',
  acceptsTokens: true,
  httpStatus: () => 200,
};

async function fullDisk() {
  const dir = tempDir();
  const writer = await openWriter(dir, { segmentBytes: 1 });
  symlinkSync('/dev/full', join(dir, 'segment-00000000000000000001.ndjson'));
  return writer;
}

describe('a recorder', () => {
  it('writes one line for each answer', async () => {
    const dir = tempDir();
    const recorder = createRecorder({ ...OPTIONS, writer: await openWriter(dir) });
    await Promise.all([recorder.record(allowedTrace()), recorder.record(refusedTrace())]);
    expect(records(dir)).toMatchObject([
      { kind: 'boot' },
      { kind: 'decision', index: 1, decision: 'ALLOW', log: 'example.com/pdp/test' },
      { kind: 'decision', index: 2, decision: 'DENY' },
    ]);
  });

  it('rejects with audit_unavailable when the record is not safe', async () => {
    const recorder = createRecorder({ ...OPTIONS, writer: await fullDisk() });
    await expect(recorder.record(allowedTrace())).rejects.toMatchObject({
      name: 'PdpError',
      reason: 'audit_unavailable',
      cause: { code: 'ENOSPC' },
    });
  });

  it('lets the answer go out without its record only where that is configured', async () => {
    const recorder = createRecorder({ ...OPTIONS, onFailure: 'allow', writer: await fullDisk() });
    await expect(recorder.record(allowedTrace())).resolves.toBeUndefined();
  });
});
