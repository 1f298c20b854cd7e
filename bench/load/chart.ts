/** A line of a {@link chart}. */
export interface Line {
  readonly label: string;
  readonly values: readonly number[];
  /** Of the style sheet: `pdp` or `noop`. */
  readonly kind: string;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [760, 260, 70, 30, 24];

/** Lines over seconds, from zero up, as an SVG. */
export function chart(at: readonly number[], lines: readonly Line[]): string {
  const most = Math.max(1e-9, ...lines.flatMap(({ values }) => values));
  const end = Math.max(1, at.at(-1) ?? 1);
  const x = (second: number) => LEFT + ((WIDTH - LEFT - 16) * second) / end;
  const y = (value: number) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / most;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const height = y(most * share).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - 16}" y1="${height}" y2="${height}"/><text x="${LEFT - 8}" y="${height}" text-anchor="end">${(most * share).toPrecision(3)}</text>`;
  });
  const drawn = lines.map(({ label, values, kind }, n) => {
    const points = values.map((value, i) => `${x(at[i] ?? 0).toFixed(1)},${y(value).toFixed(1)}`);
    return `<polyline class="line ${kind}" points="${points.join(' ')}"/><rect class="bar ${kind}" x="${LEFT + 12 + n * 110}" y="6" width="16" height="4"/><text x="${LEFT + 34 + n * 110}" y="12">${label}</text>`;
  });
  const ends = `<text x="${LEFT}" y="${HEIGHT - 8}">0 s</text><text x="${WIDTH - 16}" y="${HEIGHT - 8}" text-anchor="end">${Math.round(end)} s</text>`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${lines.map(({ label }) => label).join(' and ')} over time">${grid.join('')}${drawn.join('')}${ends}</svg>`;
}
