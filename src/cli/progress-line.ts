import type { Terminal } from './command.ts';

/** A line on stderr that tells how far a long command is; nothing where nobody is watching. */
export interface ProgressLine {
  /** Draws it. `total`: where it is known. */
  show(done: number, total?: number): void;
  /** Takes it away. To be called once, at the end. */
  end(): void;
}

const WIDTH = 30;

/** `what` is counted: `records`. `now` gives milliseconds that only grow. */
export function progressLine(
  terminal: Terminal,
  what: string,
  now: () => number = () => performance.now(),
): ProgressLine {
  const started = now();
  let drawn = false;
  return {
    show(done, total) {
      if (!terminal.interactive) return;
      drawn = true;
      const perSecond = Math.round((done * 1000) / Math.max(1, now() - started));
      terminal.err(`\r\u001B[K${bar(done, total)}${grouped(done)} ${what}, ${grouped(perSecond)}/s`);
    },
    end() {
      if (drawn) terminal.err('\r\u001B[K');
    },
  };
}

function bar(done: number, total: number | undefined): string {
  if (total === undefined || total <= 0) return '';
  const share = Math.min(1, done / total);
  const full = Math.round(share * WIDTH);
  return `[${'█'.repeat(full)}${'·'.repeat(WIDTH - full)}] ${String(Math.floor(share * 100)).padStart(3)} %  `;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ' ');
}
