import { accessSync, constants, readFileSync } from 'node:fs';
import type { VerifyReport } from '../audit/verify/report.ts';
import { verifyLog } from '../audit/verify/verify.ts';
import { checkEvidence } from '../audit/export/evidence-check.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import { evidenceText, verifyText } from './audit-verify-text.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';
import { progressLine } from './progress-line.ts';
import { vkeyOf } from './vkey.ts';

const OPTIONS = {
  ...CONFIG_OPTION,
  vkey: { type: 'string' },
  checkpoint: { type: 'string' },
  'access-log': { type: 'string' },
  evidence: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** `pdp audit verify [DIR]`: whether a decision log is as it was signed, and whether all of it is there. */
export const auditVerify: Command = overLogs(
  {
    name: 'audit verify',
    usage:
      '[DIR] [--vkey KEY] [--checkpoint FILE] [--access-log FILE] [--evidence FILE] [--json] [--config FILE]',
    summary: 'check that a decision log was not changed and is complete; DIR defaults to the configured one',
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, OPTIONS);
      if (positionals.length > 1) throw usage('expected one folder at most');
      const { json = false } = values;
      if (values.evidence !== undefined) return verifyEvidence(values.evidence, values.vkey, json, terminal);
      const dir = positionals[0] ?? auditDirFor(values.config, terminal);
      const accessLog = values['access-log'];
      const progress = progressLine(terminal, 'records');
      const report = await verifyLog(dir, {
        ...(values.vkey !== undefined && { identity: vkeyOf(values.vkey) }),
        ...(values.checkpoint !== undefined && { older: textOf(values.checkpoint, '--checkpoint') }),
        ...(accessLog !== undefined && { accessLog: readable(accessLog) }),
        onProgress: (records, total) => progress.show(records, total),
      });
      progress.end();
      terminal.out(json ? `${JSON.stringify(report)}\n` : verifyText(dir, report));
      return exitCode(report);
    },
  },
  { options: OPTIONS, without: ['evidence'], single: ['checkpoint', 'access-log'], judges: true },
);

function exitCode({ integrity, completeness }: VerifyReport): number {
  if (integrity === 'failed' || completeness === 'failed') return EXIT.no;
  return integrity === 'ok' ? EXIT.ok : EXIT.unchecked;
}

function verifyEvidence(file: string, vkey: string | undefined, json: boolean, terminal: Terminal): number {
  const result = checkEvidence(textOf(file, '--evidence'), vkey === undefined ? undefined : vkeyOf(vkey));
  terminal.out(json ? `${JSON.stringify(result)}\n` : evidenceText(file, result));
  return result.integrity === 'ok' ? EXIT.ok : EXIT.no;
}

function textOf(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`${option}: ${messageOf(error)}`);
  }
}

/** The file, once it is known that it can be read. */
function readable(file: string): string {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw usage(`--access-log: ${messageOf(error)}`);
  }
  return file;
}

function usage(message: string): InputError {
  return new InputError('bad usage:', [{ where: 'pdp audit verify', message }]);
}
