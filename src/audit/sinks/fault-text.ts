const MOST = 300;
/** Of one message: what a receiver sends may be long. */
const MOST_READ = 2000;

/**
 * What an error of a receiver says, for operators: one line of at most 300 characters, causes included, without the user information and the
 * query of URLs.
 */
export function faultText(error: unknown): string {
  const text = [...messages(error, 0)].filter((message) => message !== '').join(': ');
  const clean = text
    .replaceAll(/\/\/[^/\s@]*@/g, '//***@')
    .replaceAll(/(\w:\/\/[^\s?'"]*)\?[^\s'"]*/g, '$1?***')
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
  return clean.length > MOST ? `${clean.slice(0, MOST)}…` : clean;
}

function messages(error: unknown, depth: number): Set<string> {
  if (!(error instanceof Error)) return new Set([String(error).slice(0, MOST_READ)]);
  const own = error.message === '' ? codeOf(error) : error.message.slice(0, MOST_READ);
  if (depth === 3) return new Set([own]);
  const inner: unknown[] = error instanceof AggregateError ? error.errors.slice(0, 2) : [];
  if (error.cause !== undefined) inner.push(error.cause);
  return new Set([own, ...inner.flatMap((cause) => [...messages(cause, depth + 1)])]);
}

/** Node's errors for a host of several addresses have no message. */
function codeOf(error: Error): string {
  if ('code' in error) return String(error.code);
  return error instanceof AggregateError ? '' : error.name;
}
