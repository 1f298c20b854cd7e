/** `; did you mean 'x'?` with the candidate closest to a misspelt word, or nothing where none is close. */
export function suggestion(word: string, candidates: Iterable<string>): string {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), least);
    if (distance >= least) continue;
    best = candidate;
    least = distance;
  }
  return best === undefined ? '' : `; did you mean '${best}'?`;
}

/** Insertions, deletions and replacements between two words; any number from `limit` on where they are further apart. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? limit;
}
