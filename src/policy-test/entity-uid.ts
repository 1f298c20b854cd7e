import type { EntityUid } from '../pdp/evaluation.ts';

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '0': '\0',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

const NAME = /^[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)*$/;
// The whole of a string literal: anything but quotes and backslashes, or one of the escapes.
const LITERAL = /^"((?:[^"\\]|\\[nrt0\\"']|\\x[0-7][0-9A-Fa-f]|\\u\{[0-9A-Fa-f]{1,6}\})*)"$/s;

/** Reads `Type::"id"` as Cedar writes it, with Cedar's string escapes. `undefined`: the text is no entity. */
export function parseEntityUid(text: string): EntityUid | undefined {
  const quote = text.indexOf('"');
  const type = text.slice(0, Math.max(0, quote - 2));
  const literal = LITERAL.exec(text.slice(quote))?.[1];
  if (quote < 3 || !text.startsWith('::', quote - 2) || !NAME.test(type) || literal === undefined)
    return undefined;
  const id = literal.replace(
    /\\(?:x(..)|u\{([^}]+)\}|(.))/gs,
    (_, hex?: string, code?: string, one?: string) => {
      if (one !== undefined) return ESCAPES[one] ?? one;
      const point = Number.parseInt(hex ?? code ?? '', 16);
      return point <= 0x10_ff_ff ? String.fromCodePoint(point) : '\uFFFD';
    },
  );
  return { type, id };
}
