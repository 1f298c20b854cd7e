import { type Document, LineCounter, type Node, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Problem } from '../errors.ts';
import type { SourceText } from '../policy-source.ts';
import { suggestion } from '../suggest.ts';

interface Source {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly problems: Problem[];
}

/**
 * A value in a YAML file that knows where it stands: what is wrong with it is told with file, line and column.
 *
 * Every reader returns `undefined` after it has told a problem, so that one run finds them all.
 */
export class YamlValue {
  readonly #source: Source;
  readonly #node: Node | undefined;
  readonly #offset: number;

  private constructor(source: Source, node: Node | null | undefined, offset: number) {
    this.#source = source;
    // An alias stands for the value of its anchor, but problems are told where the alias is.
    this.#node = (isAlias(node) ? node.resolve(source.document) : node) ?? undefined;
    this.#offset = node?.range?.[0] ?? offset;
  }

  /** Parses a file (YAML 1.2). `undefined`, with problems told, where it is not one well-formed document. */
  static parse(text: SourceText, problems: Problem[]): YamlValue | undefined {
    const lines = new LineCounter();
    const document = parseDocument(text.text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
    const source: Source = { file: text.file, document, lines, problems };
    // An unknown tag is only a warning to the parser; to us it is something that was meant and not understood.
    const faults = [...document.errors, ...document.warnings];
    for (const { pos, message } of faults) new YamlValue(source, undefined, pos[0]).problem(message);
    return faults.length > 0 ? undefined : new YamlValue(source, document.contents, 0);
  }

  /** File, line and column of the value. */
  get position(): Required<Omit<Problem, 'message'>> {
    const { line, col } = this.#source.lines.linePos(this.#offset);
    return { where: this.#source.file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** Tells a problem with the value. Returns `undefined` for the caller to return. */
  problem(message: string): undefined {
    this.#source.problems.push({ ...this.position, message });
  }

  /** The fields of a mapping; a key that is not among `known` is a problem. */
  fields(what: string, known?: readonly string[]): ReadonlyMap<string, YamlValue> | undefined {
    if (!isMap<Node, Node | null>(this.#node)) return this.problem(`${what} must be a mapping`);
    const fields = new Map<string, YamlValue>();
    for (const { key, value } of this.#node.items) {
      const name = new YamlValue(this.#source, key, this.#offset);
      const text = name.text('a key');
      if (text === undefined) continue;
      if (known && !known.includes(text))
        name.problem(`unknown key '${text}' in ${what}${hint(text, known)}`);
      else fields.set(text, new YamlValue(this.#source, value, name.#offset));
    }
    return fields;
  }

  /** The members of a list. */
  items(what: string): readonly YamlValue[] | undefined {
    if (!isSeq<Node | null>(this.#node)) return this.problem(`${what} must be a list`);
    return this.#node.items.map((item) => new YamlValue(this.#source, item, this.#offset));
  }

  /** A string or a list of at least one. */
  texts(what: string): readonly { readonly value: YamlValue; readonly text: string }[] | undefined {
    const values = isSeq(this.#node) ? this.items(what) : [this];
    if (values?.length === 0) return this.problem(`${what} must name at least one value`);
    const texts = values?.map((value) => ({ value, text: value.text(what) })) ?? [];
    const found = texts.filter((item): item is { value: YamlValue; text: string } => item.text !== undefined);
    return found.length === texts.length ? found : undefined;
  }

  /** A string. Numbers and truth values are not taken for one: YAML has already changed how they were written. */
  text(what: string): string | undefined {
    const value = this.scalar();
    if (typeof value !== 'string')
      return this.problem(
        `${what} must be a string${value === undefined || value === null ? '' : '; quote it'}`,
      );
    return value.isWellFormed() ? value : this.problem(`${what} holds a lone surrogate`);
  }

  /** `true` or `false`. */
  flag(what: string): boolean | undefined {
    const value = this.scalar();
    return typeof value === 'boolean' ? value : this.problem(`${what} must be true or false`);
  }

  /** The plain value of a scalar; `undefined` where it is a mapping or a list, or absent. */
  scalar(): unknown {
    return isScalar(this.#node) ? this.#node.value : undefined;
  }

  /** Whether the value is a mapping. */
  get isMapping(): boolean {
    return isMap(this.#node);
  }

  /** Whether the value is a list. */
  get isList(): boolean {
    return isSeq(this.#node);
  }
}

function hint(word: string, known: readonly string[]): string {
  return suggestion(word, known) || `; known are ${known.join(', ')}`;
}
