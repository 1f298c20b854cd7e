import type { SvidProblem } from '../../../pdp/x509-svid.ts';

/** Something that is valid from one time to another, both Unix ms and both included (RFC 5280 §4.1.2.5). */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const;

/**
 * Why `what` is not valid at `now`: by how much, and by which clock, so that an operator can tell a missed rotation from a clock that is
 * wrong. `undefined` where it is valid.
 */
export function validityProblem(what: string, validity: Validity, now: number): SvidProblem | undefined {
  const { notBefore, notAfter } = validity;
  // The last second counts whole: certificates know no fractions.
  if (now >= notAfter + 1_000) {
    const since = `${what} expired ${duration(now - notAfter)} ago, at ${instant(notAfter)}`;
    return {
      cause: 'expired',
      problem: `${since}; our clock says ${instant(now)}: rotation failed, or a clock is wrong`,
    };
  }
  if (now >= notBefore) return undefined;
  const until = `${what} is not valid for another ${duration(notBefore - now)}, until ${instant(notBefore)}`;
  return {
    cause: 'not_yet_valid',
    problem: `${until}; our clock says ${instant(now)}: compare it with the issuer's`,
  };
}

/** A length of time in the largest unit that fits, as a person would say it. */
export function duration(ms: number): string {
  const [name, size] = UNITS.find(([, size]) => ms >= size) ?? (['second', 1_000] as const);
  const count = Math.max(1, Math.floor(ms / size));
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

function instant(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString().replace(/\.\d+Z$/, 'Z');
}
