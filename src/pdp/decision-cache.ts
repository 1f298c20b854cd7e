import { LRUCache } from 'lru-cache';
import { Doorkeeper } from './doorkeeper.ts';
import type { CachedEvaluation, DecisionCache } from './ports.ts';

/** Rough cost of an entry apart from its strings: map slot, list links, objects. */
const ENTRY_OVERHEAD_BYTES = 400;

/** Statistics of a decision cache. */
export interface DecisionCacheStatistics {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * An in-process decision cache bounded by bytes; the least recently used entries go first. Once it is full, an evaluation is only kept that comes
 * a second time: a scan of requests that are never repeated neither drives out what others use, nor is it garbage to collect (ADR 0031).
 */
export function createDecisionCache(
  maxBytes: number,
): DecisionCache & { statistics(): DecisionCacheStatistics } {
  const entries = new LRUCache<string, CachedEvaluation>({ maxSize: maxBytes });
  const doorkeeper = new Doorkeeper(maxBytes / ENTRY_OVERHEAD_BYTES);
  const isWelcome = (key: string, size: number): boolean =>
    entries.calculatedSize + size <= maxBytes || entries.has(key) || doorkeeper.knows(key);
  return {
    get(key, now) {
      const entry = entries.get(key);
      if (entry && now >= entry.validUntil) {
        entries.delete(key);
        return undefined;
      }
      return entry;
    },
    set(key, value, now) {
      const size = ENTRY_OVERHEAD_BYTES + 2 * (key.length + textLength(value));
      if (now < value.validUntil && isWelcome(key, size)) entries.set(key, value, { size });
    },
    statistics: () => ({ entries: entries.size, bytes: entries.calculatedSize }),
  };
}

function textLength({ decisionId, evaluation }: CachedEvaluation): number {
  let length = decisionId.length;
  for (const id of evaluation.policies) length += id.length;
  for (const id of evaluation.errors) length += id.length;
  return length;
}
