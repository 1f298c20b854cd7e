const MAX_SECONDS = 31_536_000;

/**
 * Ms for which the server says that its answer may be used (RFC 9111 §5.2.2): `max-age`, less the `Age` it had; 0 where it says `no-store` or
 * `no-cache`, which leaves it for the question it answers. `undefined` where it says nothing.
 */
export function answerFreshness(
  cacheControl: string | undefined,
  age: string | undefined,
): number | undefined {
  if (cacheControl === undefined) return undefined;
  const directives = new Map(
    cacheControl.split(',').map((directive) => {
      const [name = '', value = ''] = directive.split('=', 2);
      return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')] as const;
    }),
  );
  if (directives.has('no-store') || directives.has('no-cache')) return 0;
  const maxAge = directives.get('max-age');
  if (maxAge === undefined) return undefined;
  // A lifetime that cannot be read is none (RFC 9111 §4.2.1).
  const seconds = secondsOf(maxAge) ?? 0;
  return Math.max(0, seconds - (secondsOf(age ?? '') ?? 0)) * 1_000;
}

function secondsOf(text: string): number | undefined {
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_SECONDS) : undefined;
}
