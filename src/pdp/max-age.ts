/** The annotation of an attribute that says how old what is known of it may be. */
export const MAX_AGE = 'max_age';

const UNIT_MS: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Reads `5m` as ms: a number from 1 to 999999 and `ms`, `s`, `m`, `h` or `d`. `undefined`: the text is none, or there is none. */
export function parseMaxAge(text: string | undefined): number | undefined {
  const [, amount, unit = ''] = /^([1-9]\d{0,5})(ms|s|m|h|d)$/.exec(text ?? '') ?? [];
  return amount === undefined ? undefined : Number(amount) * (UNIT_MS[unit] ?? 0);
}
