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
