/** Says on stderr what goes on, and since when. */
export function progress(text: string): void {
  process.stderr.write(`[${(performance.now() / 1000).toFixed(1)} s] ${text}\n`);
}
