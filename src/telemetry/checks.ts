import { Counter, type Registry } from 'prom-client';
import { letsThrough } from '../pdp/decision.ts';
import type { DecisionTrace } from '../pdp/trace.ts';

/** How often one combination of labels was seen since the last scrape. */
interface Tally {
  readonly labels: Readonly<Record<'surface' | 'decision' | 'reason' | 'enforced' | 'cached', string>>;
  count: number;
}

/** Counts checks by what was decided, and gives them to prom-client when it is asked: not an object of labels for each. */
export function checksCounter(registers: Registry[]): (trace: DecisionTrace) => void {
  const tallies = new Map<string, Tally>();
  const counter = new Counter({
    name: 'pdp_checks_total',
    help: 'Checks answered; cached: whether from the decision cache, or by what came of a question like it.',
    labelNames: ['surface', 'decision', 'reason', 'enforced', 'cached'],
    registers,
    collect: () => {
      for (const { labels, count } of tallies.values()) counter.inc({ ...labels }, count);
      tallies.clear();
    },
  });
  return (trace) => {
    const { surface, decision, cache } = trace;
    const allow = decision.verdict === 'permit';
    const enforced = allow || !letsThrough(decision);
    const cached = cachedLabel(cache);
    const key = `${surface} ${decision.reason}${allow ? ' allow' : ' deny'}${enforced ? ' enforced' : ''} ${cached}`;
    const tally = tallies.get(key);
    if (tally) tally.count += 1;
    else {
      const verdict = allow ? 'ALLOW' : 'DENY';
      const flags = { enforced: String(enforced), cached };
      tallies.set(key, {
        labels: { surface, decision: verdict, reason: decision.reason, ...flags },
        count: 1,
      });
    }
  };
}

function cachedLabel(cache: DecisionTrace['cache']): string {
  if (cache?.hit === false && cache.like !== undefined) return 'like';
  return String(cache?.hit ?? false);
}
