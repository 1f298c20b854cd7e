import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type StoredMsg, jetstreamManager } from '@nats-io/jetstream';
import { type ConnectionOptions, type NatsConnection, connect } from '@nats-io/transport-node';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { killProcess } from './kill-process.ts';
import { findNatsServer } from './parts.ts';

/** A real NATS server with a JetStream on disk. Disposing ends it and removes what it stored. */
export interface TestNats extends AsyncDisposable {
  /** Port of 127.0.0.1. */
  readonly port: number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on what it has stored. */
  start(): Promise<void>;
  /** Makes a stream that takes one subject and remembers message ids for ten minutes. */
  addStream(name: string, subject: string): Promise<void>;
  /** Messages that a stream holds; `undefined` while the server cannot be asked. */
  count(stream: string): Promise<number | undefined>;
  /** Everything that a stream holds, in order. */
  messages(stream: string): Promise<readonly StoredMsg[]>;
}

/** What is special about a server. */
export interface NatsOptions {
  /** More of its configuration file. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How the tests themselves connect to it. */
  readonly client?: ConnectionOptions;
}

/** Starts a server on a free port. Throws where there is none at hand. */
export async function startNats({ config = {}, client = {} }: NatsOptions = {}): Promise<TestNats> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-nats-'));
  const port = await freePort();
  const file = join(folder, 'nats.conf');
  const settings = { host: '127.0.0.1', port, jetstream: { store_dir: join(folder, 'store') }, ...config };
  await writeFile(file, JSON.stringify(settings));
  let child: ChildProcess | undefined;
  const withConnection = async <T>(use: (connection: NatsConnection) => Promise<T>): Promise<T> => {
    const options = { servers: `127.0.0.1:${port}`, reconnect: false, timeout: 2000, ...client };
    await using connection = await connect(options);
    return await use(connection);
  };
  const count = (stream: string) =>
    withConnection(async (connection) => {
      const manager = await jetstreamManager(connection);
      return (await manager.streams.info(stream)).state.messages;
    }).catch(() => undefined);
  const start = async (): Promise<void> => {
    child = spawnNats(file);
    await eventually('NATS answers', () =>
      withConnection(jetstreamManager).then(
        () => true,
        () => undefined,
      ),
    );
  };
  const kill = async (): Promise<void> => {
    if (child) await killProcess(child);
  };
  const end = async (): Promise<void> => {
    await kill();
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  };
  try {
    await start();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    port,
    kill,
    start,
    count,
    addStream: (name, subject) =>
      withConnection(async (connection) => {
        const manager = await jetstreamManager(connection);
        await manager.streams.add({ name, subjects: [subject], duplicate_window: 600 * 1e9 });
      }),
    messages: (stream) =>
      withConnection(async (connection) => {
        const manager = await jetstreamManager(connection);
        const { state } = await manager.streams.info(stream);
        const sequences = Array.from({ length: state.messages }, (_, at) => state.first_seq + at);
        const found = await Promise.all(sequences.map((seq) => manager.streams.getMessage(stream, { seq })));
        return found.filter((message) => message !== null);
      }),
    [Symbol.asyncDispose]: end,
  };
}

function spawnNats(configFile: string): ChildProcess {
  const command = findNatsServer();
  if (command === undefined) throw new Error('these tests need a real NATS: install nats-server');
  const child = spawn(command, ['-c', configFile], { stdio: 'ignore', cwd: '/' });
  // A run that ends in the middle of a test must not leave the server behind.
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  return child;
}
