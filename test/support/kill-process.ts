import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Ends a process that we started without a word, as a crash would, and awaits its end. */
export async function killProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
