import { percentile } from '../load/scenario.ts';
import type { Window } from './phases.ts';

/** What was seen in one phase. */
export interface PhaseFigures {
  readonly name: string;
  /** Calls sent, accepted and shed in a second. */
  readonly rate: number;
  readonly accepted: number;
  readonly shed: number;
  /** Calls denied for another reason than overload, or not answered. */
  readonly other: number;
  /** Microseconds from when a call was due to its answer. */
  readonly p50: number;
  readonly p99: number;
  readonly shedP50: number;
  readonly shedP99: number;
}

/** The figures of the windows of one phase that took `seconds`. */
export function phaseFigures(name: string, windows: readonly Window[], seconds: number): PhaseFigures {
  const accepted = joined(windows.map((window) => window.accepted));
  const shed = joined(windows.map((window) => window.shed));
  const sum = (of: (window: Window) => number) => windows.reduce((all, window) => all + of(window), 0);
  return {
    name,
    rate: sum(({ sent }) => sent) / seconds,
    accepted: accepted.length / seconds,
    shed: shed.length / seconds,
    other: sum(({ other }) => other),
    p50: percentile(accepted, 0.5),
    p99: percentile(accepted, 0.99),
    shedP50: percentile(shed, 0.5),
    shedP99: percentile(shed, 0.99),
  };
}

/**
 * Microseconds: the smallest p99 of phases at half of saturation. Whoever sheds there already, or is slow there, does not make the overload look
 * better by it.
 */
export function normalP99(phases: readonly PhaseFigures[]): number {
  return Math.min(...phases.filter(({ accepted }) => accepted > 0).map(({ p99 }) => p99));
}

/** p99 of the accepted calls of a phase over `normal` microseconds; infinite where none was accepted. */
export function overNormal(during: PhaseFigures | undefined, normal: number): number {
  return during !== undefined && during.accepted > 0 ? during.p99 / normal : Number.POSITIVE_INFINITY;
}

/**
 * Seconds from the start of `windows`, which follow an overload, after which no call was shed any more and no window's p50 was above `p99`
 * (microseconds; a window has too few calls for a p99 of its own). Infinite where it never was so.
 */
export function recoverySeconds(windows: readonly Window[], windowMs: number, p99: number): number {
  const last = windows.findLastIndex(
    ({ accepted, shed, sent }) =>
      shed.length > 0 || (sent > 0 && (accepted.length === 0 || percentile(accepted, 0.5) > p99)),
  );
  return last === windows.length - 1 && last >= 0 ? Number.POSITIVE_INFINITY : ((last + 1) * windowMs) / 1000;
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}
