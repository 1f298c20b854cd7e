import { harmless } from '../audit/query/row.ts';
import type { ScanListener } from '../audit/query/scan.ts';
import type { Terminal } from './command.ts';

/** Tells how far a scan has come, on a line of its own, and what went wrong. */
export interface ScanProgressLine extends Required<ScanListener>, Disposable {
  /** Whether something may be missing from the result. */
  readonly incomplete: boolean;
  /** Makes room for a line of output. */
  clear(): void;
  /** Tells something that is no problem. */
  tell(words: string): void;
}

/** Makes a {@link ScanProgressLine}; without a person before the terminal only problems are told. */
export function scanProgress(terminal: Terminal): ScanProgressLine {
  let [shown, incomplete] = [false, false];
  const clear = () => {
    if (shown) terminal.err('\r\u001B[K');
    shown = false;
  };
  const tell = (words: string) => {
    clear();
    terminal.err(`pdp: ${harmless(words)}\n`);
  };
  return {
    get incomplete() {
      return incomplete;
    },
    onProgress({ records, segments, of }) {
      if (!terminal.interactive) return;
      terminal.err(`\r${records} records, ${segments} of ${of} segments …`);
      shown = true;
    },
    onProblem(words) {
      incomplete = true;
      tell(words);
    },
    tell,
    clear,
    [Symbol.dispose]: clear,
  };
}
