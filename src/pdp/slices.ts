import { LRUCache } from 'lru-cache';
import type { PolicyTextSet, Slice } from './cedar.ts';
import type { SliceDistinctions } from './distinctions.ts';
import type { CedarRequest } from './evaluation.ts';

/** Of these a changed set is prepared for: each takes the engine about 0.1 ms for each of its policies. */
const MAX_TYPICAL = 64;

/** Where the slices of a snapshot come from. */
export interface SliceParts {
  /** Ids of the policies whose scope can match. */
  candidates(request: CedarRequest): readonly string[];
  /** Policies in the form that the engine loads. */
  textsOf(ids: readonly string[]): PolicyTextSet;
  /** What policies can tell apart together. */
  distinctionsOf(ids: readonly string[]): SliceDistinctions | undefined;
}

/** Slices of which it is kept what their policies can tell apart. */
const MAX_KNOWN = 512;

/** The slices that questions need, and for each that the engine was last given a question that needs it. */
export class Slices {
  readonly #parts: SliceParts;
  readonly #typical = new LRUCache<string, CedarRequest>({ max: MAX_TYPICAL });
  readonly #distinctions = new LRUCache<string, { readonly joined: SliceDistinctions | undefined }>({
    max: MAX_KNOWN,
  });

  constructor(parts: SliceParts) {
    this.#parts = parts;
  }

  /** The slice that a question needs, but for the policies `without` which it is to be answered. */
  of(request: CedarRequest, without?: ReadonlySet<string>): Slice {
    const found = this.#idsOf(request);
    const ids = without === undefined ? found : found.filter((id) => !without.has(id));
    const key = keyOf(ids);
    return {
      key,
      load: () => {
        if (without === undefined) this.#typical.set(key, asScopesSee(request));
        return this.#parts.textsOf(ids);
      },
    };
  }

  /** The key of the slice that a question needs, with what its policies can tell apart; `undefined`: any two questions. */
  distinctions(
    request: CedarRequest,
  ): { readonly key: string; readonly joined: SliceDistinctions } | undefined {
    const ids = this.#idsOf(request);
    const key = keyOf(ids);
    let known = this.#distinctions.get(key);
    if (!known) this.#distinctions.set(key, (known = { joined: this.#parts.distinctionsOf(ids) }));
    return known.joined && { key, joined: known.joined };
  }

  /** Sorted, so that equal slices are one slice whatever order they were found in. */
  #idsOf(request: CedarRequest): string[] {
    return this.#parts.candidates(request).toSorted();
  }

  /** Questions that between them need the slices that were loaded last, in that order, reduced to what scopes look at. */
  typicalQuestions(): readonly CedarRequest[] {
    return [...this.#typical.values()].toReversed();
  }
}

function keyOf(ids: readonly string[]): string {
  return ids.join(' ');
}

function asScopesSee({ principal, action, resource, entities }: CedarRequest): CedarRequest {
  const told = entities.map(({ uid, parents }) => ({ uid, attrs: {}, parents }));
  return { principal, action, resource, context: {}, entities: told };
}
