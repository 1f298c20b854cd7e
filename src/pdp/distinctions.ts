import { type EntityUid, uidText } from './evaluation.ts';

/** Texts with any characters between them: `['/api/', '']` is Cedar's `like "/api/*"`, a single text is that text. */
export type TextPattern = readonly string[];

/**
 * What a policy does with the values of an attribute: it compares texts with these patterns, or asks sets of texts whether they hold the text that
 * one of them is, and does nothing else; or anything.
 */
export type ValueUse = readonly TextPattern[] | 'any';

/** What one policy can tell apart. Questions that differ in nothing of it are one question to it. */
export interface Distinctions {
  /** Uid texts of the entities that it names. */
  readonly named: readonly string[];
  /** What it does with values, by the names of attributes; of others it knows no more than whether they are there. */
  readonly uses: readonly (readonly [attribute: string, use: ValueUse])[];
  /** Whether it uses `context` as a whole. */
  readonly wholeContext: boolean;
}

/** What the policies of a slice can tell apart together. */
export interface SliceDistinctions {
  readonly named: ReadonlySet<string>;
  readonly uses: ReadonlyMap<string, ValueUse>;
}

/**
 * What a policy in Cedar's JSON format can tell apart; `values` are those of its slots, where a link made it of a template. Cedar has no
 * way to an entity's id but `==` and `in`, and none to the inside of a text but `==`, `contains` and `like`.
 */
export function distinctionsOf(policy: object, values: Iterable<EntityUid> = []): Distinctions {
  const {
    principal,
    action,
    resource,
    conditions,
  }: { principal?: unknown; action?: unknown; resource?: unknown; conditions?: unknown } = policy;
  const collector = new Collector();
  for (const uid of values) collector.named.add(uidText(uid));
  collector.walk([principal, action, resource, conditions]);
  return {
    named: [...collector.named],
    uses: [...collector.uses],
    wholeContext: collector.wholeContext,
  };
}

/** More comparisons than this cost more than they save. */
const MAX_PATTERNS = 64;

/** What policies can tell apart together; `undefined`: any two questions. */
export function joinDistinctions(all: Iterable<Distinctions>): SliceDistinctions | undefined {
  const joined = new Collector();
  for (const { named, uses, wholeContext } of all) {
    if (wholeContext) return undefined;
    for (const uid of named) joined.named.add(uid);
    for (const [name, use] of uses) joined.use(name, use);
  }
  return { named: joined.named, uses: joined.uses };
}

type Node = { readonly [key: string]: unknown };

class Collector {
  readonly named = new Set<string>();
  readonly uses = new Map<string, ValueUse>();
  wholeContext = false;

  use(name: string, use: ValueUse): void {
    const before = this.uses.get(name) ?? [];
    const all = before === 'any' || use === 'any' ? 'any' : [...before, ...use];
    this.uses.set(name, all.length > MAX_PATTERNS ? 'any' : all);
  }

  /** Names are noted wherever they occur, whatever they hang on. */
  walk(value: unknown): void {
    if (Array.isArray(value)) for (const item of value) this.walk(item);
    else if (isNode(value) && !this.#name(value))
      for (const [key, child] of Object.entries(value)) this.#operator(key, child);
  }

  #operator(key: string, child: unknown): void {
    if (key === 'Var') this.wholeContext ||= child === 'context';
    // The keys of a record literal are an author's words, not Cedar's.
    else if (key === 'Record') this.walk(Object.values(child as Node));
    else if (key === '.') this.#read(child as Node, 'any');
    else if (key === 'has') this.#presence(child as Node);
    else if (!this.#comparison(key, child)) this.walk(child);
  }

  /** Whether it is a comparison of an attribute with texts, which is then noted. */
  #comparison(key: string, child: unknown): boolean {
    const { left, right, pattern } = child as { left?: Node; right?: Node; pattern?: unknown };
    if (key === 'like') return this.#compared(left, [patternOf(pattern)]);
    if (key === 'contains')
      return this.#compared(right, textsIn(left)) || this.#compared(left, textIn(right));
    if (key === 'containsAll' || key === 'containsAny') return this.#compared(left, textsIn(right));
    if (key !== '==' && key !== '!=') return false;
    return this.#compared(left, textIn(right)) || this.#compared(right, textIn(left));
  }

  #compared(operand: Node | undefined, texts: readonly TextPattern[] | undefined): boolean {
    const access = operand?.['.'];
    if (texts === undefined || !isNode(access)) return false;
    this.#read(access, texts);
    return true;
  }

  #read({ left, attr }: Node, use: ValueUse): void {
    this.use(attr as string, use);
    this.#receiver(left as Node);
  }

  /** `left has attr` or `left has a.b.c`, which looks into all but the last. */
  #presence({ left, attr }: Node): void {
    const names = (Array.isArray(attr) ? attr : [attr]) as string[];
    for (const name of names.slice(0, -1)) this.use(name, 'any');
    this.#receiver(left as Node);
  }

  #receiver(node: Node): void {
    if (node['Var'] !== 'context') this.walk(node);
  }

  #name(node: Node): boolean {
    const { type, id } = (isNode(node['__entity']) ? node['__entity'] : node) as Partial<EntityUid>;
    if (typeof type !== 'string' || typeof id !== 'string') return false;
    this.named.add(uidText({ type, id }));
    return true;
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textIn(node: Node | undefined): TextPattern[] | undefined {
  const text = node?.['Value'];
  return typeof text === 'string' ? [[text]] : undefined;
}

/** Of a set that is written out and holds texts only. */
function textsIn(node: Node | undefined): TextPattern[] | undefined {
  const members = node?.['Set'];
  if (!Array.isArray(members)) return undefined;
  const texts = (members as readonly Node[]).map(textIn);
  return texts.every((text) => text !== undefined) ? texts.flat() : undefined;
}

/** Cedar has one element for each character between wildcards. */
function patternOf(pattern: unknown): TextPattern {
  const texts = [''];
  for (const element of pattern as readonly ('Wildcard' | { readonly Literal: string })[]) {
    if (element === 'Wildcard') texts.push('');
    else texts.push(`${texts.pop() ?? ''}${element.Literal}`);
  }
  return texts;
}

/** Whether a text is like a pattern. Both are well-formed, so that UTF-16 units find what characters do. */
export function isLike(text: string, pattern: TextPattern): boolean {
  const [first = '', ...rest] = pattern;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
