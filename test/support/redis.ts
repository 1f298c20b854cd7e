import { type ChildProcess, spawn } from 'node:child_process';
import { Redis } from 'ioredis';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { findRedisServer } from './parts.ts';
import { stopProcess } from './stop-process.ts';

/** A real Redis for tests. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** Port of 127.0.0.1; of a server that is shared, the port of its URL. */
  readonly port: number;
  /** A connected client. */
  readonly client: Redis;
  /** Stops the server from answering while its connections stay open. Only for a server of our own. */
  pause(): void;
  /** Lets a paused server go on. */
  resume(): void;
  /** Ends the server. Only for a server of our own. */
  stop(): Promise<void>;
}

/** Settings of {@link startRedis}. */
export interface StartRedisOptions {
  /** The test stops or pauses the server, so it may not be the shared one of `PDP_TEST_REDIS_URL`. */
  readonly exclusive?: boolean;
  /** Port of the new server; default a free one. */
  readonly port?: number;
  /** Password that the new server demands. */
  readonly password?: string;
  /** More of its command line. */
  readonly flags?: readonly string[];
}

/**
 * Uses the Redis of `PDP_TEST_REDIS_URL`, or starts a new one on a free port of 127.0.0.1 that keeps nothing on disk. Throws
 * where there is neither the variable nor a `redis-server`.
 */
export async function startRedis(options: StartRedisOptions = {}): Promise<TestRedis> {
  const shared = process.env['PDP_TEST_REDIS_URL'];
  const canShare = options.exclusive !== true && options.password === undefined && !options.flags;
  if (shared !== undefined && shared !== '' && canShare) return await useRedis(shared);
  const port = options.port ?? (await freePort());
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  if (options.password !== undefined) flags.push('--requirepass', options.password);
  const child = spawnRedis([...flags, ...(options.flags ?? [])]);
  try {
    return await useRedis(`redis://127.0.0.1:${port}`, { child, password: options.password });
  } catch (error) {
    await stopProcess(child);
    throw error;
  }
}

/** Starts a server with this command line. */
export function spawnRedis(flags: readonly string[]): ChildProcess {
  const program = findRedisServer();
  if (program === undefined) {
    throw new Error('these tests need a real Redis: install redis-server, or set PDP_TEST_REDIS_URL');
  }
  const child = spawn(program.command, flags, {
    stdio: 'ignore',
    cwd: '/',
    env: { ...process.env, ...program.env },
  });
  // A run that ends in the middle of a test must not leave the server behind.
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  return child;
}

interface OwnServer {
  readonly child: ChildProcess;
  readonly password: string | undefined;
}

async function useRedis(url: string, own?: OwnServer): Promise<TestRedis> {
  const client = new Redis(url, {
    lazyConnect: true,
    ...(own?.password !== undefined && { password: own.password }),
  });
  client.on('error', () => undefined);
  await client.connect().catch(() => undefined);
  await eventually(`Redis at ${new URL(url).host} answers`, () =>
    client.ping().then(
      () => true,
      () => undefined,
    ),
  );
  const child = (): ChildProcess => {
    if (own === undefined)
      throw new Error('a shared Redis may not be stopped: start it with { exclusive: true }');
    return own.child;
  };
  const stop = async (): Promise<void> => {
    child().kill('SIGCONT');
    await stopProcess(child());
  };
  return {
    url,
    port: Number(new URL(url).port || 6379),
    client,
    pause: () => void child().kill('SIGSTOP'),
    resume: () => void child().kill('SIGCONT'),
    stop,
    async [Symbol.asyncDispose]() {
      client.disconnect();
      if (own !== undefined) await stop();
    },
  };
}
