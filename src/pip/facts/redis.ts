import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import type { AttributeAnswer, AttributeSubject } from '../../pdp/attribute.ts';
import { InputError, PdpError } from '../../pdp/errors.ts';
import { externalJsonProblem } from '../../pdp/external-json.ts';
import type { Log } from '../../pdp/log.ts';
import type { AttributeSource, Clock } from '../../pdp/ports.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import { abortable } from '../../pdp/abortable.ts';
import { fileProblem } from '../polled-file.ts';
import { type Reader, createReader } from './redis-value.ts';
import { readSubjectFacts } from './subject-facts.ts';

/** How to reach a Redis. */
export interface RedisConnection {
  /** For logs and errors. */
  readonly name: string;
  /** `redis://` or, for TLS, `rediss://`; a path is the database's number. */
  readonly url: string;
  /** File with the password; read once, its last line break left out. */
  readonly passwordFile?: string;
  readonly log: Log;
}

/** Settings of {@link openRedisSource}. */
export interface RedisSourceOptions extends RedisConnection {
  /** What stands before the subject id in keys. */
  readonly keyPrefix: string;
  readonly subject: AttributeSubject;
  readonly gives: readonly string[];
  readonly onFailure: 'deny' | 'omit';
  /** Ms for which an answer may be used. */
  readonly freshMs: number;
  /** Ms within which an answer must be here; default 20. */
  readonly commandTimeoutMs?: number;
  readonly clock: Clock;
}

const CONNECT_TIMEOUT_MS = 1_000;

/**
 * Opens a source of facts in Redis. The value at `<keyPrefix><subject id>` is a string that holds a JSON object, or a hash whose
 * fields are its members (each JSON where it parses as such, else a plain string); its shape is that of the static file's entries. No value,
 * or an empty one, is `absent`. A Redis that is down does not fail the start, is reconnected to with backoff, and until then
 * every lookup fails at once: commands are never queued. `lookup` throws `PdpError` `attribute_unavailable` for a Redis that is
 * down or slow and for a value that is too big or not right. Throws `InputError` for a bad URL or password file.
 */
export async function openRedisSource(
  options: RedisSourceOptions,
): Promise<AttributeSource & AsyncDisposable> {
  const { name, subject, gives, onFailure } = options;
  const redis = await connectRedis(options);
  const read = createReader(redis);
  const reader: Reader = async (key) => {
    if (redis.status !== 'ready') throw new Error('is not connected');
    return await read(key);
  };
  return {
    name,
    subject,
    gives,
    onFailure,
    lookup: (subjectId, { signal }) => lookup(options, reader, subjectId, signal),
    [Symbol.asyncDispose]: async () => redis.disconnect(),
  };
}

/**
 * Connects to a Redis, which may be down: it is reconnected to with backoff, and commands are never queued meanwhile. Throws `InputError`
 * for a bad URL or password file.
 */
export async function connectRedis(options: RedisConnection): Promise<Redis> {
  const { name, log } = options;
  const redis = new Redis({
    ...serverOf(options),
    ...(await passwordOf(options)),
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // For the handshake; lookups have their own, shorter timeout. A server that has stopped talking is dropped, and what waits with it.
    commandTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => pauseMs(100, 5_000, attempt),
  });
  let isDown = false;
  redis.on('ready', () => {
    if (isDown) log.info({ source: name }, 'Redis is back');
    isDown = false;
  });
  // Of the client's errors only the words are logged: the objects hold commands, AUTH with its password among them.
  redis.on('error', (error: Error) => {
    if (!isDown) log.warn({ source: name, problem: wordsOf(error) }, 'Redis is not available');
    isDown = true;
  });
  await redis.connect().catch(() => undefined);
  return redis;
}

function serverOf({ name, url: text }: RedisConnection) {
  const url = URL.parse(text);
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '')?.[1];
  if (
    url === null ||
    !['redis:', 'rediss:'].includes(url.protocol) ||
    url.hostname === '' ||
    database === undefined
  ) {
    throw settingsError(name, 'url', 'is not of the form redis://host:port/database or rediss://…');
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(database),
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  };
}

async function passwordOf({ name, passwordFile }: RedisConnection): Promise<{ readonly password?: string }> {
  if (passwordFile === undefined) return {};
  const content = await readFile(passwordFile, 'utf8').catch((error: unknown) => {
    throw settingsError(name, 'passwordFile', fileProblem(error));
  });
  return { password: content.replace(/\r?\n$/, '') };
}

function settingsError(name: string, where: string, message: string): InputError {
  return new InputError(`the Redis source '${name}' is not configured well`, [{ where, message }]);
}

async function lookup(
  options: RedisSourceOptions,
  read: Reader,
  subjectId: string,
  signal: AbortSignal,
): Promise<AttributeAnswer> {
  const timeout = AbortSignal.timeout(options.commandTimeoutMs ?? 20);
  const value = await abortable(
    read(`${options.keyPrefix}${subjectId}`),
    AbortSignal.any([signal, timeout]),
  ).catch((error: unknown) => {
    signal.throwIfAborted();
    throw unavailable(options, timeout.aborted ? 'did not answer in time' : wordsOf(error));
  });
  const now = options.clock.now();
  const freshUntil = now + options.freshMs;
  if (value === undefined)
    return { status: 'absent', attributes: {}, groups: [], observedAt: now, freshUntil };
  const problem = 'problem' in value ? value.problem : externalJsonProblem(value.json);
  const facts =
    'json' in value && problem === undefined ? readSubjectFacts(value.json, options.gives) : { problem };
  if ('problem' in facts) throw unavailable(options, `the value ${facts.problem}`);
  return { status: 'found', observedAt: now, ...facts, freshUntil };
}

function unavailable({ name }: RedisSourceOptions, problem: string): PdpError {
  return new PdpError('attribute_unavailable', `Redis source '${name}': ${problem}`);
}

function wordsOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : 'connection failed';
}
