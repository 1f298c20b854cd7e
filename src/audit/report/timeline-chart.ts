import { escapeMarkup } from '../../pdp/markup.ts';
import { type Tone, countText } from './page.ts';

/** A series of a stacked column chart. */
export interface Series {
  readonly name: string;
  readonly tone: Tone;
}

/** A column: a span of time and the value of each series in it. */
export interface Column {
  /** Unix ms. */
  readonly from: number;
  readonly values: readonly number[];
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [960, 220, 64, 26, 10];

/**
 * Stacked columns over time, as inline SVG with a legend; `spanMs` is the time that each stands for, and times without one stay empty. A value
 * that is not 0 is never thinner than two units: one mismatch among millions must be seen. '' where there are no columns.
 */
export function timelineChart(
  columns: readonly Column[],
  series: readonly Series[],
  { spanMs, label }: { readonly spanMs: number; readonly label: string },
): string {
  const first = Math.min(...columns.map(({ from }) => from));
  const end = Math.max(...columns.map(({ from }) => from)) + spanMs;
  const most = Math.max(1, ...columns.map(({ values }) => sum(values)));
  if (columns.length === 0) return '';
  const place = { x: (WIDTH - LEFT) / (end - first), y: (HEIGHT - TOP - BOTTOM) / most };
  const stacks = columns.map((column) => {
    const x = LEFT + (column.from - first) * place.x;
    return stack(column, series, { x, width: Math.max(1, spanMs * place.x - 0.5), y: place.y });
  });
  const base = HEIGHT - BOTTOM;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeMarkup(label)}">
<line x1="${LEFT}" x2="${WIDTH}" y1="${base}" y2="${base}" stroke="var(--line)"/>
<text x="${LEFT - 6}" y="${TOP + 12}" text-anchor="end">${countText(most)}</text>
<text x="${LEFT - 6}" y="${base}" text-anchor="end">0</text>
<text x="${LEFT}" y="${HEIGHT - 6}">${timeText(first)}</text>
<text x="${WIDTH}" y="${HEIGHT - 6}" text-anchor="end">${timeText(end)}</text>
${stacks.join('\n')}
</svg>
<p class="legend">${series.map(({ name, tone }) => `<i style="background:var(--${tone})"></i>${escapeMarkup(name)}`).join('')}; each column ${spanText(spanMs)}, UTC</p>`;
}

interface Place {
  readonly x: number;
  readonly width: number;
  /** Units of height for one. */
  readonly y: number;
}

function stack({ from, values }: Column, series: readonly Series[], { x, width, y }: Place): string {
  let at = HEIGHT - BOTTOM;
  const parts = series.map(({ tone }, i) => {
    const value = values[i] ?? 0;
    if (value === 0) return '';
    const height = Math.max(2, value * y);
    at -= height;
    return `<rect x="${x.toFixed(1)}" y="${at.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" style="fill:var(--${tone})"/>`;
  });
  const told = series.map(({ name }, i) => `${countText(values[i] ?? 0)} ${name}`).join(', ');
  return `<g><title>${timeText(from)}: ${escapeMarkup(told)}</title>${parts.join('')}</g>`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function timeText(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 16).replace('T', ' ');
}

function spanText(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 60) return minutes === 1 ? 'a minute' : `${minutes} minutes`;
  const hours = minutes / 60;
  return hours < 48 ? `${round(hours)} hours` : `${round(hours / 24)} days`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
