/** Conditions as they are written in `match`, for the reference matcher. */
export interface SampleMatch {
  readonly path: string;
  readonly method?: string | readonly string[];
  readonly host?: string | readonly string[];
  readonly service?: string;
  readonly headers?: Readonly<Record<string, string | { readonly present: true }>>;
  readonly extensions?: Readonly<Record<string, string | { readonly present: true }>>;
}

/** A request for the reference matcher. */
export interface NaiveRequest {
  readonly path: string;
  readonly method: string;
  readonly host: string;
  readonly service: string | undefined;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly extensions: Readonly<Record<string, string>>;
}

type Verdict = 'met' | 'unmet' | 'ambiguous';

/** Whether a path meets a template, segment by segment. */
export function pathMeets(template: string, path: string): boolean {
  const parts = template.split('/').slice(1);
  const segments = path.split('/').slice(1);
  const open = parts.at(-1)?.endsWith('**') === true;
  if (open ? segments.length < parts.length : segments.length !== parts.length) return false;
  const fixed = open ? parts.slice(0, -1) : parts;
  return fixed.every((part, index) =>
    part.startsWith('{') ? segments[index] !== '' : segments[index] === part,
  );
}

function hostMeets(pattern: string, host: string): boolean {
  return pattern.startsWith('*')
    ? host.length >= pattern.length && host.endsWith(pattern.slice(1))
    : host === pattern;
}

function listed(values: string | readonly string[] | undefined, test: (value: string) => boolean): boolean {
  return values === undefined || [values].flat().some(test);
}

/** Whether a request meets a match, one condition after the other. */
export function verdictOf(match: SampleMatch, request: NaiveRequest): Verdict {
  if (!pathMeets(match.path, request.path)) return 'unmet';
  if (!listed(match.method, (method) => method === request.method)) return 'unmet';
  if (!listed(match.host, (host) => hostMeets(host, request.host))) return 'unmet';
  if (match.service !== undefined && match.service !== request.service) return 'unmet';
  for (const [name, value] of Object.entries(match.extensions ?? {})) {
    const found = request.extensions[name];
    if (found === undefined || (typeof value === 'string' && found !== value)) return 'unmet';
  }
  let verdict: Verdict = 'met';
  for (const [name, value] of Object.entries(match.headers ?? {})) {
    const found = request.headers[name] ?? [];
    if (found.length > 1) verdict = 'ambiguous';
    else if (found.length === 0 || (typeof value === 'string' && found[0] !== value)) return 'unmet';
  }
  return verdict;
}

function kindsOf(path: string): number[] {
  return path
    .split('/')
    .slice(1)
    .map((part) => (part.endsWith('**') ? 0 : part.startsWith('{') ? 1 : 2));
}

function countOf(match: SampleMatch): number {
  const single = [match.method, match.host, match.service].filter((value) => value !== undefined).length;
  return single + Object.keys(match.headers ?? {}).length + Object.keys(match.extensions ?? {}).length;
}

/**
 * Whether one match is more specific than another that can match the same request, by the words of the rule: what implies what is
 * found by trying every request of `universe`.
 */
export function beats(one: SampleMatch, other: SampleMatch, universe: readonly NaiveRequest[]): boolean {
  const [mine, theirs] = [kindsOf(one.path), kindsOf(other.path)];
  const at = mine.findIndex((kind, index) => kind !== theirs[index]);
  if (at !== -1) return (mine[at] ?? 0) > (theirs[at] ?? 3);
  if (countOf(one) !== countOf(other)) return countOf(one) > countOf(other);
  const both = universe.map((request) => [verdictOf(one, request), verdictOf(other, request)] as const);
  const implied = both.every(([left, right]) => left !== 'met' || right === 'met');
  return implied && both.some(([left, right]) => left !== 'met' && right === 'met');
}
