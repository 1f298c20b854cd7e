import { fetchUrlProblem } from '../../../pdp/fetch-url.ts';
import { PLACEHOLDERS, type Placeholder, type SubjectParts } from './subject-parts.ts';

/** A URL with places for the parts of a subject's id. */
export interface UrlTemplate {
  /** Scheme, host and port, which no id can change. */
  readonly origin: string;
  readonly uses: ReadonlySet<Placeholder>;
  /**
   * Path and query for a subject, percent-encoded, or why this id cannot stand there (in words without the id). The path has as many
   * segments, and the query the same names, whatever the id.
   */
  pathFor(parts: SubjectParts): { readonly path: string } | { readonly problem: string };
}

/** Literal text and placeholders in turn. */
type Piece = string | { readonly placeholder: Placeholder };

/** A path segment or query value, with the text (a separator, a query's name) that stands before it. */
interface Slot {
  readonly before: string;
  readonly pieces: readonly Piece[];
  readonly isSegment: boolean;
}

// Stands for a placeholder while the URL is brought into its normal form, which leaves lower-case letters alone.
const MARK = 'pdpplaceholder';
const MARKED = new RegExp(`${MARK}(${PLACEHOLDERS.join('|')})end`);

/**
 * Why this text is not a template; `undefined` where it is. Placeholders are `{id}`, `{issuer}` and `{name}`; they stand in path segments
 * and in values of the query. Plain HTTP is for loopback addresses only.
 */
export function urlTemplateProblem(text: string): string | undefined {
  const read = readTemplate(text);
  return 'problem' in read ? read.problem : undefined;
}

/** Reads a template. Throws a `TypeError` for text that {@link urlTemplateProblem} refuses. */
export function parseUrlTemplate(text: string): UrlTemplate {
  const read = readTemplate(text);
  if ('problem' in read) throw new TypeError(`not a URL template: it ${read.problem}`);
  const { origin, slots } = read;
  const uses = new Set(slots.flatMap(({ pieces }) => pieces.filter(isPlaceholder)).map((p) => p.placeholder));
  return { origin, uses, pathFor: (parts) => fill(slots, parts) };
}

function readTemplate(
  text: string,
): { readonly origin: string; readonly slots: readonly Slot[] } | { readonly problem: string } {
  if (text.toLowerCase().includes(MARK)) return { problem: `holds the reserved word '${MARK}'` };
  const places = [...text.matchAll(/\{(\w+)\}/g)];
  const marked = text.replace(/\{(id|issuer|name)\}/g, `${MARK}$1end`);
  if (/[{}]/.test(marked)) return { problem: 'holds braces that are not {id}, {issuer} or {name}' };
  const problem = fetchUrlProblem(marked);
  const url = URL.parse(marked);
  if (problem !== undefined || url === null) return { problem: problem ?? 'is not a URL' };
  if (url.hash !== '' || text.includes('#')) return { problem: 'has a fragment' };
  if (url.host.includes(MARK)) return { problem: 'has a placeholder in its host' };
  const slots = [...segmentsOf(url.pathname), ...valuesOf(url.search)];
  if (slots.some(({ before }) => before.includes(MARK)))
    return { problem: 'has a placeholder that is neither in a path segment nor in a value of the query' };
  const found = slots.flatMap(({ pieces }) => pieces.filter(isPlaceholder)).length;
  if (found !== places.length) return { problem: 'has a placeholder beside a `..` segment' };
  return { origin: url.origin, slots };
}

function segmentsOf(pathname: string): readonly Slot[] {
  return pathname
    .slice(1)
    .split('/')
    .map((segment) => ({ before: '/', pieces: piecesOf(segment), isSegment: true }));
}

function valuesOf(search: string): readonly Slot[] {
  if (search.length < 2) return [];
  return search
    .slice(1)
    .split('&')
    .map((pair, index) => {
      const separator = index === 0 ? '?' : '&';
      const equals = pair.indexOf('=');
      return equals === -1
        ? { before: `${separator}${pair}`, pieces: [], isSegment: false }
        : {
            before: `${separator}${pair.slice(0, equals + 1)}`,
            pieces: piecesOf(pair.slice(equals + 1)),
            isSegment: false,
          };
    });
}

function piecesOf(text: string): readonly Piece[] {
  return text.split(MARKED).flatMap((piece, index): Piece[] => {
    if (index % 2 === 1) return [{ placeholder: piece as Placeholder }];
    return piece === '' ? [] : [piece];
  });
}

function isPlaceholder(piece: Piece): piece is Exclude<Piece, string> {
  return typeof piece !== 'string';
}

function fill(slots: readonly Slot[], parts: SubjectParts): { path: string } | { problem: string } {
  let path = '';
  for (const slot of slots) {
    const filled = fillSlot(slot, parts);
    if ('problem' in filled) return filled;
    path += slot.before + filled.text;
  }
  return { path };
}

/** Segments that lead elsewhere, or nowhere, also where they are encoded once more. */
const DOTS = /^(?:\.|%2e){1,2}$/i;

/** What means nothing to a path, a query, or a query language inside of one. */
const PLAIN = /^[A-Za-z0-9._~@-]*$/;

function fillSlot(
  { pieces, isSegment }: Slot,
  parts: SubjectParts,
): { readonly text: string } | { readonly problem: string } {
  let text = '';
  for (const piece of pieces) {
    const value = isPlaceholder(piece) ? parts[piece.placeholder] : piece;
    if (value === undefined) return { problem: 'the id is not of the form <issuer>/<name>' };
    if (!isPlaceholder(piece)) {
      text += piece;
      continue;
    }
    // Among other text the id may stand in a language of its own (a filter, say), where percent-encoding protects nothing.
    if (pieces.length > 1 && !PLAIN.test(value))
      return { problem: 'the id holds characters that cannot stand within other text' };
    if (!value.isWellFormed() || /\p{Cc}/u.test(value)) return { problem: 'the id is not well-formed text' };
    // Some servers decode before they part the path, and then go up.
    if (isSegment && value.split(/[/\\]/).some((part) => DOTS.test(part)))
      return { problem: 'the id would change the path' };
    text += encodeURIComponent(value);
  }
  const isFilled = pieces.some(isPlaceholder);
  if (isFilled && isSegment && /^(?:\.|%2e){0,2}$/i.test(text))
    return { problem: 'the id would change the path' };
  return { text };
}
