import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test, vi } from 'vitest';
import { assertRuntime, keepThreadsSmall } from '../../src/runtime.ts';

const MIB = 1024 * 1024;

/** Between what the young generation of such a thread comes to by itself (64 MiB) and what it is held to (16 MiB, and some pages that live on for a while). */
const MUCH = 32 * MIB;

/** The largest young generation, in bytes, of a thread that keeps much of what it makes, until that is `MUCH`. */
async function youngBytesOfThread(): Promise<number> {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const { getHeapSpaceStatistics } = require('node:v8');
    const young = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size;
    let [kept, most] = [[], 0];
    for (let i = 0; i < 1e7 && most <= ${MUCH}; i++) {
      kept.push({ i });
      if (kept.length > 400000) kept = [];
      if (i % 10000 === 0) most = Math.max(most, young());
    }
    parentPort.postMessage(most);`;
  const [most] = (await once(new Worker(code, { eval: true }), 'message')) as [number];
  return most;
}

/** A WebAssembly module that imports `m.f` and exports `g`, which calls it: magic and version, then types, imports, functions, exports and code. */
const CALLS_JAVASCRIPT =
  '0061736d01000000 010401600000 020701016d01660000 03020100 07050101670001 0a0601040010000b';

/** What V8 compiled for calls from WebAssembly to JavaScript while one was made ten thousand times, after `first` ran. */
function wrappersCompiled(first: string): string[] {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'pdp-v8-'));
  const log = path.join(folder.path, 'v8.log');
  const code = `
    import * as runtime from ${JSON.stringify(new URL('../../src/runtime.ts', import.meta.url).href)};
    ${first}
    const module = new WebAssembly.Module(Buffer.from(${JSON.stringify(CALLS_JAVASCRIPT.replaceAll(' ', ''))}, 'hex'));
    const { exports } = new WebAssembly.Instance(module, { m: { f: () => undefined } });
    for (let i = 0; i < 10_000; i++) exports.g();`;
  const flags = ['--log-code', '--no-logfile-per-isolate', `--logfile=${log}`, '--input-type=module'];
  execFileSync(process.execPath, [...flags, '--eval', code]);
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes(',wasm-to-js'));
}

describe('the runtime', () => {
  test('is refused where it is older than what the code needs', () => {
    expect(() => assertRuntime('22.19.0')).toThrow('cedar-pdp needs Node.js 24.12 or newer');
    expect(() => assertRuntime('24.11.1')).toThrow('is running on 24.11.1');
    expect(() => assertRuntime('24.12.0')).not.toThrow();
    expect(() => assertRuntime('26.0.0')).not.toThrow();
  });

  test('gives threads a small young generation', async () => {
    const before = await youngBytesOfThread();
    keepThreadsSmall();
    const after = await youngBytesOfThread();
    expect(before).toBeGreaterThan(MUCH);
    expect(after).toBeLessThanOrEqual(MUCH);
  });

  test('compiles no code for calls from WebAssembly that all threads would share', () => {
    expect(wrappersCompiled('')).not.toEqual([]);
    expect(wrappersCompiled('runtime.shareWasmWrappers();')).toEqual([]);
  });

  test('is set up before a command begins', async () => {
    const done: string[] = [];
    const note = (what: string) => () => void done.push(what);
    vi.doMock('../../src/runtime.ts', () => ({
      assertRuntime: note('assertRuntime'),
      keepThreadsSmall: note('keepThreadsSmall'),
      shareWasmWrappers: note('shareWasmWrappers'),
    }));
    vi.doMock('../../src/cli/run.ts', () => ({ runCli: note('runCli') }));
    await import('../../src/main.ts');
    expect(done).toEqual(['assertRuntime', 'keepThreadsSmall', 'shareWasmWrappers', 'runCli']);
  });
});
