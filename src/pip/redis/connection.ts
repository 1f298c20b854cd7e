import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';
import { abortable } from '../../pdp/abortable.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import { type RedisNode, type RedisSecrets, type RedisServer, readNodes, readSecrets } from './server.ts';

/** How to reach a Redis. */
export interface RedisConnection extends RedisServer {
  /** For logs and errors. */
  readonly name: string;
  readonly log: Log;
  /** Ms for connecting, and after which a server that does not answer is dropped, with all that waits for it. Default 1000. */
  readonly silenceMs?: number;
}

/** A connection to one server, found by sentinels or not, or to the servers of a cluster. */
export type RedisClient = Redis | Cluster;

const SILENCE_MS = 1_000;
/** How long the first connection is waited for; it may come later. */
const START_MS = 2_000;

/**
 * Connects to a Redis, which may be down: it is reconnected to with backoff, and commands are never queued or sent twice meanwhile. Files with
 * passwords and certificates are read again for each new connection. Throws `InputError` for settings that are not right.
 */
export async function connectRedis(connection: RedisConnection): Promise<RedisClient> {
  const { name } = connection;
  const nodes = readNodes(name, connection);
  const secrets = await readSecrets(name, connection);
  const ioredis = await import('ioredis');
  const redis =
    connection.cluster === undefined
      ? new ioredis.Redis(serverOptions(connection, nodes, secrets))
      : new ioredis.Cluster(nodes.map(addressOf), clusterOptions(connection, nodes, secrets));
  if (!isCluster(redis)) outlastFailovers(redis);
  report(redis, connection);
  renewSecrets(redis, connection, secrets);
  await abortable(connected(redis), AbortSignal.timeout(START_MS)).catch(() => undefined);
  return redis;
}

/** What an error of the client says. Its objects are never logged: they hold commands, AUTH with its password among them. */
export function redisProblem(error: unknown): string {
  if (!(error instanceof Error) || error.message === '') return 'connection failed';
  if (/isn't write?able|isn't ready/.test(error.message)) return 'is not connected';
  if (error.message.startsWith('Reached the max retries per request')) return 'the connection was lost';
  if (error.message.startsWith('Command timed out')) return 'did not answer in time';
  // An old server, or a proxy, repeats what it was asked: HELLO with the password among it.
  return error.message.replace(/,? with args beginning with[^]*/, '');
}

function commonOptions(
  { silenceMs = SILENCE_MS, username }: RedisConnection,
  node: RedisNode | undefined,
  secrets: RedisSecrets,
) {
  const { isTls = false, username: ofUrl, password } = node ?? {};
  const user = username ?? ofUrl;
  return {
    lazyConnect: true,
    connectTimeout: silenceMs,
    commandTimeout: silenceMs,
    socketTimeout: silenceMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // A master that was demoted: whoever looks for the master again finds the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(secrets.password !== undefined && { password: secrets.password }),
    ...(isTls && { tls: { ...secrets.tls } }),
  } satisfies RedisOptions;
}

const retry = (attempt: number): number => pauseMs(100, 2_000, attempt);
/** The client waits out this pause even after it was closed. */
const retrySentinels = (attempt: number): number => pauseMs(100, 1_000, attempt);

function serverOptions(connection: RedisConnection, nodes: readonly RedisNode[], secrets: RedisSecrets) {
  const [first] = nodes;
  const { sentinel, silenceMs = SILENCE_MS } = connection;
  const alone = { enableOfflineQueue: false, retryStrategy: retry };
  if (!sentinel)
    return {
      ...commonOptions(connection, first, secrets),
      ...alone,
      ...(first && { host: first.host, port: first.port, db: first.db }),
    };
  // What the URLs say of users is about the sentinels.
  const { username, password } = first ?? {};
  return {
    ...commonOptions(connection, first && withoutUser(first), secrets),
    ...alone,
    sentinels: nodes.map(addressOf),
    name: sentinel.master,
    db: first?.db ?? 0,
    failoverDetector: true,
    sentinelCommandTimeout: silenceMs,
    sentinelRetryStrategy: retrySentinels,
    sentinelReconnectStrategy: retrySentinels,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(secrets.sentinelPassword !== undefined && { sentinelPassword: secrets.sentinelPassword }),
    ...(first?.isTls === true && { enableTLSForSentinelMode: true, sentinelTLS: { ...secrets.tls } }),
  };
}

