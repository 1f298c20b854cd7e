import { setFlagsFromString } from 'node:v8';

/** The oldest Node.js this project runs on: type stripping is stable and `await using` native from here. */
const MINIMUM = [24, 12] as const;

/**
 * Throws unless the running Node.js is at least 24.12.
 *
 * `npm ci --omit=optional` leaves out the pinned runtime, and scripts would then run on whatever Node.js the machine has;
 * this makes that loud.
 */
export function assertRuntime(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) return;
  throw new Error(
    `cedar-pdp needs Node.js ${MINIMUM.join('.')} or newer and is running on ${version}. ` +
      'Run it through npm (npm start, npm test), which uses the runtime that the install brings, or install Node.js 24.',
  );
}

/**
 * Bounds the young generation of all threads that are started from here on to 8 MiB, whatever the process was started with. The thread that serves has a
 * large one, for throughput; where one that compiles or seals on the same core collected as much at once, calls would wait for it (ADR 0030).
 */
export function keepThreadsSmall(): void {
  // V8 reads it when a thread is made; no option of `Worker` goes before the process's own flag.
  setFlagsFromString('--min-semi-space-size=1');
  setFlagsFromString('--max-semi-space-size=8');
}

/** V8's option that leaves a call from WebAssembly to JavaScript to the code that all such calls share. */
export const SHARED_WASM_WRAPPERS = '--wasm-wrapper-tiering-budget=2147483647';

/**
 * Keeps V8 from compiling code of its own for calls from WebAssembly to JavaScript that are made often, for any module that is loaded from here on. What it
 * compiles belongs to all threads of the process, and freeing it while another thread compiles has ended processes (ADR 0032).
 */
export function shareWasmWrappers(): void {
  setFlagsFromString(SHARED_WASM_WRAPPERS);
}
