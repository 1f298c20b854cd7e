import { LineCounter, type Document, isMap, parseDocument } from 'yaml';
import type { Problem } from '../pdp/errors.ts';

type Path = readonly (string | number)[];

/** A JSON file's text that can say where in it a value stands. */
export class JsonSource {
  readonly file: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  #document: Document | undefined;

  constructor(file: string, text: string) {
    this.file = file;
    this.#text = text;
  }

  /** The parsed value, or the problem with the syntax. */
  parse(): { readonly value: unknown } | { readonly problem: Problem } {
    try {
      return { value: JSON.parse(this.#text) as unknown };
    } catch (error) {
      const message = (error as Error).message;
      const place = /\(line (\d+) column (\d+)\)/.exec(message);
      const words = message.replace(/ in JSON at position.*$/s, '').replace(/, .*is not valid JSON$/s, '');
      const lines = this.#text.split('\n');
      return {
        problem: {
          where: this.file,
          line: Number(place?.[1] ?? lines.length),
          column: Number(place?.[2] ?? (lines.at(-1)?.length ?? 0) + 1),
          message: `is not JSON: ${words}`,
        },
      };
    }
  }

  /** A problem at the value under `path`; where `key` is given, at that key of the object there. */
  problem(path: Path, message: string, key?: string): Problem {
    const offset = this.#offset(path, key);
    if (offset === undefined) return { where: this.file, message };
    const { line, col } = this.#lines.linePos(offset);
    return { where: this.file, line, column: col, message };
  }

  /** JSON is YAML too, and the YAML parser keeps positions; it runs only for files that have a problem. */
  #offset(path: Path, key: string | undefined): number | undefined {
    this.#document ??= parseDocument(this.#text, { lineCounter: this.#lines, uniqueKeys: false });
    for (let depth = path.length; depth >= 0; depth -= 1) {
      const node = depth === 0 ? this.#document.contents : this.#document.getIn(path.slice(0, depth), true);
      const at = depth === path.length && isMap(node) && key !== undefined ? keyNode(node, key) : node;
      const { range } = (at ?? {}) as { range?: readonly [number, number, number] };
      if (range) return range[0];
    }
    return undefined;
  }
}

function keyNode(map: { readonly items: readonly { readonly key: unknown }[] }, key: string): unknown {
  return map.items.find((pair) => (pair.key as { value?: unknown } | null)?.value === key)?.key;
}
