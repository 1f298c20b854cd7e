import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Consumer, type ConsumerOptions } from '@platformatic/kafka';
import { connect } from 'node:net';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { killProcess } from './kill-process.ts';
import { findKafkaBroker } from './parts.ts';

/** What a topic holds of one line. */
export interface KafkaMessage {
  readonly key: string;
  readonly value: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly partition: number;
}

/** A Kafka broker that is not ours, with one topic of three partitions on disk. Disposing ends it and removes what it stored. */
export interface TestKafka extends AsyncDisposable {
  /** Port of 127.0.0.1. */
  readonly port: number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on what it has stored. */
  start(): Promise<void>;
  /** What the topic holds, from its beginning until `enough` says so. */
  read(enough: (messages: readonly KafkaMessage[]) => boolean): Promise<readonly KafkaMessage[]>;
}

/** What is special about a broker. */
export interface KafkaOptions {
  readonly topic: string;
  readonly maxMessageBytes?: number;
  /** TLS, and with a user also SASL (SCRAM-SHA-512). */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly user?: { readonly name: string; readonly password: string };
  /** How the tests themselves connect to it. */
  readonly client?: Partial<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>>;
}

/** Starts a broker on a free port. Throws where there is none at hand. */
export async function startKafka(options: KafkaOptions): Promise<TestKafka> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-kafka-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawnBroker(port, folder, options);
    await eventually('the Kafka broker listens', () => accepts(port));
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
    start,
    kill,
    read: (enough) => readTopic(port, options, enough),
    [Symbol.asyncDispose]: end,
  };
}

function spawnBroker(port: number, folder: string, { topic, maxMessageBytes, tls, user }: KafkaOptions) {
  const command = findKafkaBroker();
  if (command === undefined) throw new Error('these tests need a Kafka broker: run node scripts/parts.mjs');
  const flags = [String(port), folder, topic, String(maxMessageBytes ?? 1_048_588)];
  if (tls) flags.push(tls.certFile, tls.keyFile);
  if (user) flags.push(user.name, user.password);
  const child = spawn(command, flags, { stdio: 'ignore', cwd: '/' });
  // A run that ends in the middle of a test must not leave the broker behind.
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  return child;
}

async function accepts(port: number): Promise<true | undefined> {
  const { promise, resolve } = Promise.withResolvers<true | undefined>();
  const socket = connect(port, '127.0.0.1', () => resolve(true));
  socket.on('error', () => resolve(undefined));
  const answer = await promise;
  socket.destroy();
  return answer;
}

async function readTopic(
  port: number,
  { topic, client = {} }: KafkaOptions,
  enough: (messages: readonly KafkaMessage[]) => boolean,
): Promise<readonly KafkaMessage[]> {
  const consumer = new Consumer({
    clientId: 'test',
    groupId: `test-${Math.random()}`,
    bootstrapBrokers: [`127.0.0.1:${port}`],
    ...client,
  });
  const stream = await consumer.consume({
    topics: [topic],
    mode: 'earliest',
    autocommit: false,
    maxWaitTime: 100,
  });
  const messages: KafkaMessage[] = [];
  for await (const { key, value, headers, partition } of stream) {
    const named = [...headers].map(([name, text]) => [name.toString(), text.toString()] as const);
    messages.push({
      key: key.toString(),
      value: value.toString(),
      headers: Object.fromEntries(named),
      partition,
    });
    if (enough(messages)) break;
  }
  await consumer.close(true);
  return messages;
}
