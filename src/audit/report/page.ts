import { escapeMarkup } from '../../pdp/markup.ts';

/** What a colour says. */
export type Tone = 'good' | 'bad' | 'warn' | 'dim';

/** A figure that the eye should meet first. */
export interface Figure {
  readonly value: string;
  readonly label: string;
  readonly tone?: Tone;
}

/** One page that needs nothing else. */
export interface Page {
  readonly title: string;
  /** The outcome in one sentence. */
  readonly verdict: { readonly text: string; readonly tone: Tone };
  /** What it is about: log, time, versions. */
  readonly about: readonly (readonly [term: string, value: string])[];
  readonly figures: readonly Figure[];
  /** HTML. */
  readonly sections: readonly string[];
}

const STYLE = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --warn: #bf8700; --dim: #8b949e; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
.verdict { font-size: 1.15rem; font-weight: 600; margin: .2rem 0 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .dim { color: var(--dim); }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem; min-width: 8rem; }
.figures b { display: block; font-size: 1.5rem; line-height: 1.2; } .figures span { color: var(--dim); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .3rem 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; } td { overflow-wrap: anywhere; } td.number { overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; } svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.legend { color: var(--dim); margin: .2rem 0; } .legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
@media print { body { margin: 0; } }`;

/** Writes the page. Only `sections` is taken as HTML; everything else is escaped. */
export function htmlPage({ title, verdict, about, figures, sections }: Page): string {
  const facts = about.map(([term, value]) => `<dt>${escapeMarkup(term)}</dt><dd>${escapeMarkup(value)}</dd>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeMarkup(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeMarkup(title)}</h1>
<p class="verdict ${verdict.tone}">${escapeMarkup(verdict.text)}</p>
<dl>${facts.join('')}</dl>
<div class="figures">${figures.map(figureBlock).join('')}</div>
${sections.join('\n')}
</body>
</html>
`;
}

function figureBlock({ value, label, tone }: Figure): string {
  return `<div><b${tone ? ` class="${tone}"` : ''}>${escapeMarkup(value)}</b><span>${escapeMarkup(label)}</span></div>`;
}

/** A section with a heading; `html` is taken as it is. */
export function htmlSection(heading: string, html: string): string {
  return `<section>\n<h2>${escapeMarkup(heading)}</h2>\n${html}\n</section>`;
}

/** A table; cells are escaped. Columns whose heading begins with `#` hold numbers. */
export function htmlTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const kinds = headings.map((heading) => (heading.startsWith('#') ? ' class="number"' : ''));
  const head = headings.map((text, i) => `<th${kinds[i] ?? ''}>${escapeMarkup(text.replace(/^#/, ''))}</th>`);
  const body = rows.map(
    (cells) =>
      `<tr>${cells.map((cell, i) => `<td${kinds[i] ?? ''}>${escapeMarkup(cell)}</td>`).join('')}</tr>`,
  );
  return `<table>\n<thead><tr>${head.join('')}</tr></thead>\n<tbody>\n${body.join('\n')}\n</tbody>\n</table>`;
}

/** A count with its thousands apart: `1 234 567`, with narrow spaces. */
export function countText(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, '\u202F');
}