function withoutUser({ host, port, db, isTls }: RedisNode): RedisNode {
  return { host, port, db, isTls };
}

function addressOf({ host, port }: RedisNode): { readonly host: string; readonly port: number } {
  return { host, port };
}

function clusterOptions(connection: RedisConnection, nodes: readonly RedisNode[], secrets: RedisSecrets) {
  const { silenceMs = SILENCE_MS } = connection;
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: retry,
    // 0 gives up at once: whoever asked knows best whether to ask again.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 0,
    maxRedirections: 4,
    slotsRefreshTimeout: silenceMs,
    slotsRefreshInterval: 1_000,
    redisOptions: commonOptions(connection, nodes[0], secrets),
  } satisfies ClusterOptions;
}

/** Tells the two apart that a client may be. */
export function isCluster(redis: RedisClient): redis is Cluster {
  return redis.isCluster;
}

/** A failover that sentinels tell of while a connection is being made ends the client for good (ioredis 6.0): it is begun anew. */
function outlastFailovers(redis: Redis): void {
  const disconnect = redis.disconnect.bind(redis);
  let isClosed = false;
  redis.disconnect = (reconnect = false) => {
    isClosed ||= !reconnect;
    disconnect(reconnect);
  };
  const connect = (): void => {
    if (!isClosed) void redis.connect().catch(() => undefined);
  };
  redis.on('end', () => void setTimeout(connect, retry(1)));
}

async function connectNode(node: Redis): Promise<void> {
  if (node.status === 'wait') await node.connect().catch(() => undefined);
}

async function connected(redis: RedisClient): Promise<void> {
  await redis.connect();
  if (!isCluster(redis)) return;
  await Promise.all(redis.nodes('master').map((node) => untilSettled(node)));
}

async function untilSettled(node: Redis): Promise<void> {
  if (node.status === 'ready' || node.status === 'end') return;
  const settled = Promise.withResolvers<void>();
  node.once('ready', () => settled.resolve());
  node.once('close', () => settled.resolve());
  if (node.status === 'wait') void connectNode(node);
  await settled.promise;
}

function report(redis: RedisClient, { name, log }: RedisConnection): void {
  let isDown = false;
  let nodeProblem: string | undefined;
  redis.on('ready', () => {
    if (isDown) log.info({ source: name }, 'Redis is back');
    isDown = false;
    nodeProblem = undefined;
  });
  redis.on('error', (error: Error) => {
    if (!isDown) log.warn({ source: name, problem: redisProblem(error) }, 'Redis is not available');
    isDown = true;
  });
  redis.on('node error', (error: Error) => {
    const problem = redisProblem(error);
    if (problem !== nodeProblem && !isDown)
      log.warn({ source: name, problem }, 'a node of the Redis cluster is not available');
    nodeProblem = problem;
  });
}

/** The client reads the options of a server for each connection, and makes a new client for each connection to a node of a cluster. */
function renewSecrets(redis: RedisClient, connection: RedisConnection, first: RedisSecrets): void {
  let secrets = first;
  const { name, log } = connection;
  const read = async (): Promise<void> => {
    try {
      secrets = await readSecrets(name, connection);
      if (!isCluster(redis)) take(redis.options, secrets);
    } catch (error) {
      log.warn({ source: name, problem: messageOf(error) }, 'a file for Redis cannot be read');
    }
  };
  redis.on('close', () => void read());
  redis.on('-node', () => void read());
  // Nodes are connected to with the first command, which those that come meanwhile do not survive.
  redis.on('+node', (node: Redis) => {
    take(node.options, secrets);
    if (redis.status === 'ready') void connectNode(node);
  });
}

function take(options: RedisOptions, { password, sentinelPassword, tls }: RedisSecrets): void {
  if (password !== undefined) options.password = password;
  if (sentinelPassword !== undefined) options.sentinelPassword = sentinelPassword;
  if (options.tls) options.tls = { ...tls };
  if (options.sentinelTLS) options.sentinelTLS = { ...tls };
}
