/** Counts of a histogram's buckets, by upper bound in seconds, cumulative as Prometheus has them. */
export interface StageCounts {
  readonly sum: number;
  readonly count: number;
  readonly buckets: ReadonlyMap<number, number>;
}

/** What one stage took in a run. */
export interface StageTime {
  readonly stage: string;
  readonly calls: number;
  /** Microseconds. */
  readonly mean: number;
  /** Upper bound of the bucket that holds the quantile, in microseconds; infinite beyond the last bucket. */
  readonly p50: number;
  readonly p99: number;
  /** Of the time of all stages. */
  readonly share: number;
}

const LINE = /^pdp_stage_duration_seconds_(bucket|sum|count)\{(.*)\} (\S+)$/;

/** Reads `pdp_stage_duration_seconds` out of a `/metrics` page, by stage. */
export function readStages(page: string): Map<string, StageCounts> {
  const stages = new Map<string, { sum: number; count: number; buckets: Map<number, number> }>();
  for (const line of page.split('\n')) {
    const [, kind, labels = '', value] = LINE.exec(line) ?? [];
    const stage = /stage="([^"]*)"/.exec(labels)?.[1];
    if (kind === undefined || stage === undefined) continue;
    const entry = stages.get(stage) ?? { sum: 0, count: 0, buckets: new Map<number, number>() };
    stages.set(stage, entry);
    if (kind === 'sum') entry.sum = Number(value);
    else if (kind === 'count') entry.count = Number(value);
    else entry.buckets.set(bound(/le="([^"]*)"/.exec(labels)?.[1]), Number(value));
  }
  return stages;
}

function bound(text: string | undefined): number {
  return text === '+Inf' ? Infinity : Number(text);
}

/** What happened between two pages, the most costly stage first; stages that nothing ran through are left out. */
export function stageBudget(before: string, after: string): StageTime[] {
  const [was, is] = [readStages(before), readStages(after)];
  const grown = [...is].map(([stage, counts]) => [stage, difference(counts, was.get(stage))] as const);
  const total = grown.reduce((all, [, { sum }]) => all + sum, 0);
  return grown
    .filter(([, { count }]) => count > 0)
    .map(([stage, counts]) => ({
      stage,
      calls: counts.count,
      mean: (counts.sum / counts.count) * 1e6,
      p50: quantile(counts, 0.5) * 1e6,
      p99: quantile(counts, 0.99) * 1e6,
      share: total > 0 ? counts.sum / total : 0,
    }))
    .sort((a, b) => b.share - a.share);
}

function difference(is: StageCounts, was: StageCounts | undefined): StageCounts {
  const buckets = [...is.buckets].map(([le, count]) => [le, count - (was?.buckets.get(le) ?? 0)] as const);
  return { sum: is.sum - (was?.sum ?? 0), count: is.count - (was?.count ?? 0), buckets: new Map(buckets) };
}

function quantile({ count, buckets }: StageCounts, q: number): number {
  const ascending = [...buckets].sort(([a], [b]) => a - b);
  return ascending.find(([, cumulative]) => cumulative >= count * q)?.[0] ?? Infinity;
}

/** The value of the first sample of `name`, whatever its labels; 0 where there is none. */
export function gauge(page: string, name: string): number {
  const line = page.split('\n').find((text) => text.startsWith(`${name} `) || text.startsWith(`${name}{`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** Denied checks (`pdp_checks_total`) between two pages, by reason. */
export function denialsBetween(before: string, after: string): Record<string, number> {
  const [was, is] = [denials(before), denials(after)];
  const grown = [...is].map(([reason, count]) => [reason, count - (was.get(reason) ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, count]) => count > 0));
}

function denials(page: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of page.split('\n')) {
    if (!line.startsWith('pdp_checks_total{') || !line.includes('decision="DENY"')) continue;
    const reason = /reason="([^"]*)"/.exec(line)?.[1] ?? 'unknown';
    counts.set(reason, (counts.get(reason) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)));
  }
  return counts;
}
