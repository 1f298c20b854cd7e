import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { SHARED_WASM_WRAPPERS, assertRuntime } from './src/runtime.ts';

assertRuntime();
// Most of what a test waits for is processes and threads that start from source; what they compile is kept for the next one.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/node', import.meta.url));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/plain-line-reporter.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Type stripping is WebAssembly too, in every thread that a test starts (docs/adr/0032-shared-wasm-wrappers.md).
    execArgv: [SHARED_WASM_WRAPPERS],
    maxWorkers: 2,
  },
});
