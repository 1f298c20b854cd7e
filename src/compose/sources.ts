import type { Config } from '../config.ts';
import type { AttributeSubject, OnFailure } from '../pdp/attribute.ts';
import type { Log } from '../pdp/log.ts';
import type { AttributeSource, Clock } from '../pdp/ports.ts';
import type { FactSource } from '../pip/facts/fact-source.ts';
import { openRedisSource } from '../pip/facts/redis.ts';
import { type RemoteHealth, type RemoteSource, remote } from '../pip/facts/remote.ts';
import { openStaticFile } from '../pip/facts/static-file.ts';
import type { ListConfirmation, ThreatPoint } from '../pip/threats/open-threats.ts';
import { openHttpPip, openScimPip, postureReaderOf } from './http-sources.ts';
import { redisServerOf } from './redis.ts';
import { openThreatPip } from './threats.ts';

type Pip = Config['pips'][number];
/** Those that ask outside of this process. */
type RemotePip = Extract<Pip, { readonly breaker: unknown }>;

/** What information points work with. */
export interface SourceParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Whether we hear of changes in time: see {@link remote}. Default: always. */
  readonly isCurrent?: () => boolean;
  /** Told of each question to a point outside of this process, and how long it took in ms. */
  readonly onAsked?: (source: string, ms: number) => void;
}

/** Whom to tell that something has changed, so that what is held of it is asked for again. */
export interface Invalidation {
  /** Something has changed about a subject of one kind. */
  invalidate(subject: AttributeSubject, id: string): void;
  /** Anything may have changed. */
  invalidateAll(): void;
}

/** The information points of the configuration. */
export interface Sources {
  readonly all: readonly AttributeSource[];
  readonly invalidation: Invalidation;
  /** How it stands with those outside of this process. */
  readonly health: () => readonly RemoteHealth[];
  /** When threat lists were last confirmed. */
  readonly threatLists: () => readonly ListConfirmation[];
}

/** Opens the information points; `stack` closes them. Throws `InputError` for what people wrote wrong. */
export async function openSources(
  pips: readonly Pip[],
  parts: SourceParts,
  stack: AsyncDisposableStack,
): Promise<Sources> {
  const all: AttributeSource[] = [];
  for (const pip of pips) all.push(stack.use(await openSource(pip, parts)));
  const remotes = all.filter(isRemote);
  return {
    all,
    invalidation: {
      invalidate(subject, id) {
        for (const source of remotes) if (source.subject === subject) source.invalidate(id);
      },
      invalidateAll() {
        for (const source of remotes) source.invalidateAll();
      },
    },
    health: () => remotes.map((source) => source.health()),
    threatLists: () => all.filter(isThreatPoint).flatMap((source) => source.confirmations()),
  };
}

async function openSource(pip: Pip, parts: SourceParts): Promise<AttributeSource & AsyncDisposable> {
  switch (pip.kind) {
    case 'static_file':
      return await openStaticPip(pip, parts);
    case 'redis':
      return guarded(await openRedisPip(pip, parts), pip, parts);
    case 'http':
      return guarded(await openHttpPip(pip, parts.log), pip, parts);
    case 'scim':
      return guarded(await openScimPip(pip, parts.log), pip, parts);
    case 'threat_intel':
      return await openThreatPip(pip, parts);
  }
}

/** Opens a `static_file` point. Throws `InputError` for a file that is not right. */
export async function openStaticPip(
  pip: Extract<Pip, { kind: 'static_file' }>,
  { clock, log }: Pick<SourceParts, 'clock' | 'log'>,
): Promise<AttributeSource & AsyncDisposable> {
  return await openStaticFile({ clock, log, ...commonOf(pip), ...failureModes(pip), file: pip.file });
}

async function openRedisPip(pip: Extract<Pip, { kind: 'redis' }>, { log }: SourceParts): Promise<FactSource> {
  const { key_prefix: keyPrefix } = pip;
  const read = postureReaderOf(pip);
  return await openRedisSource({
    ...redisServerOf(pip),
    ...commonOf(pip),
    log,
    keyPrefix,
    ...(read && { read }),
  });
}

function commonOf({ name, subject, gives, fresh_ms: freshMs }: Exclude<Pip, { kind: 'threat_intel' }>) {
  return { name, subject, gives, freshMs };
}

interface FailureModes {
  readonly onFailure: OnFailure;
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
}

function failureModes(pip: Pick<RemotePip, 'on_failure' | 'on_failure_by_attribute'>): FailureModes {
  const byAttribute = Object.entries(pip.on_failure_by_attribute);
  return {
    onFailure: pip.on_failure,
    ...(byAttribute.length > 0 && { onFailureOf: new Map(byAttribute) }),
  };
}

/** Puts around a source outside of this process what keeps it from doing harm. */
function guarded(source: FactSource, pip: RemotePip, parts: SourceParts): RemoteSource {
  const { clock, log, isCurrent, onAsked } = parts;
  return remote(
    source,
    {
      ...failureModes(pip),
      freshMs: pip.fresh_ms,
      maxStaleMs: pip.max_stale_ms,
      absentMs: pip.absent_ms,
      timeoutMs: pip.timeout_ms,
      concurrency: pip.concurrency,
      queue: pip.queue,
      breaker: { failures: pip.breaker.failures, pauseMs: pip.breaker.pause_ms },
      cacheEntries: pip.cache_entries,
      cacheMaxBytes: pip.cache_max_bytes,
    },
    {
      clock,
      log,
      ...(isCurrent && { isCurrent }),
      ...(onAsked && { onAsked: (ms: number) => onAsked(source.name, ms) }),
    },
  );
}

function isRemote(source: AttributeSource): source is RemoteSource {
  return 'invalidateAll' in source;
}

function isThreatPoint(source: AttributeSource): source is ThreatPoint {
  return 'confirmations' in source;
}
