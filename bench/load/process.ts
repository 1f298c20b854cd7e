import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A server under load, in a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  readonly port: number;
  /** CPU time it used so far, in ms; 0 where the system does not say. */
  cpuMs(): number;
  /** Resident memory in bytes; 0 where the system does not say. */
  residentBytes(): number;
}

/** Whether processes can be pinned to a core here. */
export const canPin = process.platform === 'linux' && spawnSync('taskset', ['-V']).status === 0;

/** Keeps the generator away from the servers' core. */
export function pinGenerator(): void {
  if (canPin) spawnSync('taskset', ['-a', '-p', '-c', '1', String(process.pid)]);
}

/**
 * Puts the generator before whatever else shares its core, so that it measures the server and not its own waiting. `false` where the
 * system does not let us.
 */
export function hurryGenerator(): boolean {
  return (
    process.platform === 'linux' &&
    spawnSync('chrt', ['-a', '-R', '-r', '-p', '1', String(process.pid)]).status === 0
  );
}

/** CPU time that the machine spent on anything so far, in ms (proc(5), `/proc/stat`); 0 where the system does not say. */
export function machineBusyMs(): number {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
    const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line.split(' ').map(Number);
    return (user + nice + system + irq + softIrq + steal) * 10;
  } catch {
    return 0;
  }
}

/** Starts `command` on its cores (`taskset`'s words), without our variables in its environment. Output: a pipe, ours, or a file. */
export function spawnPinned(
  command: string,
  args: readonly string[],
  output: readonly [stdout: 'pipe' | number, stderr: 'inherit' | 'pipe' | number],
  cores = '0',
): ChildProcess {
  const [first, ...rest] = canPin ? ['taskset', '-c', cores, command, ...args] : [command, ...args];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PDP_')));
  return spawn(first ?? command, rest, { cwd: ROOT, env, stdio: ['ignore', ...output] });
}

/** `child`, listening on `port`: its end is our disposal. */
export function serverProcess(child: ChildProcess, port: number): ServerProcess {
  return {
    port,
    cpuMs: () => cpuMsOf(child.pid),
    residentBytes: () => residentBytesOf(child.pid),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const watchdog = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(watchdog);
    },
  };
}

function residentBytesOf(pid: number | undefined): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** proc(5): `utime` and `stime` are fields 14 and 15 of `stat`, in ticks of 10 ms. */
function cpuMsOf(pid: number | undefined): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}

/** A TCP port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
