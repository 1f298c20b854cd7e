import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PARTS = fileURLToPath(new URL('../../.parts', import.meta.url));

/** A program to start, with what its environment needs on top of ours. */
export interface Program {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

function fetched(file: string): string | undefined {
  const path = join(PARTS, file);
  return existsSync(path) ? path : undefined;
}

/**
 * Path of a real Envoy: what `scripts/parts.mjs` fetched, or its link to the one on PATH where that is new enough. `undefined`:
 * none at hand.
 */
export function findEnvoy(): string | undefined {
  return fetched('envoy/envoy');
}

/** How to start a real Redis server: the one on PATH, else the one that `scripts/parts.mjs` unpacked. `undefined`: none at hand. */
export function findRedisServer(): Program | undefined {
  const command = onPath('redis-server') ?? fetched('redis/redis-server');
  return command === undefined ? undefined : { command, env: {} };
}

/** A real Go that has the modules of test/conformance/tlog at hand: what `scripts/parts.mjs` set up. `undefined`: none at hand. */
export function findGo(): string | undefined {
  return fetched('go/tlogcheck') === undefined ? undefined : fetched('go/go');
}

/** A real NATS server: the one on the machine, else the one that `scripts/parts.mjs` unpacked. `undefined`: none at hand. */
export function findNatsServer(): string | undefined {
  const installed = '/usr/sbin/nats-server';
  return onPath('nats-server') ?? (existsSync(installed) ? installed : fetched('nats/nats-server'));
}

/** The Kafka broker that `scripts/parts.mjs` built (test/support/kafka-broker). `undefined`: none at hand. */
export function findKafkaBroker(): string | undefined {
  return fetched('go/kafka-broker');
}
