import { basename } from 'node:path';
import { escapeMarkup } from '../pdp/markup.ts';
import type { CaseResult, Coverage, Report, SetReport } from './report.ts';
import { neverText } from './report-table.ts';

const STYLE = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --line: #8884; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; }
code, pre, .ids { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.ok { color: var(--good); font-weight: 600; } .fail { color: var(--bad); font-weight: 600; }
.dim { color: var(--dim); } dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .3rem 0; }
dd { margin: 0; } svg { vertical-align: middle; } .bars td { border: 0; padding: .1rem .6rem .1rem 0; width: auto; }
.bars table { width: auto; }`;

/** The report as one HTML page that needs nothing else: a table for each policy set, and bars for its coverage. */
export function htmlReport(report: Report): string {
  const { sets, passed, failed, durationMs } = report;
  const verdict =
    failed === 0 ? '<span class="ok">all passed</span>' : `<span class="fail">${failed} failed</span>`;
  const seconds = (durationMs / 1000).toFixed(2);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Policy tests</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Policy tests</h1>
<p>${sets.length} policy sets, ${passed + failed} tests: ${passed} passed, ${verdict}, in ${seconds} s</p>
${sets.map(setSection).join('\n')}
</body>
</html>
`;
}

function setSection({ name, digest, warnings, cases, coverage }: SetReport): string {
  const told = warnings.map((warning) => `<p class="fail">warning: ${escapeMarkup(warning)}</p>`);
  const rows = cases.map(caseRow).join('\n');
  return `<section>
<h2>${escapeMarkup(name)}</h2>
<p class="dim"><code>${escapeMarkup(digest)}</code></p>
${told.join('\n')}${coverage ? coverageBlock(coverage) : ''}
<table>
<thead><tr><th>result</th><th>test</th><th>decision</th><th>determining policies</th></tr></thead>
<tbody>
${rows}
</tbody>
</table>
</section>`;
}

function caseRow({ name, passed, mismatches, outcome, explanation }: CaseResult): string {
  const mark = passed ? '<span class="ok">ok</span>' : '<span class="fail">FAIL</span>';
  const { decision, reason, message, detail, policies } = outcome;
  const told = [...(passed ? [] : mismatchItems(mismatches)), ...item('detail', passed ? undefined : detail)];
  const why =
    explanation === undefined
      ? ''
      : `<details><summary>explanation</summary><pre>${escapeMarkup(explanation)}</pre></details>`;
  const more = (told.length === 0 ? '' : `<dl>${told.join('')}</dl>`) + why;
  const words = [reason, message].filter((word) => word !== undefined).map(escapeMarkup);
  return `<tr><td>${mark}</td><td>${escapeMarkup(name)}${more}</td><td>${decision}<br><span class="dim">${words.join('<br>')}</span></td><td class="ids">${policies.map(escapeMarkup).join('<br>') || '<span class="dim">none</span>'}</td></tr>`;
}

function mismatchItems(mismatches: CaseResult['mismatches']): string[] {
  return mismatches.flatMap(({ field, expected, actual }) => [
    ...item(`${field}, expected`, expected),
    ...item(`${field}, actual`, actual),
  ]);
}

function item(term: string, value: string | undefined): string[] {
  return value === undefined
    ? []
    : [`<dt class="dim">${escapeMarkup(term)}</dt><dd>${escapeMarkup(value)}</dd>`];
}

function coverageBlock({ policyPercent, conditionPercent, undetermined, conditions }: Coverage): string {
  const gaps = [
    ...undetermined.map((id) => `<li><code>${escapeMarkup(id)}</code> determined no decision</li>`),
    ...conditions.flatMap(({ policy, kind, text, sawTrue, sawFalse, file, line }) => {
      const never = neverText(sawTrue, sawFalse);
      const place = `${basename(file)}:${line}`;
      const condition = `${policy} ${kind} { ${text} }`;
      return never === ''
        ? []
        : [
            `<li><code>${escapeMarkup(condition)}</code> ${never} <span class="dim">${escapeMarkup(place)}</span></li>`,
          ];
    }),
  ];
  const list =
    gaps.length === 0
      ? ''
      : `<details><summary>${gaps.length} not covered</summary><ul>${gaps.join('')}</ul></details>`;
  return `<div class="bars"><table><tr><td>policies</td><td>${bar(policyPercent)}</td></tr><tr><td>conditions</td><td>${bar(conditionPercent)}</td></tr></table>${list}</div>`;
}

function bar(percent: number): string {
  const colour = percent === 100 ? 'var(--good)' : percent < 50 ? 'var(--bad)' : '#bf8700';
  return `<svg width="200" height="12" role="img" aria-label="${percent} %"><rect width="200" height="12" rx="3" fill="var(--line)"/><rect width="${percent * 2}" height="12" rx="3" style="fill:${colour}"/></svg> ${percent} %`;
}
