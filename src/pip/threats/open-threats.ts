import type { Fetch } from '../../pdp/bounded-fetch.ts';
import { InputError } from '../../pdp/errors.ts';
import { fetchUrlProblem } from '../../pdp/fetch-url.ts';
import type { Log } from '../../pdp/log.ts';
import type { AttributeSource } from '../../pdp/ports.ts';
import { type ListSource, fileSource, urlSource } from './list-source.ts';
import { type ThreatList, openThreatList } from './threat-list.ts';
import { type ThreatSourceOptions, createThreatSource } from './threat-source.ts';

/** One list of {@link openThreats}. */
export interface ThreatListSettings {
  readonly name: string;
  readonly from:
    | { readonly file: string }
    | { readonly url: string; readonly tokenFile?: string; readonly timeoutMs: number };
  readonly refreshMs: number;
  readonly maxAgeMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly mayBeEmpty: boolean;
}

/** Settings of {@link openThreats}. */
export interface ThreatsOptions extends Omit<ThreatSourceOptions, 'lists'> {
  readonly lists: readonly ThreatListSettings[];
  readonly log: Log;
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch;
}

/** When a list was last confirmed. */
export interface ListConfirmation {
  /** Name of the information point. */
  readonly source: string;
  readonly list: string;
  /** Unix ms; 0: never. */
  readonly confirmedAt: number;
}

/** Threat lists as one information point. */
export interface ThreatPoint extends AttributeSource, AsyncDisposable {
  confirmations(): readonly ListConfirmation[];
}

/**
 * Opens threat lists as one information point and keeps them fresh. Throws `InputError` for a URL that may not be fetched from and
 * for a file that cannot be used at the start. A URL that cannot be used at the start is asked again; until then lookups fail.
 */
export async function openThreats(options: ThreatsOptions): Promise<ThreatPoint> {
  await using stack = new AsyncDisposableStack();
  const openings = await Promise.allSettled(options.lists.map((list) => openList(options, list)));
  const lists = openings.flatMap((opening) =>
    opening.status === 'fulfilled' ? [stack.use(opening.value)] : [],
  );
  for (const opening of openings) if (opening.status === 'rejected') throw opening.reason;
  const owned = stack.move();
  return {
    ...createThreatSource({ ...options, lists }),
    confirmations: () =>
      lists.map((list) => ({ source: options.name, list: list.name, confirmedAt: list.confirmedAt() })),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openList(options: ThreatsOptions, list: ThreatListSettings): Promise<ThreatList> {
  const { subject, clock, log } = options;
  const { name, maxEntries, mayBeEmpty, refreshMs, maxAgeMs } = list;
  return await openThreatList({
    name,
    source: sourceOf(options, list),
    reading: { subject, maxEntries, mayBeEmpty },
    refreshMs,
    maxAgeMs,
    required: 'file' in list.from,
    clock,
    log,
  });
}

function sourceOf(
  { name, fetch = globalThis.fetch }: ThreatsOptions,
  { name: list, from, maxBytes }: ThreatListSettings,
): ListSource {
  if ('file' in from) return fileSource(from.file, maxBytes);
  const problem = fetchUrlProblem(from.url);
  if (problem !== undefined)
    throw new InputError(`the lists of '${name}' cannot be fetched`, [
      { where: list, message: `the URL ${problem}` },
    ]);
  return urlSource({ ...from, maxBytes, fetch });
}
