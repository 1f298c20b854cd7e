import { type Refusal, refuse } from '../decision.ts';
import type { Capture } from './path-pattern.ts';

/** A string that may hold captures. */
export interface ValueTemplate {
  readonly parts: readonly (string | Capture)[];
}

/**
 * Reads a string in which `{name}` stands for a capture; `{{` and `}}` are plain braces. A string says what is wrong.
 *
 * Two captures must have a '/' between them: it is the one character that a captured segment cannot hold, so two different
 * requests never give the same value (`a-b` + `c` and `a` + `b-c` would). Without `captures` any name is taken for one.
 */
export function parseValueTemplate(
  text: string,
  captures: ReadonlyMap<string, Capture> | undefined,
): ValueTemplate | string {
  const parts: (string | Capture)[] = [];
  for (const [token, name] of text.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g)) {
    if (token === '{' || token === '}') return "holds a single brace; write '{{' or '}}' for a plain one";
    if (name === undefined) parts.push(token === '{{' ? '{' : token === '}}' ? '}' : token);
    else {
      const capture = captures ? captures.get(name) : UNKNOWN;
      if (!capture) return unknownCapture(name, captures ?? new Map());
      parts.push(capture);
    }
  }
  const joined = joinTexts(parts);
  return areParted(joined)
    ? { parts: joined }
    : "holds two captures without a '/' between them; different paths could give the same value";
}

const UNKNOWN: Capture = { index: 0, rest: false };

/** The value that a template has for a request's segments, or why there is none. */
export function fillTemplate({ parts }: ValueTemplate, segments: readonly string[]): string | Refusal {
  let value = '';
  for (const part of parts) {
    const text = typeof part === 'string' ? part : decodeCapture(part, segments);
    if (typeof text !== 'string') return text;
    value += text;
  }
  return value;
}

/** The value of a template without captures; `undefined` where it has one. */
export function constantOf({ parts }: ValueTemplate): string | undefined {
  if (parts.length === 0) return '';
  const [first] = parts;
  return parts.length === 1 && typeof first === 'string' ? first : undefined;
}

function unknownCapture(name: string, captures: ReadonlyMap<string, Capture>): string {
  const known = [...captures.keys()].map((capture) => `{${capture}}`);
  const which = known.length === 0 ? 'the path captures nothing' : `captured are ${known.join(', ')}`;
  return `uses '{${name}}', which the path does not capture; ${which}`;
}

function joinTexts(parts: readonly (string | Capture)[]): (string | Capture)[] {
  const joined: (string | Capture)[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (typeof part === 'string' && typeof last === 'string') joined.splice(-1, 1, last + part);
    else joined.push(part);
  }
  return joined;
}

function areParted(parts: readonly (string | Capture)[]): boolean {
  const used = parts.filter((part) => typeof part !== 'string');
  if (used.filter((capture) => capture.rest).length > 1) return false;
  return parts.every((part, index) => {
    const next = parts[index + 1];
    if (typeof part === 'string') return index === 0 || next === undefined || part.includes('/');
    return next === undefined || typeof next === 'string';
  });
}

// Controls, line and paragraph separators, and what changes the direction of text or cannot be seen: such an id reads as another
// one in a log, and backends strip them.
const UNFIT = /[\p{Cc}\p{Zl}\p{Zp}\u061C\u200B\u200E\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/u;

function decodeCapture({ index, rest }: Capture, segments: readonly string[]): string | Refusal {
  const raw = rest ? segments.slice(index).join('/') : (segments[index] ?? '');
  // The canonicaliser refuses these too; which object is meant must not hang on its being there.
  if (/\\|%(?:2F|5C)/i.test(raw))
    return refuse('path_ambiguous', "a captured segment holds a '\\' or an encoded '/' or '\\'");
  const text = raw.includes('%') ? percentDecoded(raw) : raw;
  if (text === undefined) return refuse('path_ambiguous', 'a captured segment is not percent-encoded UTF-8');
  return UNFIT.test(text)
    ? refuse('path_ambiguous', 'a captured segment holds a control or invisible character')
    : text;
}

function percentDecoded(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined;
  }
}
