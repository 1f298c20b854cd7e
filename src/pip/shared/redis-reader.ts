import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { createOccasionally } from '../occasionally.ts';
import { printable } from '../printable.ts';
import { type RedisClient, redisProblem } from '../redis/connection.ts';
import { GENERATION, LOOK, type StateKeys, readEntryText } from './redis-script.ts';
import type { ReplicatedEntries } from './replicated-entries.ts';

/**
 * Why everything was read: nothing was known yet; Redis has lost what it held; it has trimmed what we had not read; or it holds an older
 * state, or another one, than the one that we read from.
 */
export type ResyncCause = 'start' | 'forgotten' | 'trimmed' | 'older';

/** What {@link StateReader} works with. */
export interface StateReaderOptions {
  /** A connection of its own: reading blocks it. */
  readonly redis: RedisClient;
  readonly keys: StateKeys;
  readonly entries: ReplicatedEntries;
  /** Ms within which a connection that works proves that nothing was missed. */
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of entries that came into force. */
  readonly onTaken: (taken: readonly SharedEntry[], origin: 'others' | 'resync') => void;
  /** Told of each entry that Redis turned out to hold. */
  readonly onSeen: (entry: SharedEntry) => void;
  /** Everything was read; `lacking`: what is held here and was not there. */
  readonly onResync: (cause: ResyncCause, lacking: readonly SharedEntry[]) => void;
}

/** Puts, or entries, read at once. */
const COUNT = 100;
/** How often a connection that works is asked whether Redis still is what it was, and nothing was trimmed before it was read. Ms. */
const LOOK_MS = 1_000;
const NOTHING = '0-0';

/** Keeps entries up to date with Redis, for as long as it runs, through lost connections and lost data. */
export class StateReader implements AsyncDisposable {
  readonly #options: StateReaderOptions;
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #occasionally: (say: () => void) => void;
  #running: Promise<void> = Promise.resolve();
  #generation: string | undefined;
  /** Id of the last put that was read. */
  #seen = NOTHING;
  #mustLook = true;
  #lookedAt = 0;
  /** Monotonic ms: nothing that was written before is missing here. Nothing is proven before everything was read once. */
  #provenAt = Number.NEGATIVE_INFINITY;

  constructor(options: StateReaderOptions) {
    this.#options = options;
    this.#occasionally = createOccasionally(options.clock, 60_000);
  }

  /** Begins to read. Resolves when all that Redis holds has been read once; never rejects. */
  start(): Promise<void> {
    this.#options.redis.on('ready', () => this.look());
    this.#running = this.#run();
    return this.#synced.promise;
  }

  /** Has it looked soon whether Redis still is what it was. */
  look(generation?: string): void {
    if (generation === undefined || generation !== this.#generation) this.#mustLook = true;
  }

  /** Ms since when something may have been missed; 0 where the last proof that nothing was is no older than two heartbeats. */
  lagMs(): number {
    const age = this.#options.clock.monotonic() - this.#provenAt;
    return age <= 2 * this.#options.heartbeatMs ? 0 : age;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#step();
        failures = 0;
      } catch (error) {
        this.#mustLook = true;
        failures += 1;
        // A connection that is lost has a line of its own; this is for what a connection that works has to say.
        if (this.#options.redis.status === 'ready' && !signal.aborted) this.#complain(redisProblem(error));
        await delay(pauseMs(25, 250, failures), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #step(): Promise<void> {
    const { clock, entries, onTaken } = this.#options;
    if (this.#mustLook || clock.monotonic() - this.#lookedAt > LOOK_MS) await this.#look();
    // Proven is what was written before the question, not before the answer, which may have waited for us.
    const askedAt = clock.monotonic();
    const puts = await this.#readPuts();
    const read = puts.flatMap(([, fields]) => this.#entriesOf(fields));
    onTaken(entries.merge(read), 'others');
    this.#seen = puts.at(-1)?.[0] ?? this.#seen;
    if (puts.length < COUNT) this.#provenAt = Math.max(this.#provenAt, askedAt);
    this.#synced.resolve();
  }

  async #readPuts(): Promise<readonly (readonly [string, readonly string[]])[]> {
    const { redis, keys, heartbeatMs } = this.#options;
    const blockMs = Math.max(1, Math.floor(heartbeatMs / 2));
    const answer = await redis.xread('COUNT', COUNT, 'BLOCK', blockMs, 'STREAMS', keys.log, this.#seen);
    return answer?.[0]?.[1] ?? [];
  }

  async #look(): Promise<void> {
    const { redis, keys, clock } = this.#options;
    this.#mustLook = false;
    const answer = await redis.eval(LOOK, 2, keys.entries, keys.log, randomUUID(), this.#seen);
    const [generation, newest, oldest, isSeen] = answer as [string, string, string, number];
    this.#lookedAt = clock.monotonic();
    if (generation === this.#generation && isSeen === 1) return;
    const cause =
      this.#generation === undefined
        ? 'start'
        : generation !== this.#generation
          ? 'forgotten'
          : isBefore(this.#seen, oldest)
            ? 'trimmed'
            : 'older';
    await this.#readAll(cause);
    this.#generation = generation;
    this.#seen = newest;
  }

  /** Whatever is written while this reads has a later id than the newest when it began, and is read afterwards. */
  async #readAll(cause: ResyncCause): Promise<void> {
    const { redis, keys, entries, onTaken, onResync, log } = this.#options;
    const there = new Map<string, SharedEntry>();
    let cursor = '0';
    do {
      const [next, fields] = await redis.hscan(keys.entries, cursor, 'COUNT', COUNT);
      const read = this.#entriesOf(fields);
      for (const entry of read) there.set(entry.key, entry);
      onTaken(entries.merge(read), 'resync');
      cursor = next;
    } while (cursor !== '0');
    // What is there has been merged: what is held and is not the same is greater.
    const lacking = [...entries.all()].filter((held) => !isSame(held, there.get(held.key)));
    log.info({ cause, read: there.size, lacking: lacking.length }, 'the shared state was read as a whole');
    onResync(cause, lacking);
  }

  #entriesOf(fields: readonly string[]): readonly SharedEntry[] {
    const read: SharedEntry[] = [];
    for (let index = 0; index + 1 < fields.length; index += 2) {
      const key = fields[index] ?? '';
      if (key === GENERATION) continue;
      const entry = readEntryText(key, fields[index + 1] ?? '');
      if ('problem' in entry) this.#complainOf(key, entry.problem);
      else {
        read.push(entry);
        this.#options.onSeen(entry);
      }
    }
    return read;
  }

  #complainOf(key: string, problem: string): void {
    const fields = { key: printable(key), problem };
    const words = 'an entry in Redis is none of ours, or was changed by somebody else: it does not count';
    this.#occasionally(() => this.#options.log.error(fields, words));
  }

  #complain(problem: string): void {
    this.#occasionally(() => this.#options.log.error({ problem }, 'the shared state cannot be read'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#options.redis.disconnect();
    await this.#running;
  }
}

function isSame(one: SharedEntry, other: SharedEntry | undefined): boolean {
  return one === other || (other !== undefined && JSON.stringify(one) === JSON.stringify(other));
}

/** Ids of a stream are two numbers, by which they are ordered. */
function isBefore(one: string, other: string): boolean {
  const [oneMs = 0, oneCount = 0] = one.split('-').map(Number);
  const [otherMs = 0, otherCount = 0] = other.split('-').map(Number);
  return oneMs === otherMs ? oneCount < otherCount : oneMs < otherMs;
}
