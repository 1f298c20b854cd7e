import type { AttributeRecord, AttributeValue } from './attribute.ts';

/** Bounds of what an outsider's JSON may cost us. */
export interface ExternalJsonLimits {
  /** Containers inside one another; a scalar has depth 0. */
  readonly maxDepth: number;
  /** Values of any kind, counted at every level. */
  readonly maxNodes: number;
  /** UTF-8 bytes of one string or key. */
  readonly maxStringBytes: number;
}

/** Limits for JSON that arrives with or because of a request. */
const EXTERNAL_JSON_LIMITS: ExternalJsonLimits = {
  maxDepth: 32,
  maxNodes: 5_000,
  maxStringBytes: 65_536,
};

/** Whether a value of parsed JSON is an object, which an array is not. One without a prototype is. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// Cedar's JSON escapes turn a record into an entity, an extension call or (historically) an expression; `__proto__`
// turns into a prototype wherever somebody copies the record by assignment (CVE-2023-36665 and its kin).
const RESERVED_KEYS: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr', '__proto__']);

/** Whether a key means something to Cedar's JSON format or to JavaScript, and so may not come from outside. */
export function isReservedKey(key: string): boolean {
  return RESERVED_KEYS.has(key);
}

interface Pending {
  readonly value: unknown;
  readonly depth: number;
}

/**
 * Says why a parsed JSON value from outside (claims, answers of information points, what applications assert) may not be used;
 * `undefined` where it may. Refuses reserved keys at any depth, too deep, too many or too long values, integers that
 * JavaScript has already rounded, lone surrogates, and anything that JSON cannot express. The walk is iterative and
 * stops at the first problem; the answer names keys but never values.
 */
export function externalJsonProblem(
  value: unknown,
  limits: Partial<ExternalJsonLimits> = {},
): string | undefined {
  const bounds = { ...EXTERNAL_JSON_LIMITS, ...limits };
  const pending: Pending[] = [{ value, depth: 0 }];
  let nodes = 1;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next.value !== 'object' || next.value === null) {
      const problem = scalarProblem(next.value, bounds);
      if (problem !== undefined) return problem;
      continue;
    }
    if (next.depth >= bounds.maxDepth) return `is nested deeper than ${bounds.maxDepth}`;
    const problem = containerProblem(next.value, bounds);
    if (problem !== undefined) return problem;
    const members: readonly unknown[] = Array.isArray(next.value) ? next.value : Object.values(next.value);
    // Counted before anything is copied: the bound holds for the memory of the walk too.
    nodes += members.length;
    if (nodes > bounds.maxNodes) return `holds more than ${bounds.maxNodes} values`;
    for (const member of members) pending.push({ value: member, depth: next.depth + 1 });
  }
  return undefined;
}

function scalarProblem(value: unknown, limits: ExternalJsonLimits): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return stringProblem(value, 'a string', limits);
  if (typeof value !== 'number') return 'holds a value that JSON cannot express';
  if (!Number.isFinite(value)) return 'holds a number that is out of range';
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return 'holds an integer beyond 2^53 - 1';
  return undefined;
}

function stringProblem(text: string, what: string, limits: ExternalJsonLimits): string | undefined {
  // A UTF-16 unit is at most three UTF-8 bytes, so short strings need no counting.
  if (text.length * 3 > limits.maxStringBytes && Buffer.byteLength(text) > limits.maxStringBytes) {
    return `holds ${what} longer than ${limits.maxStringBytes} bytes`;
  }
  return text.isWellFormed() ? undefined : `holds ${what} with a lone surrogate`;
}

function containerProblem(container: object, limits: ExternalJsonLimits): string | undefined {
  if (Array.isArray(container)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(container);
  if (prototype !== Object.prototype && prototype !== null) return 'holds a value that JSON cannot express';
  for (const key of Object.keys(container)) {
    // Some versions of V8 read an escaped key as the text of an escape that they have seen before (nodejs/node#63785).
    if (key.includes('\\')) return 'holds a key with a backslash';
    if (isReservedKey(key)) return `holds the reserved key '${key}'`;
    const problem = stringProblem(key, 'a key', limits);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Converts a JSON value to what Cedar may hold. A null inside a record means the member is absent (missing is never
 * false). `undefined` where Cedar has no such value: null by itself or in an array, a number that is not a safe integer,
 * a reserved key, nesting beyond 32.
 */
export function toAttributeValue(value: unknown): AttributeValue | undefined {
  return convert(value, 0);
}

function convert(value: unknown, depth: number): AttributeValue | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? value : undefined;
  if (typeof value === 'boolean') return value;
  // `+ 0` makes -0 an ordinary zero; Cedar's long has only one.
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value + 0 : undefined;
  if (typeof value !== 'object' || value === null || depth >= EXTERNAL_JSON_LIMITS.maxDepth) return undefined;
  return Array.isArray(value) ? convertList(value, depth + 1) : convertRecord(value, depth + 1);
}

function convertList(list: readonly unknown[], depth: number): readonly AttributeValue[] | undefined {
  const converted: AttributeValue[] = [];
  for (const member of list) {
    const value = convert(member, depth);
    if (value === undefined) return undefined;
    converted.push(value);
  }
  return converted;
}

function convertRecord(record: object, depth: number): AttributeRecord | undefined {
  const converted: [string, AttributeValue][] = [];
  for (const [key, member] of Object.entries(record) as [string, unknown][]) {
    if (isReservedKey(key) || !key.isWellFormed()) return undefined;
    if (member === null) continue;
    const value = convert(member, depth);
    if (value === undefined) return undefined;
    converted.push([key, value]);
  }
  return Object.fromEntries(converted);
}
