import { defineConfig } from 'vitest/config';
import { SHARED_WASM_WRAPPERS, assertRuntime } from './src/runtime.ts';

assertRuntime();

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/plain-line-reporter.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Type stripping is WebAssembly too, in every thread that a test starts (docs/adr/0032-shared-wasm-wrappers.md).
    execArgv: [SHARED_WASM_WRAPPERS],
    maxWorkers: 2,
  },
});
