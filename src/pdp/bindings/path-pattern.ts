import { canonicalPath } from '../canonical.ts';

/** A segment of a path template. */
export type PathPart =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'capture' }
  | { readonly kind: 'rest' };

/** Where a capture is found: the segment of that index, or all segments from it on. */
export interface Capture {
  readonly index: number;
  readonly rest: boolean;
}

/** A path template, read. Segments are what stands between the '/'s, so that `/` has one, which is empty. */
export interface PathPattern {
  readonly parts: readonly PathPart[];
  readonly captures: ReadonlyMap<string, Capture>;
  /** Equal for templates that match the same paths, whatever their captures are called. */
  readonly key: string;
}

const MAX_PARTS = 64;

/**
 * Reads a path template: literal segments, `{name}` for exactly one segment that is not empty, and as the last segment `**` or
 * `{name:**}` for one or more segments, of which the last may be empty: `/a/**` matches what starts with `/a/`.
 *
 * Literals must be in canonical form, as the paths are that they are compared with. A string says what is wrong.
 */
export function parsePathTemplate(template: string): PathPattern | string {
  const fault = literalFault(template);
  if (fault !== undefined) return fault;
  const segments = template.slice(1).split('/');
  if (segments.length > MAX_PARTS) return `the path has more than ${MAX_PARTS} segments`;
  const parts: PathPart[] = [];
  const captures = new Map<string, Capture>();
  for (const [index, segment] of segments.entries()) {
    const part = parseSegment(segment, index === segments.length - 1);
    if (typeof part === 'string') return part;
    parts.push(part.part);
    if (part.name === undefined) continue;
    if (captures.has(part.name)) return `'{${part.name}}' is captured twice`;
    captures.set(part.name, { index, rest: part.part.kind === 'rest' });
  }
  return patternOf(parts, captures);
}

/**
 * Reads `pkg.Service/Method` or `pkg.Service/*`, the path of a gRPC call without its '/'. The star captures the method's name
 * as `{method}`. A string says what is wrong.
 */
export function parseGrpcMethod(text: string): PathPattern | string {
  const match = /^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\/([A-Za-z_]\w*|\*)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined)
    return `'${text}' is not a gRPC method; write pkg.Service/Method or pkg.Service/*`;
  const service: PathPart = { kind: 'literal', text: match[1] };
  if (match[2] !== '*') return patternOf([service, { kind: 'literal', text: match[2] }], new Map());
  return patternOf([service, { kind: 'capture' }], new Map([['method', { index: 1, rest: false }]]));
}

function patternOf(parts: readonly PathPart[], captures: ReadonlyMap<string, Capture>): PathPattern {
  const words = { capture: '{}', rest: '**' } as const;
  // Neither braces nor stars occur in a literal, so no two kinds of parts share a word.
  const key = parts.map((part) => `/${part.kind === 'literal' ? part.text : words[part.kind]}`).join('');
  return { parts, captures, key };
}

function literalFault(template: string): string | undefined {
  if (!template.startsWith('/')) return "the path does not start with '/'";
  if (template.includes('?')) return 'the path holds a query; bindings match the path alone';
  // A capture is any one segment: 'x' stands for it where the whole must be canonical.
  const literal = template.replaceAll(/\{[^{}/]*\}/g, 'x');
  if (/[{}]/.test(literal)) return 'the path holds a brace that opens or closes nothing';
  const canonical = canonicalPath(literal);
  if (typeof canonical !== 'string')
    return `no request can have this path: ${canonical.detail}${escaped(literal)}`;
  return canonical === literal ? undefined : `the path is not in canonical form; write it as '${canonical}'`;
}

function escaped(literal: string): string {
  const encoded = encodeURI(literal.toWellFormed());
  const differs = encoded !== literal && !/%(?:25|5C|7B|7D|60|5E)/.test(encoded);
  return differs ? `; percent-encode it: '${encoded}'` : '';
}

function parseSegment(segment: string, last: boolean): { part: PathPart; name?: string } | string {
  if (segment === '**' || segment.endsWith(':**}')) return parseRest(segment, last);
  if (/[{}]/.test(segment)) {
    const name = /^\{([A-Za-z_]\w{0,63})\}$/.exec(segment)?.[1];
    if (name === undefined)
      return `'${segment}' is no capture: '{name}' takes a whole segment, and names are letters, digits and '_'`;
    return { part: { kind: 'capture' }, name };
  }
  if (segment.includes('*'))
    return `'${segment}' holds a star; write {name} for one segment, /** for the rest`;
  return { part: { kind: 'literal', text: segment } };
}

function parseRest(segment: string, last: boolean): { part: PathPart; name?: string } | string {
  if (!last) return `'${segment}' takes all that is left, so it must be the last segment`;
  if (segment === '**') return { part: { kind: 'rest' } };
  const name = /^\{([A-Za-z_]\w{0,63}):\*\*\}$/.exec(segment)?.[1];
  return name === undefined
    ? `'${segment}' is no capture: '{name:**}' takes all segments that are left, and names are letters, digits and '_'`
    : { part: { kind: 'rest' }, name };
}
