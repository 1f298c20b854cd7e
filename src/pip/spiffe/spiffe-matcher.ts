import { InputError } from '../../pdp/errors.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { parseSpiffeId } from './spiffe-id.ts';

/** An allow list of workloads. */
export interface SpiffeMatcher {
  /** Whether the list names the workload. */
  matches(identity: WorkloadIdentity): boolean;
}

const SCHEME = 'spiffe://';
const WILDCARD = '/*';
// Stands for any segment, so that the parser of whole IDs judges what comes before the wildcard.
const SOME_SEGMENT = '/x';

/**
 * Makes an allow list. A pattern is one SPIFFE ID, `spiffe://<trust domain>/<path>`; every ID under a path, by whole segments,
 * `spiffe://<trust domain>/<path>/*`; or every workload of a trust domain, `spiffe://<trust domain>/*`. An empty list matches nobody.
 * Throws `InputError` with the problem of every pattern that is none of these.
 */
export function createSpiffeMatcher(patterns: readonly string[]): SpiffeMatcher {
  const problems = patterns.flatMap((pattern) => {
    const message = patternProblem(pattern);
    return message === undefined ? [] : [{ where: `'${pattern}'`, message }];
  });
  if (problems.length > 0) throw new InputError('an allow list of workloads is not right', problems);
  const ids = new Set(patterns.filter((pattern) => !pattern.endsWith(WILDCARD)));
  // With its slash: `/ns/prod/*` is not to match `/ns/production/…`, nor `/ns/prod` itself.
  const prefixes = patterns.filter((pattern) => pattern.endsWith(WILDCARD)).map((text) => text.slice(0, -1));
  return { matches: ({ id }) => ids.has(id) || prefixes.some((prefix) => id.startsWith(prefix)) };
}

/** Why a pattern cannot stand in an allow list (see {@link createSpiffeMatcher}), in words; `undefined` where it can. */
export function patternProblem(pattern: string): string | undefined {
  if (!pattern.startsWith(SCHEME)) return "does not start with 'spiffe://' in lower case";
  const isPrefix = pattern.endsWith(WILDCARD);
  const fixed = isPrefix ? pattern.slice(0, -WILDCARD.length) : pattern;
  if (`${fixed}/` === SCHEME)
    return 'names no trust domain: a wildcard stands for workloads, never for trust domains';
  if (fixed.includes('*')) return "has a '*' elsewhere than as its whole last segment";
  const parsed = parseSpiffeId(isPrefix ? `${fixed}${SOME_SEGMENT}` : fixed);
  if (!('invalid' in parsed)) return undefined;
  return parsed.invalid === 'has no path'
    ? `has no path; '${fixed}/*' would stand for the whole trust domain`
    : parsed.invalid;
}
