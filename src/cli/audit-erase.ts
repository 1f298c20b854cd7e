import { type Erased, LogBusyError, eraseSubject } from '../audit/privacy/erase.ts';
import { readPrivacyKey } from '../audit/privacy/key-file.ts';
import { createPseudonyms } from '../audit/privacy/pseudonyms.ts';
import { DirLockedError } from '../audit/log/dir-lock.ts';
import { InputError } from '../pdp/errors.ts';
import { SUBJECT_KINDS } from '../pdp/subject-key.ts';
import { CONFIG_OPTION, type Command, EXIT, type Terminal, configFor, parseCommandArgs } from './command.ts';
import { overLogs } from './over-logs.ts';

interface Subject {
  readonly kind: string;
  readonly id: string;
}

interface Options {
  readonly dir: string;
  readonly subject: Subject;
  readonly pseudonyms: readonly [string, ...string[]];
  readonly reason: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const OPTIONS = {
  ...CONFIG_OPTION,
  subject: { type: 'string' },
  reason: { type: 'string' },
  'key-file': { type: 'string', multiple: true },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

/** `pdp audit erase [DIR]`: erases what the log holds in clear about a person or a thing of theirs. */
export const auditErase: Command = overLogs(
  {
    name: 'audit erase',
    usage: '[DIR] --subject KIND:ID --reason TEXT [--key-file FILE]... [--dry-run] [--json] [--config FILE]',
    summary:
      'erase what the decision log keeps in clear about a subject, e.g. user:staff/alice; its lines and proofs stay',
    async run(args, terminal) {
      const { json, ...options } = optionsOf(args, terminal);
      try {
        const { kind } = options.subject;
        const erased = await eraseSubject({ ...options, kind, onProgress: progress(terminal) });
        terminal.out(
          json ? `${JSON.stringify({ ...erased, dry_run: options.dryRun })}\n` : text(erased, options),
        );
        return EXIT.ok;
      } catch (error) {
        if (!(error instanceof LogBusyError || error instanceof DirLockedError)) throw error;
        terminal.err(`pdp: ${error.message}\n`);
        return EXIT.unchecked;
      }
    },
  },
  { options: OPTIONS },
);

function optionsOf(args: readonly string[], terminal: Terminal): Options {
  const { values, positionals } = parseCommandArgs(args, OPTIONS);
  if (positionals.length > 1) throw usage('DIR', `expected one folder, got ${positionals.join(' ')}`);
  const subject = subjectOf(values.subject);
  const dryRun = values['dry-run'] === true;
  const reason = reasonOf(values.reason, subject, dryRun);
  const given = values['key-file'] ?? [];
  // Who says where the log is and which keys it has needs no configuration.
  const configured = positionals.length === 0 || given.length === 0 || values.config !== undefined;
  const audit = configured ? configFor(values.config, terminal).audit : undefined;
  const files = [...(audit?.privacy ? [audit.privacy.key_file] : []), ...given];
  const [first, ...others] = files.map((file) => pseudonymOf(subject, file));
  if (first === undefined)
    throw usage('--key-file', 'audit.privacy is not configured: say which key the log was written with');
  return {
    dir: positionals[0] ?? audit?.dir ?? '',
    subject,
    pseudonyms: [first, ...others],
    reason,
    dryRun,
    json: values.json === true,
  };
}

const ENTITY_TYPE = String.raw`[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+`;
const SUBJECT = new RegExp(`^(${SUBJECT_KINDS.join('|')}|${ENTITY_TYPE}):(?!:)(.+)$`, 's');

function subjectOf(text: string | undefined): Subject {
  const [, kind, id] = SUBJECT.exec(text ?? '') ?? [];
  if (kind === undefined || id === undefined)
    throw usage(
      '--subject',
      'must be KIND:ID, e.g. user:staff/alice, device:mdm/laptop-7 or Clinic::Patient:p-17',
    );
  return { kind, id };
}

function pseudonymOf({ kind, id }: Subject, file: string): string {
  return createPseudonyms({ key: readPrivacyKey(file), epoch: 0, kinds: [] }).of(kind, id);
}

const MAX_REASON = 200;
/** Shorter ids are in too many words. */
const MIN_NAME = 3;

/** It stays in the log, which the subject has just left. */
function reasonOf(text: string | undefined, { id }: Subject, dryRun: boolean): string {
  if (text === undefined && dryRun) return '';
  if (text === undefined || text.trim() === '' || text.length > MAX_REASON)
    throw usage(
      '--reason',
      `needs words, at most ${MAX_REASON} characters, e.g. a ticket: they stay in the log`,
    );
  const name = id.slice(id.lastIndexOf('/') + 1);
  if (name.length >= MIN_NAME && text.includes(name))
    throw usage('--reason', 'names the subject, and stays in the log: say it without');
  return text;
}

function usage(where: string, message: string): InputError {
  return new InputError('bad usage:', [{ where, message }]);
}

function progress(terminal: Terminal): (done: number, all: number) => void {
  return (done, all) => {
    if (terminal.interactive) terminal.err(`\r${done} of ${all} packs …${done === all ? '\r\u001B[K' : ''}`);
  };
}

function text(
  { subject, erasure, packs, blobs }: Erased,
  { dir, dryRun }: Pick<Options, 'dir' | 'dryRun'>,
): string {
  const amount = `${blobs} values in ${packs} packs`;
  const outcome =
    blobs === 0
      ? 'nothing is kept of it'
      : dryRun
        ? `${amount} would be erased`
        : `${amount} erased, as ${erasure}`;
  return `log      ${dir}\nsubject  ${subject}\nresult   ${outcome}\n`;
}
