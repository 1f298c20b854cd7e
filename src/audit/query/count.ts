import type { LogRecord } from '../read/decision-record.ts';
import { textOf, valuesAt } from './filter.ts';

/** How often a value was there. */
export interface Counted {
  /** As text; `undefined`: records that do not have the field. */
  readonly value: string | undefined;
  readonly count: number;
}

const MAX_VALUES = 100_000;

/** Counts records by the value of a field; of a list, each of its items. */
export class Counter {
  readonly #path: string;
  readonly #counts = new Map<string | undefined, number>();
  /** Records whose value is counted nowhere, because there are more than 100 000 different ones. */
  others = 0;

  constructor(path: string) {
    this.#path = path;
  }

  add(record: LogRecord): void {
    const found = valuesAt(record, this.#path).map(textOf);
    for (const value of found.length === 0 ? [undefined] : new Set(found)) this.#count(value);
  }

  /** Most frequent first; equally frequent ones by value. */
  counts(limit: number): readonly Counted[] {
    const all = [...this.#counts].map(([value, count]) => ({ value, count }));
    return all.sort((a, b) => b.count - a.count || order(a.value ?? '', b.value ?? '')).slice(0, limit);
  }

  #count(value: string | undefined): void {
    const before = this.#counts.get(value);
    if (before === undefined && this.#counts.size >= MAX_VALUES) this.others += 1;
    else this.#counts.set(value, (before ?? 0) + 1);
  }
}

function order(a: string, b: string): number {
  return a < b ? -1 : 1;
}
