import { LRUCache } from 'lru-cache';

/** Ids of keys that tokens name, by how often they do. Nobody has verified the tokens, so the room is limited. */
export interface AskedIds {
  readonly size: number;
  add(id: string): void;
  /**
   * Takes out the one that was asked for most and, every second time, one by lot, each ticket an asking: whoever asks for much that is not
   * there cannot keep the rest from its turn for ever.
   */
  take(): string | undefined;
}

const MAX_IDS = 256;

/** Makes an empty collection; `random` is from 0 to 1. */
export function createAskedIds(random: () => number = Math.random): AskedIds {
  const counts = new LRUCache<string, number>({ max: MAX_IDS });
  let turn = 0;
  return {
    get size() {
      return counts.size;
    },
    add: (id) => void counts.set(id, (counts.get(id) ?? 0) + 1),
    take() {
      const id = turn++ % 2 === 0 ? mostAsked(counts) : byLot(counts, random());
      if (id !== undefined) counts.delete(id);
      return id;
    },
  };
}

function mostAsked(counts: LRUCache<string, number>): string | undefined {
  const [most] = [...counts.entries()].sort(([, one], [, other]) => other - one);
  return most?.[0];
}

function byLot(counts: LRUCache<string, number>, random: number): string | undefined {
  const all = [...counts.entries()];
  let ticket = random * all.reduce((sum, [, count]) => sum + count, 0);
  return all.find(([, count]) => (ticket -= count) < 0)?.[0];
}
