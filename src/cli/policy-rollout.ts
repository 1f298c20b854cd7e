import type { Activation } from '../pdp/policy-slots.ts';
import { SHADOW_OUTCOMES, type ShadowReport, type ShadowRow } from '../pdp/shadow-report.ts';
import { type Command, EXIT, type Terminal, parseCommandArgs, positionals } from './command.ts';
import { OPS_OPTIONS, askOps } from './ops-client.ts';

const USAGE = '[--config FILE] [--ops HOST:PORT] [--token-file FILE] [--json]';

/** `pdp policy shadow`: what the candidate of a running server would change. Exits with 1 where somebody would gain or lose access. */
export const policyShadow: Command = {
  name: 'policy shadow',
  usage: USAGE,
  summary: 'show who would gain and lose access by the candidate policies of a running server',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, OPS_OPTIONS);
    positionals(rest);
    const answer = await askOps('/shadow', values, terminal);
    if ('exit' in answer) return answer.exit;
    const report = answer.value as ShadowReport;
    terminal.out(values.json ? `${JSON.stringify(report)}\n` : reportText(report));
    return report.outcomes.would_gain + report.outcomes.would_lose > 0 ? EXIT.no : EXIT.ok;
  },
};

/** `pdp policy promote`: puts the candidate of a running server in force. */
export const policyPromote = swapCommand(
  'promote',
  'put the candidate policies of a running server in force; --digest: only if they are these',
);

/** `pdp policy rollback`: puts back in force what the newest promotion put out of it. */
export const policyRollback = swapCommand(
  'rollback',
  'undo the newest promotion at a running server; --digest: only if it leads back to these policies',
);

function swapCommand(verb: 'promote' | 'rollback', summary: string): Command {
  return {
    name: `policy ${verb}`,
    usage: `${USAGE.replace(' [--json]', '')} [--digest DIGEST] [--json]`,
    summary,
    async run(args, terminal: Terminal) {
      const options = { ...OPS_OPTIONS, digest: { type: 'string' } } as const;
      const { values, positionals: rest } = parseCommandArgs(args, options);
      positionals(rest);
      const { digest } = values;
      const body = digest === undefined ? {} : { digest };
      const answer = await askOps(`/policies/${verb}`, values, terminal, body);
      if ('exit' in answer) return answer.exit;
      const activation = answer.value as Activation;
      terminal.out(values.json ? `${JSON.stringify(activation)}\n` : activationText(activation));
      return EXIT.ok;
    },
  };
}

function activationText({ digest, before, slot, policies }: Activation): string {
  return `in force: ${policies} policies of ${slot}, ${digest}\nbefore:   ${before ?? 'none'}\n`;
}

const TITLES: Readonly<Record<string, string>> = { would_gain: 'WOULD GAIN', would_lose: 'WOULD LOSE' };

function reportText(report: ShadowReport): string {
  const { candidate = 'none loaded', active = 'none', since, compared, skipped, truncated, rows } = report;
  const counts = SHADOW_OUTCOMES.map((outcome) => `${outcome} ${report.outcomes[outcome]}`).join(', ');
  const lines = [
    `candidate  ${candidate}`,
    `in force   ${active}`,
    `compared   ${compared} checks since ${since}${skipped > 0 ? `; ${skipped} SKIPPED, too many waited` : ''}`,
    `           ${counts}`,
  ];
  if (rows.length > 0) lines.push('', ...tableOf(rows));
  if (truncated) lines.push('', 'There are more kinds of change than these rows.');
  return `${lines.join('\n')}\n`;
}

function tableOf(rows: readonly ShadowRow[]): string[] {
  const head = [
    'CHECKS',
    'CHANGE',
    'PRINCIPAL',
    'ACTION',
    'RESOURCE',
    'POLICIES',
    'WAS -> WOULD BE',
    'EXAMPLE',
  ];
  const cells = rows.map((row) => [
    String(row.count),
    TITLES[row.outcome] ?? row.outcome,
    plain(row.principal),
    plain(row.action),
    plain(row.resource_type),
    plain(row.policies.join(' ')),
    plain(`${row.was} -> ${row.would_be}`),
    plain(row.example),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...cells].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Names come from requests: nothing in them may steer the terminal. */
function plain(text: string): string {
  return text === '' ? '-' : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}
