import type { ParsedPolicy } from './cedar.ts';
import { type PolicyStatement, problemAt } from './cedar-text.ts';
import type { Advice } from './decision.ts';
import type { Problem } from './errors.ts';
import type { PolicyNotes } from './policy-snapshot.ts';
import { readUpstreamHeaders } from './upstream-headers.ts';

const KNOWN = ['id', 'reason', 'advice', 'acr_values', 'description', 'upstream_headers'];
const KINDS: readonly Advice['kind'][] = ['authenticate', 'step_up'];
const MAX_REASON_LENGTH = 200;

/**
 * Reads what a policy's annotations ask of us. A misspelt annotation would silently lose its effect, so unknown ones are problems:
 * `@id`, `@description` (for readers), on a permit `@upstream_headers("name: value")`, and on a forbid `@reason("public words")` and
 * `@advice("authenticate")` or `@advice("step_up")`, the latter with `@acr_values("…")`.
 */
export function policyNotes(
  json: ParsedPolicy,
  statement: PolicyStatement,
  problems: Problem[],
): PolicyNotes {
  const annotations = json.annotations ?? {};
  const complain = (message: string) => problems.push(problemAt(statement, 0, message));
  for (const name of Object.keys(annotations)) {
    if (!KNOWN.includes(name))
      complain(`@${name} is not known here; known are ${KNOWN.map((known) => `@${known}`).join(', ')}`);
  }
  const { reason, advice, acr_values: acrValues } = annotations;
  if (json.effect === 'permit' && (reason !== undefined || advice !== undefined)) {
    complain('@reason and @advice belong on a forbid: a permit cannot determine a deny');
  }
  // The text goes out in a header and a JSON body to clients that are not trusted.
  if (reason !== undefined && !/^[ -~]+$/.test(reason ?? ''))
    complain('@reason must be plain printable ASCII');
  if (typeof reason === 'string' && reason.length > MAX_REASON_LENGTH)
    complain(`@reason is longer than ${MAX_REASON_LENGTH} characters`);
  if (advice !== undefined && !isAdviceKind(advice))
    complain(`@advice(${JSON.stringify(advice)}) is not known; known are ${KINDS.join(' and ')}`);
  if (acrValues !== undefined && advice !== 'step_up') complain('@acr_values goes with @advice("step_up")');
  if (acrValues !== undefined && !/^[!#-[\]-~]+( [!#-[\]-~]+)*$/.test(acrValues ?? ''))
    complain('@acr_values must be space-separated words');
  const headers = json.annotations?.['upstream_headers'];
  if (headers !== undefined && json.effect !== 'permit')
    complain('@upstream_headers belongs on a permit: a deny lets nothing upstream');
  const upstreamHeaders = headers === undefined ? [] : readUpstreamHeaders(headers ?? '', complain);
  return {
    effect: json.effect,
    ...(upstreamHeaders.length > 0 && { upstreamHeaders }),
    ...(typeof reason === 'string' && { reason }),
    ...(isAdviceKind(advice) && {
      advice: { kind: advice, ...(typeof acrValues === 'string' && { acrValues }) },
    }),
  };
}

function isAdviceKind(advice: unknown): advice is Advice['kind'] {
  return KINDS.includes(advice as Advice['kind']);
}
