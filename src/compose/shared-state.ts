import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DirLockedError, lockDir } from '../audit/log/dir-lock.ts';
import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry.ts';
import { SYSTEM_CLOCK } from './core.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import type { SharedState } from '../pdp/shared-state.ts';
import { openEmbeddedState } from '../pip/shared/embedded-state.ts';
import type { ResyncCause } from '../pip/shared/redis-reader.ts';
import { type ChangeOrigin, openRedisState } from '../pip/shared/redis-state.ts';
import { redisServerOf } from './redis.ts';

type SharedStateConfig = Config['shared_state'];

interface SharedStateParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Told how many entries came into force, and who brought them. */
  readonly onChanges?: (count: number, origin: ChangeOrigin) => void;
  /** Told why everything was read from Redis. */
  readonly onResync?: (cause: ResyncCause) => void;
}

/** A shared state with what operators should know of it. */
export interface OpenedSharedState extends SharedState {
  /** Entries held. */
  readonly size: number;
}

/**
 * Opens the state that all replicas share; `stack` closes it. A Redis that is down does not fail the start. Throws `InputError` for what
 * people wrote wrong, and for a journal that another process uses.
 */
export async function openSharedState(
  config: SharedStateConfig,
  parts: SharedStateParts,
  stack: AsyncDisposableStack,
): Promise<OpenedSharedState> {
  if (config.kind === 'redis') return stack.use(await openInRedis(config, parts));
  const { journal } = config;
  if (journal === undefined) {
    parts.log.warn(
      { setting: 'shared_state' },
      'revocations and grants are kept in the memory of this process: they do not survive a restart, and other replicas do not see them',
    );
    return stack.use(await openEmbeddedState({ ...boundsOf(config), ...parts }));
  }
  await ownJournal(journal, stack);
  return stack.use(await openEmbeddedState({ ...boundsOf(config), ...parts, journal }));
}

/** The state that replicas share, measured. */
export async function openMeasuredState(
  config: SharedStateConfig,
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
  stack: AsyncDisposableStack,
): Promise<OpenedSharedState> {
  const shared = await openSharedState(
    config,
    {
      clock: SYSTEM_CLOCK,
      log,
      onChanges: (count, origin) => metrics.sharedStateChanged(count, origin),
      onResync: (cause) => metrics.sharedStateResynced(cause),
    },
    stack,
  );
  metrics.watchSharedState(shared);
  return shared;
}

/**
 * The state as a command sees it that decides once and is no replica: what is in Redis; of an embedded state, which is in the memory of the
 * process that serves, nothing.
 */
export async function openLocalSharedState(
  config: SharedStateConfig,
  parts: SharedStateParts,
  stack: AsyncDisposableStack,
): Promise<SharedState> {
  if (config.kind === 'redis') return stack.use(await openInRedis(config, parts));
  return stack.use(await openEmbeddedState({ ...boundsOf(config), ...parts }));
}

/** What operators should know of a state that lags for longer than `boundMs`. */
export function sharedStateWarnings(state: SharedState, boundMs: number): readonly string[] {
  const lagMs = state.lagMs();
  // That nothing was ever read is more than a warning: see readiness.
  if (lagMs <= boundMs || !Number.isFinite(lagMs)) return [];
  return [`changes of other replicas may have been missed for ${Math.round(lagMs / 1000)} s (shared_state)`];
}

async function openInRedis(
  config: Extract<SharedStateConfig, { readonly kind: 'redis' }>,
  parts: SharedStateParts,
): Promise<OpenedSharedState> {
  const { key_prefix: keyPrefix, heartbeat_ms: heartbeatMs, durability } = config;
  return await openRedisState({
    ...redisServerOf(config),
    ...boundsOf(config),
    ...parts,
    keyPrefix,
    heartbeatMs,
    durability,
  });
}

function boundsOf(config: SharedStateConfig) {
  return { maxEntries: config.max_entries, timeoutMs: config.timeout_ms };
}

/** Two processes on one journal would each throw away what the other wrote. The lock has a folder of its own beside the file. */
async function ownJournal(journal: string, stack: AsyncDisposableStack): Promise<void> {
  try {
    await mkdir(dirname(journal), { recursive: true, mode: 0o700 });
    const folder = `${journal}.lock`;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const lock = lockDir(folder);
    stack.defer(() => lock.release());
  } catch (error) {
    const message =
      error instanceof DirLockedError ? 'another process uses it' : `cannot be locked: ${messageOf(error)}`;
    throw new InputError('the journal of the shared state cannot be used:', [{ where: journal, message }]);
  }
}
