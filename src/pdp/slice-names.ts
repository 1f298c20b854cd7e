import { LRUCache } from 'lru-cache';

const MAX_SLICES = 512;
const MAX_LOADED_POLICIES = 50_000;

/** The names under which an engine holds its slices, by the slices' keys. */
export interface SliceNames {
  /** The name of a slice that is held. */
  get(key: string): string | undefined;
  /** A name for a slice of `size` policies, taken from the least recently used ones where the bounds ask for it. */
  take(key: string, size: number): string;
  /** Forgets a slice that is not held after all. */
  drop(key: string): void;
}

/** Makes the names of one instance. The engine never forgets a name, only what is behind it: names are used again. */
export function createSliceNames(): SliceNames {
  const free: string[] = [];
  let made = 0;
  const names = new LRUCache<string, string>({
    max: MAX_SLICES,
    maxSize: MAX_LOADED_POLICIES,
    dispose: (name) => free.push(name),
  });
  return {
    get: (key) => names.get(key),
    take(key, size) {
      // A slice larger than the bound is loaded anew for each request rather than refused.
      if (size >= MAX_LOADED_POLICIES) return 'slice-large';
      const name = free.pop() ?? `slice-${made++}`;
      names.set(key, name, { size: size + 1 });
      return name;
    },
    drop: (key) => names.delete(key),
  };
}
