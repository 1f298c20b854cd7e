import type { Fetch } from '../../pdp/bounded-fetch.ts';
import { InputError, messageOf } from '../../pdp/errors.ts';
import type { Clock } from '../../pdp/ports.ts';
import { fetchUrlProblem } from '../../pdp/fetch-url.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import { fetchJwks } from './jwks-fetch.ts';
import { type PolledFile, pollFile } from '../polled-file.ts';

/** Keeps a key set fresh. */
export interface Refresher extends Disposable {
  /** Refreshes once, then regularly. Never rejects. */
  start(): Promise<void>;
  /** Refreshes out of turn, unless that was done in the last 10 s. */
  requestRefresh(): void;
}

/** Who holds the keys that a refresher brings. */
export interface Holder {
  /** Takes the text of a key set; `false` where it cannot be used. */
  offer(text: string): boolean;
  /** The source still says what it last said. */
  confirmed(): void;
  failed(problem: string): void;
}

const ON_DEMAND_INTERVAL_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const FILE_POLL_MS = 1_000;

/** Refreshes from a file when it changes; looks every second, or as often as `refreshMs` where it is less. */
export function refreshFromFile(
  source: { readonly file: string; readonly refreshMs: number },
  holder: Holder,
): Refresher {
  let polled: PolledFile | undefined;
  // An unchanged file confirms the keys only where its content was usable.
  let usable = false;
  const start = (): Promise<void> => {
    polled = pollFile({
      file: source.file,
      intervalMs: Math.min(source.refreshMs, FILE_POLL_MS),
      onContent: (text) => {
        usable = holder.offer(text);
      },
      onUnchanged: () => {
        if (usable) holder.confirmed();
      },
      onProblem: (problem) => holder.failed(problem),
    });
    return polled.poll();
  };
  return {
    start,
    requestRefresh: () => void polled?.poll(),
    [Symbol.dispose]: () => polled?.[Symbol.dispose](),
  };
}

/** Settings of {@link refreshFromUrl}. */
export interface UrlSource {
  /** Name of the issuer, for errors. */
  readonly name: string;
  readonly url: string;
  readonly fetch: Fetch;
  readonly refreshMs: number;
  readonly clock: Clock;
}

/** Refreshes from a URL at an interval, with backoff while it fails. Throws `InputError` for a URL that is not allowed. */
export function refreshFromUrl(source: UrlSource, holder: Holder): Refresher {
  const problem = fetchUrlProblem(source.url);
  if (problem !== undefined) {
    throw new InputError('keys cannot be fetched', [
      { where: source.name, message: `the key set URL ${problem}` },
    ]);
  }
  const closing = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let asked = 0;
  let answered = 0;
  let lastDemand = Number.NEGATIVE_INFINITY;
  const refresh = async (): Promise<void> => {
    const turn = ++asked;
    const text = await fetched(source, closing.signal);
    // A slow answer never overwrites the answer to a later question.
    if (closing.signal.aborted || turn < answered) return;
    if (typeof text === 'string') answered = turn;
    else holder.failed(text.problem);
    failures = typeof text === 'string' && holder.offer(text) ? 0 : failures + 1;
  };
  const start = async (): Promise<void> => {
    await refresh();
    if (closing.signal.aborted) return;
    timer = setTimeout(() => void start(), pauseMs(FIRST_RETRY_MS, source.refreshMs, failures)).unref();
  };
  const requestRefresh = (): void => {
    const now = source.clock.monotonic();
    if (closing.signal.aborted || now - lastDemand < ON_DEMAND_INTERVAL_MS) return;
    lastDemand = now;
    void refresh();
  };
  const dispose = (): void => {
    closing.abort();
    clearTimeout(timer);
  };
  return { start, requestRefresh, [Symbol.dispose]: dispose };
}

function fetched(source: UrlSource, signal: AbortSignal): Promise<string | { readonly problem: string }> {
  return fetchJwks(source.fetch, source.url, signal).catch((error: unknown) => ({
    problem: messageOf(error),
  }));
}
