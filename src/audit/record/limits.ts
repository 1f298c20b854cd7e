import type { LeftOutAttributes } from '../../pdp/attribute.ts';
import { capped } from './json-value.ts';

/** How much a line may hold: {@link FULL}, or {@link SHORTER} where it would not fit. */
export interface Limits {
  /** UTF-16 units of a string that comes from outside. */
  readonly text: number;
  readonly path: number;
  readonly items: number;
}

/** What a line may hold as a rule. */
export const FULL: Limits = { text: 2048, path: 8192, items: 256 };

/** What a line may hold that would be too long with {@link FULL}. */
export const SHORTER: Limits = { text: 192, path: 192, items: 16 };

/** At most so many items. */
export function firstOf(items: readonly string[], { items: max }: Limits): readonly string[] {
  return items.length <= max ? items : items.slice(0, max);
}

/** What was not used, by attribute, and why. */
export function leftOut(attributes: LeftOutAttributes, { items, text }: Limits): LeftOutAttributes {
  const listed = Object.entries(attributes).slice(0, items);
  return Object.fromEntries(listed.map(([name, why]) => [capped(name, text), why]));
}
