import { escapeMarkup } from '../../pdp/markup.ts';
import { type Tone, countText } from './page.ts';

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly tone: Tone;
}

const [WIDTH, ROW, LABEL, NUMBER] = [960, 26, 360, 110];
const MAX_LABEL = 56;

/** Bars beside one another, as inline SVG; the longest fills the width. '' where there are none. */
export function barChart(bars: readonly Bar[], label: string): string {
  if (bars.length === 0) return '';
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const room = WIDTH - LABEL - NUMBER;
  const rows = bars.map(({ label: name, value, tone }, i) => {
    const length = value === 0 ? 0 : Math.max(2, Math.round((value / most) * room));
    const shown = name.length > MAX_LABEL ? `${name.slice(0, MAX_LABEL - 1)}…` : name;
    return `<g transform="translate(0 ${i * ROW})"><title>${escapeMarkup(name)}: ${countText(value)}</title>
<text x="${LABEL - 10}" y="17" text-anchor="end">${escapeMarkup(shown)}</text>
<rect x="${LABEL}" y="4" width="${length}" height="${ROW - 8}" rx="3" style="fill:var(--${tone})"/>
<text x="${LABEL + length + 8}" y="17">${countText(value)}</text></g>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${bars.length * ROW}" role="img" aria-label="${escapeMarkup(label)}">
${rows.join('\n')}
</svg>`;
}
