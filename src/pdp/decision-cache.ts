import { LRUCache } from 'lru-cache';
import type { CachedEvaluation, DecisionCache } from './ports.ts';

/** Rough cost of an entry apart from its strings: map slot, list links, objects. */
const ENTRY_OVERHEAD_BYTES = 400;

/** Statistics of a decision cache. */
export interface DecisionCacheStatistics {
  readonly entries: number;
  readonly bytes: number;
}

/** An in-process decision cache bounded by bytes; the least recently used entries go first. */
export function createDecisionCache(
  maxBytes: number,
): DecisionCache & { statistics(): DecisionCacheStatistics } {
  const entries = new LRUCache<string, CachedEvaluation>({
    maxSize: maxBytes,
    sizeCalculation: (value, key) => ENTRY_OVERHEAD_BYTES + 2 * (key.length + textLength(value)),
  });
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
      if (now < value.validUntil) entries.set(key, value);
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
