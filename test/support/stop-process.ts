import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Ends a process that we started and awaits its end: SIGTERM, then SIGKILL for one that has not listened after `withinMs`. */
export async function stopProcess(child: ChildProcess, withinMs = 30_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatient = setTimeout(() => child.kill('SIGKILL'), withinMs);
  await exited;
  clearTimeout(impatient);
}
