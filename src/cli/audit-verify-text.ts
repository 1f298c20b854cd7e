import { harmless } from '../audit/query/row.ts';
import type { EvidenceResult } from '../audit/export/evidence-check.ts';
import type { LogProblem } from '../audit/verify/findings.ts';
import type { Evidence, VerifyReport } from '../audit/verify/report.ts';

/** What `audit verify` prints of a log. */
export function verifyText(dir: string, report: VerifyReport): string {
  const { problems, problemCount } = report;
  const more = problemCount - problems.length;
  const lines = [
    `log           ${report.log ?? '-'} (${dir})`,
    `records       ${counts(report)}`,
    `indexes       ${report.firstIndex ?? '-'} to ${report.lastIndex ?? '-'}`,
    `signed        ${signed(report)}`,
    ...(report.reconciled > 0 ? [`access log    ${report.reconciled} lines compared`] : []),
    ...SEVERITIES.flatMap((each) => problems.filter(({ severity }) => severity === each)).map(problemLine),
    ...(more > 0 ? [`              … and ${more} more`] : []),
    ...(report.integrity === 'ok' ? worth(report.evidence) : []),
    `INTEGRITY:    ${VERDICTS[report.integrity]}`,
    `COMPLETENESS: ${VERDICTS[report.completeness]}`,
  ];
  return `${lines.map(harmless).join('\n')}\n`;
}

/** What matters most comes first. */
const SEVERITIES = ['failed', 'unchecked', 'note'] as const;

const VERDICTS = { ok: 'OK', failed: 'FAILED', not_checked: 'NOT CHECKED' } as const;

function counts({ records, segments, blobs, byKind }: VerifyReport): string {
  const kinds = Object.entries(byKind).map(([kind, count]) => `${count} ${kind}`);
  return `${records} in ${segments} segments, with ${blobs} blobs (${kinds.join(', ')})`;
}

function signed({ sealed, unsealed, checkpoints }: VerifyReport): string {
  if (!sealed) return 'nothing: there is no checkpoint that can be trusted';
  const since = unsealed === 0 ? '' : `; ${unsealed} after that are not signed yet`;
  return `the first ${sealed.size}, at ${new Date(sealed.time).toISOString()} (compared with ${checkpoints} checkpoints)${since}`;
}

function worth({ identityKey, olderCheckpoint }: Evidence): readonly string[] {
  return [
    identityKey === 'given'
      ? 'evidence      the key that you gave vouches for what signed this log'
      : "evidence      warning: checked with the folder's own key: this proves only that the log agrees with itself (--vkey gives the right one)",
    olderCheckpoint
      ? 'evidence      it goes on from the checkpoint that you gave: nothing before that was changed since'
      : 'evidence      no older checkpoint was given (--checkpoint): whoever holds its keys could have written the log anew as a whole',
  ];
}

function problemLine({ severity, message, file, line }: LogProblem): string {
  const where = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
  return `${LABELS[severity]}       ${where}${message}`;
}

const LABELS = { failed: 'problem', unchecked: 'unknown', note: 'note   ' };

/** What `audit verify --evidence` prints. */
export function evidenceText(
  file: string,
  { integrity, problems, proves, identityKey }: EvidenceResult,
): string {
  const lines = [
    `evidence      ${file}`,
    ...problems.map((problem) => `problem       ${problem}`),
    ...proves.map((sentence) => `proves        ${sentence}`),
    ...(integrity === 'ok' && identityKey === 'file'
      ? [
          "warning       checked with the file's own key: it proves only that the file agrees with itself. Give the log's key: --vkey",
        ]
      : []),
    `INTEGRITY:    ${VERDICTS[integrity]}`,
  ];
  return `${lines.map(harmless).join('\n')}\n`;
}
