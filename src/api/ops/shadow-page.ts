import { escapeMarkup } from '../../pdp/markup.ts';
import {
  SHADOW_OUTCOMES,
  type ShadowOutcome,
  type ShadowReport,
  type ShadowRow,
} from '../../pdp/shadow-report.ts';

const STYLE = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --warn: #bf8700; --line: #8884; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; } td.count, th.count { text-align: right; }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.dim { color: var(--dim); } .bad { color: var(--bad); font-weight: 600; }
svg text { font: 13px system-ui, sans-serif; fill: currentColor; }`;

const LOOK: Readonly<Record<ShadowOutcome, { readonly title: string; readonly colour: string }>> = {
  would_gain: { title: 'would gain access', colour: 'var(--warn)' },
  would_lose: { title: 'would lose access', colour: 'var(--bad)' },
  reclassified: { title: 'same verdict, for another reason', colour: 'var(--dim)' },
  failed: { title: 'the candidate could not answer', colour: 'var(--bad)' },
  unchanged: { title: 'unchanged', colour: 'var(--good)' },
};

/** What a candidate would change, as one HTML page that needs nothing else and runs no script. */
export function shadowPage(report: ShadowReport): string {
  const { candidate = 'none loaded', active = 'none', since, compared, skipped, truncated } = report;
  const limits = [
    skipped > 0 ? `<p class="bad">${skipped} checks were not compared: too many waited.</p>` : '',
    truncated ? '<p class="bad">There are more kinds of change than these tables hold.</p>' : '',
  ];
  const tables = (['would_lose', 'would_gain', 'failed', 'reclassified'] as const).map((outcome) =>
    section(outcome, report.rows),
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Candidate policies in shadow</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Candidate policies in shadow</h1>
<p>candidate <code>${escapeMarkup(candidate)}</code><br>in force <code>${escapeMarkup(active)}</code></p>
<p>${compared} checks compared since ${escapeMarkup(since)}; nobody acts on what the candidate says.</p>
${limits.join('')}
${bars(report)}
${tables.join('\n')}
</body>
</html>
`;
}

function bars({ outcomes, compared }: ShadowReport): string {
  const rows = SHADOW_OUTCOMES.map((outcome, index) => {
    const { title, colour } = LOOK[outcome];
    const count = outcomes[outcome];
    // What happened at all stays visible beside a million checks that did not change.
    const width = count === 0 ? 0 : Math.max(2, (count / compared) * 400);
    const y = index * 26;
    return `<text x="0" y="${y + 15}">${title}</text><rect x="230" y="${y + 4}" width="400" height="14" rx="3" fill="var(--line)"/><rect x="230" y="${y + 4}" width="${width.toFixed(1)}" height="14" rx="3" style="fill:${colour}"/><text x="640" y="${y + 15}">${count}</text>`;
  });
  const height = SHADOW_OUTCOMES.length * 26;
  return `<svg viewBox="0 0 760 ${height}" width="760" height="${height}" role="img" aria-label="outcomes">${rows.join('')}</svg>`;
}

function section(outcome: ShadowOutcome, all: readonly ShadowRow[]): string {
  const rows = all.filter((row) => row.outcome === outcome);
  if (rows.length === 0) return '';
  return `<h2>${rows.length} × ${LOOK[outcome].title}</h2>
<table>
<thead><tr><th class="count">checks</th><th>principal</th><th>action</th><th>resource type</th><th>policies</th><th>was → would be</th><th>example</th></tr></thead>
<tbody>
${rows.map(rowOf).join('\n')}
</tbody>
</table>`;
}

function rowOf(row: ShadowRow): string {
  const policies = row.policies.map((id) => code(id)).join('<br>') || '<span class="dim">none</span>';
  const change = `${escapeMarkup(row.was)} → ${escapeMarkup(row.would_be)}`;
  return `<tr><td class="count">${row.count}</td><td>${code(row.principal)}</td><td>${code(row.action)}</td><td>${code(row.resource_type)}</td><td>${policies}</td><td>${change}</td><td>${code(row.example)}</td></tr>`;
}

function code(text: string): string {
  return text === '' ? '<span class="dim">none</span>' : `<code>${escapeMarkup(text)}</code>`;
}
