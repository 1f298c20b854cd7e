import { type Report, perSecond, ratiosOf, us } from './report.ts';
import type { Measured, ScenarioResult } from './scenario.ts';

const WIDTH = 760;
const HEIGHT = 300;
const LEFT = 70;
const BOTTOM = 40;
const TOP = 16;
const RIGHT = 16;
const NINES = 3;

/** Shared by all pages. */
export const STYLE = `
:root { color-scheme: light dark; --fg: #1b1f24; --bg: #fff; --soft: #d0d7de; --noop: #6e7781; --pdp: #0969da; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6edf3; --bg: #0d1117; --soft: #30363d; --noop: #8b949e; --pdp: #58a6ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); max-width: 820px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .25rem .75rem; border-bottom: 1px solid var(--soft); text-align: right; }
td:first-child, th:first-child { text-align: left; } svg { width: 100%; height: auto; } svg text { fill: var(--fg); font-size: 12px; }
.grid { stroke: var(--soft); } .noop { stroke: var(--noop); } .pdp { stroke: var(--pdp); } .line { fill: none; stroke-width: 2; }
.bar.noop { fill: var(--noop); stroke: none; } .bar.pdp { fill: var(--pdp); stroke: none; }`;

/** `bench/results.html`: one file, no script, nothing fetched. */
export function htmlReport(report: Report): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>cedar-pdp benchmark</title>
<style>${STYLE}</style>
<h1>cedar-pdp benchmark</h1>
<p>Commit ${escape(report.commit)}, ${escape(report.when)}, Node.js ${escape(report.node)}, ${escape(report.cpu)}, ${report.cores} cores.
The PDP beside a no-op grpc-js server that is given the same bytes; ${report.pinned ? 'one core each for server and generator' : 'processes not pinned'}.</p>
<h2>Numbers to reach</h2>
${reachTable(report)}
${report.scenarios.map(section).join('\n')}
</html>
`;
}

function reachTable({ reach }: Report): string {
  const rows = reach.map(
    ({ what, reach: goal, figure, verdict }) =>
      `<tr><td>${escape(what)}<td>${escape(goal)}<td>${escape(figure)}<td>${verdict}</tr>`,
  );
  return `<table><tr><th>what<th>reach<th>figure<th></tr>${rows.join('\n')}</table>`;
}

function stageRows({ stages }: ScenarioResult): string {
  const rows = stages.map(
    ({ stage, mean, share }) =>
      `<tr><td>${escape(stage)}<td>${mean.toFixed(1)} µs<td>${Math.round(share * 100)} %</tr>`,
  );
  return `<table><tr><th>stage<th>mean<th>share</tr>${rows.join('\n')}</table>`;
}

function section(scenario: ScenarioResult): string {
  const { name, description, rate, noop, pdp } = scenario;
  const ratio = ratiosOf(scenario);
  const keys = ['p50', 'p90', 'p99', 'p999'] as const;
  const rows = keys.map(
    (key) =>
      `<tr><td>${key === 'p999' ? 'p99.9' : key}<td>${us(noop.latency[key])}<td>${us(pdp.latency[key])}<td>${ratio[key].toFixed(2)}</tr>`,
  );
  return `<h2>${escape(name)}</h2>
<p>${escape(description)}</p>
${bars(noop, pdp)}
<p>Latency at ${perSecond(rate)}, half of the PDP's saturation, open loop:</p>
${curves(noop, pdp)}
<table><tr><th><th>no-op<th>PDP<th>ratio</tr>
<tr><td>saturation<td>${perSecond(noop.throughput)}<td>${perSecond(pdp.throughput)}<td>${ratio.throughput.toFixed(2)}</tr>
<tr><td>CPU for each answer<td>${us(noop.cpuUs)}<td>${us(pdp.cpuUs)}<td>${ratio.cpu.toFixed(2)}</tr>
${rows.join('\n')}</table>
${stageRows(scenario)}`;
}

function bars(noop: Measured, pdp: Measured): string {
  const most = Math.max(noop.throughput, pdp.throughput);
  const bar = (label: string, kind: string, y: number, value: number) => {
    const width = ((WIDTH - LEFT - 110) * value) / most;
    return `<text x="${LEFT - 8}" y="${y + 17}" text-anchor="end">${label}</text><rect class="bar ${kind}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="24"/><text x="${(LEFT + width + 6).toFixed(1)}" y="${y + 17}">${perSecond(value)}</text>`;
  };
  return `<svg viewBox="0 0 ${WIDTH} 64" role="img" aria-label="Throughput at saturation">${bar('no-op', 'noop', 4, noop.throughput)}${bar('PDP', 'pdp', 34, pdp.throughput)}</svg>`;
}

/** Percentiles on a scale of nines, microseconds on a logarithmic one. */
function curves(noop: Measured, pdp: Measured): string {
  const values = [...noop.curve, ...pdp.curve].map(([, value]) => Math.max(1, value));
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const x = (p: number) => LEFT + ((WIDTH - LEFT - RIGHT) * -Math.log10(1 - p)) / NINES;
  const y = (value: number) =>
    HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (Math.log10(Math.max(1, value)) - low)) / (high - low);
  const line = ({ curve }: Measured, kind: string) =>
    `<polyline class="line ${kind}" points="${curve.map(([p, value]) => `${x(p).toFixed(1)},${y(value).toFixed(1)}`).join(' ')}"/>`;
  const decades = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  const horizontal = decades.map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text x="${LEFT - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${us(value)}</text>`,
  );
  const vertical = [0, 0.5, 0.9, 0.99, 0.999].map(
    (p) =>
      `<line class="grid" x1="${x(p).toFixed(1)}" x2="${x(p).toFixed(1)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${x(p).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">p${p * 100}</text>`,
  );
  const legend = `<rect class="bar noop" x="${LEFT + 12}" y="${TOP + 6}" width="16" height="4"/><text x="${LEFT + 34}" y="${TOP + 12}">no-op</text><rect class="bar pdp" x="${LEFT + 12}" y="${TOP + 24}" width="16" height="4"/><text x="${LEFT + 34}" y="${TOP + 30}">PDP</text>`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Latency by percentile">${horizontal.join('')}${vertical.join('')}${line(noop, 'noop')}${line(pdp, 'pdp')}${legend}</svg>`;
}

/** Text for HTML. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
