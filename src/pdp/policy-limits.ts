/**
 * Twice the operators in a row that the engine evaluates with room to spare: JSON spends two levels on each. WebAssembly code
 * cannot see its stack, so a longer chain parses, validates, and traps at evaluation.
 */
const MAX_LEVELS = 420;

/**
 * Why a parsed policy (Cedar's JSON policy format) is not taken although it parses: it would trap the engine at evaluation, or it
 * calls the experimental `unknown`, whose residual turns a `forbid` off. `undefined` where nothing is wrong.
 */
export function policyLimitProblem(policy: object): string | undefined {
  const open: [value: object, level: number][] = [[policy, 0]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [value, level] = next;
    if (level > MAX_LEVELS) return 'it is nested deeper or chained longer than the engine can hold';
    for (const [key, child] of Object.entries(value) as [string, unknown][]) {
      // A call has its arguments in an array; a record's own key of that name has an expression.
      if (key === 'unknown' && Array.isArray(child)) return "the function 'unknown' is not taken here";
      if (typeof child === 'object' && child !== null) open.push([child, level + 1]);
    }
  }
  return undefined;
}

/** Whether a value (Cedar's JSON format) holds a call of `unknown` anywhere. */
export function holdsUnknown(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const call = (value as { __extn?: { fn?: unknown } | null }).__extn;
  return call?.fn === 'unknown' || Object.values(value).some(holdsUnknown);
}
