import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import type { FactSource, FetchedFacts } from '../../../../src/pip/facts/fact-source.ts';
import {
  type RemoteParts,
  type RemoteSettings,
  type RemoteSource,
  remote,
} from '../../../../src/pip/facts/remote.ts';
import { type ManualClock, type MemoryLog, manualClock, memoryLog } from '../fixture.ts';

/** A question that a test answers. */
export interface Question {
  readonly id: string;
  readonly signal: AbortSignal;
  readonly previous: FetchedFacts | undefined;
  answer(facts: Partial<FetchedFacts>): void;
  fail(error: Error): void;
}

/** A source whose answers are the test's. */
export function manualFactSource() {
  const asked: Question[] = [];
  let isDisposed = false;
  const source: FactSource = {
    name: 'directory',
    subject: 'user',
    gives: ['name', 'groups'],
    fetch(id, signal, previous) {
      const { promise, resolve, reject } = Promise.withResolvers<FetchedFacts>();
      const answer = (facts: Partial<FetchedFacts>): void => resolve(factsOf(facts));
      asked.push({ id, signal, previous, answer, fail: reject });
      return promise;
    },
    [Symbol.asyncDispose]: async () => {
      isDisposed = true;
    },
  };
  return { asked, source, isDisposed: () => isDisposed };
}

function factsOf(facts: Partial<FetchedFacts>): FetchedFacts {
  return { status: 'found', attributes: {}, groups: [], ...facts };
}

export const SETTINGS: RemoteSettings = {
  onFailure: 'deny',
  freshMs: 10_000,
  maxStaleMs: 0,
  absentMs: 2_000,
  timeoutMs: 60_000,
  concurrency: 100,
  queue: 1_000,
  breaker: { failures: 3, pauseMs: 1_000 },
  cacheEntries: 100,
  cacheMaxBytes: 1_000_000,
};

/** A remote source as tests drive it. */
export interface Setup {
  readonly clock: ManualClock;
  readonly log: MemoryLog;
  readonly asked: Question[];
  readonly source: RemoteSource;
  readonly isDisposed: () => boolean;
}

/** Puts a remote source around a manual one; times are not jittered unless `parts.random` says so. */
export function remoteSetup(settings: Partial<RemoteSettings> = {}, parts: Partial<RemoteParts> = {}): Setup {
  const clock = manualClock();
  const log = memoryLog();
  const { asked, source, isDisposed } = manualFactSource();
  const around = { clock, log, random: () => 0, ...parts };
  return { clock, log, asked, isDisposed, source: remote(source, { ...SETTINGS, ...settings }, around) };
}

/** Nobody's signal: a caller that waits for ever. */
export const NEVER = new AbortController();

/** What a source that is down rejects with. */
export const DOWN = new PdpError('attribute_unavailable', 'is down');

export async function lookup({ source }: Setup, id = 'alice'): Promise<AttributeAnswer> {
  return await source.lookup(id, NEVER);
}

/** Looks up somebody of whom nothing is held, and has the source answer. */
export async function learn(
  setup: Setup,
  id = 'alice',
  facts: object = { attributes: { name: id } },
): Promise<AttributeAnswer> {
  const answer = lookup(setup, id);
  setup.asked.at(-1)?.answer(facts);
  return await answer;
}
