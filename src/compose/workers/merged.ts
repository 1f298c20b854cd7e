import type { Readiness } from '../../api/ops/ops.ts';
import { isRecord } from '../../pdp/external-json.ts';
import { SHADOW_OUTCOMES, type ShadowReport, type ShadowRow } from '../../pdp/shadow-report.ts';

/** One worker's readiness, or why there is none. */
export interface WorkerReadiness {
  readonly worker: number;
  /** Process id; absent: it does not run. */
  readonly pid: number | undefined;
  readonly readiness: Readiness | { readonly problem: string };
}

/** Ready is who has all workers ready; each problem and warning says of which worker it is. */
export function mergedReadiness(
  workers: readonly WorkerReadiness[],
  own: { readonly problems: readonly string[]; readonly warnings: readonly string[] },
): Readiness {
  const problems = [...own.problems];
  const warnings = [...own.warnings];
  for (const { worker, readiness } of workers) {
    const named = (words: string) => `worker ${worker}: ${words}`;
    if ('problem' in readiness) problems.push(named(readiness.problem));
    else {
      problems.push(...readiness.problems.map(named));
      warnings.push(...(readiness.warnings ?? []).map(named));
    }
  }
  const answered = workers.flatMap(({ readiness }) => ('problem' in readiness ? [] : [readiness.details]));
  const snapshots = new Set(answered.map(({ snapshot }) => snapshot));
  if (snapshots.size > 1) warnings.push('the workers have different policies in force');
  const pids = workers.flatMap(({ worker, pid }): [string, number][] =>
    pid === undefined ? [] : [[`worker_${worker}_pid`, pid]],
  );
  const details = { ...answered[0], workers: workers.length, ...Object.fromEntries(pids) };
  return { ready: problems.length === 0, problems, warnings, details };
}

/** Shadow evaluation of all workers, as if one had seen everything; of those that compare the same policies as the first does. */
export function mergedShadow(reports: readonly ShadowReport[]): ShadowReport | undefined {
  const [first] = reports;
  if (!first) return undefined;
  const same = reports.filter(
    ({ candidate, active }) => candidate === first.candidate && active === first.active,
  );
  const sum = (figure: (report: ShadowReport) => number): number =>
    same.reduce((total, report) => total + figure(report), 0);
  return {
    ...first,
    since: same.map(({ since }) => since).toSorted()[0] ?? first.since,
    compared: sum(({ compared }) => compared),
    skipped: sum(({ skipped }) => skipped),
    outcomes: Object.fromEntries(
      SHADOW_OUTCOMES.map((outcome) => [outcome, sum(({ outcomes }) => outcomes[outcome])]),
    ) as ShadowReport['outcomes'],
    rows: mergedRows(same.flatMap(({ rows }) => rows)),
    truncated: same.some(({ truncated }) => truncated),
  };
}

function mergedRows(rows: readonly ShadowRow[]): readonly ShadowRow[] {
  const byKind = new Map<string, ShadowRow>();
  for (const row of rows) {
    const { count, example: _, ...kind } = row;
    const key = JSON.stringify(Object.entries(kind).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    byKind.set(key, { ...row, count: count + (byKind.get(key)?.count ?? 0) });
  }
  return [...byKind.values()].toSorted((a, b) => b.count - a.count);
}

/**
 * A page of revocations as the first worker has it, with what all of them have refused: rules are the same on all of them, since they share the
 * state, and each counts what it refuses.
 */
export function mergedRevocations(pages: readonly object[]): object {
  const [first = {}] = pages;
  const others = pages.slice(1).flatMap(rulesOf);
  const merged = rulesOf(first).map((rule) => {
    const same = [rule, ...others.filter((other) => keyOf(other) === keyOf(rule))];
    const refused = same.reduce((total, one) => total + Number(one['refused'] ?? 0), 0);
    const last = same
      .flatMap((one) => (typeof one['last_refused'] === 'string' ? [one['last_refused']] : []))
      .toSorted()
      .at(-1);
    return { ...rule, refused, ...(last !== undefined && { last_refused: last }) };
  });
  return { ...first, revocations: merged };
}

type Rule = Readonly<Record<string, unknown>>;

function rulesOf(page: object): readonly Rule[] {
  const rules: unknown = Reflect.get(page, 'revocations');
  return Array.isArray(rules) ? rules.filter(isRecord) : [];
}

function keyOf({ effect, subjects, source, at }: Rule): string {
  return JSON.stringify([effect, subjects, source, at]);
}

/** How it stands with the streams of events: as the first worker has it, with the problems of all. */
export function mergedEventStreams(reports: readonly (readonly [worker: number, report: object])[]): object {
  const [first] = reports;
  if (!first || !Array.isArray(first[1])) return [];
  return first[1].filter(isRecord).map((stream) => {
    const problems = reports.flatMap(([worker, report]) =>
      Array.isArray(report) ? report.filter(isRecord).flatMap((other) => told(stream, other, worker)) : [],
    );
    return { ...stream, problems };
  });
}

function told(stream: Rule, { name, problems }: Rule, worker: number): readonly string[] {
  if (name !== stream['name'] || !Array.isArray(problems)) return [];
  return problems.map((problem) => `worker ${worker}: ${String(problem)}`);
}
