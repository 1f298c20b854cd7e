import { followCoverage } from './coverage.ts';
import { attempt } from './engine.ts';
import type { FuzzTarget } from './target.ts';

const MAX_BYTES = 6_144;
const MAX_INPUTS = 60;

/** Inputs of a corpus, small ones first, that each run code or come to something that those before do not. Some KB at most. */
export async function smallCorpus(
  target: FuzzTarget,
  corpus: readonly Uint8Array[],
): Promise<readonly Uint8Array[]> {
  const coverage = followCoverage(target.covers);
  const outcomes = new Set<string>();
  const kept: Uint8Array[] = [];
  let bytes = 0;
  for (const input of corpus.toSorted((a, b) => a.length - b.length)) {
    const tried = await attempt(target, input);
    const ranNew = coverage.hasNew();
    if (ranNew) {
      await attempt(target, input);
      coverage.noteNew();
    }
    const outcome = 'outcome' in tried ? tried.outcome : '';
    if ((!ranNew && outcomes.has(outcome)) || bytes + input.length > MAX_BYTES) continue;
    outcomes.add(outcome);
    kept.push(input);
    bytes += input.length;
    if (kept.length === MAX_INPUTS) break;
  }
  return kept;
}
