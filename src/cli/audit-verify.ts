import type { LogProblem, VerifyReport } from '../audit/verify/log-check.ts';
import { verifyLog } from '../audit/verify/verify.ts';
import { CONFIG_OPTION, type Command, EXIT, type Terminal, configFor, parseCommandArgs } from './command.ts';

/** `pdp audit verify [DIR]`: whether every record of a decision log is there. */
export const auditVerify: Command = {
  name: 'audit verify',
  usage: '[DIR] [--access-log FILE] [--json] [--config FILE]',
  summary: 'check that a decision log is complete; DIR defaults to the configured one',
  async run(args, terminal) {
    const { values, positionals } = parseCommandArgs(args, {
      ...CONFIG_OPTION,
      'access-log': { type: 'string' },
      json: { type: 'boolean' },
    });
    const dir = positionals[0] ?? configFor(values.config, terminal).audit.dir;
    const accessLog = values['access-log'];
    const report = await verifyLog(dir, {
      ...(accessLog !== undefined && { accessLog }),
      onProgress: progress(terminal),
    });
    terminal.out(values.json ? `${JSON.stringify(report)}\n` : text(dir, report));
    return report.completeness === 'ok' ? EXIT.ok : EXIT.no;
  },
};

function progress(terminal: Terminal): (records: number) => void {
  return (records) => {
    if (terminal.interactive) terminal.err(`\r${records} records …`);
  };
}

function text(dir: string, report: VerifyReport): string {
  const kinds = Object.entries(report.byKind).map(([kind, count]) => `${count} ${kind}`);
  const lines = [
    `log           ${dir}`,
    `records       ${report.records} in ${report.segments} segments (${kinds.join(', ')})`,
    `indexes       ${report.firstIndex ?? '-'} to ${report.lastIndex ?? '-'}`,
    ...(report.reconciled > 0 ? [`access log    ${report.reconciled} lines compared`] : []),
    ...report.problems.map(problemLine),
    `COMPLETENESS  ${report.completeness === 'ok' ? 'OK' : 'FAILED'}`,
    'INTEGRITY     NOT CHECKED (records are not signed in this version)',
  ];
  return `${lines.join('\n')}\n`;
}

function problemLine({ severity, message, file, line }: LogProblem): string {
  const where = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
  return `${severity === 'failed' ? 'problem' : 'note   '}       ${where}${message}`;
}
