import { existsSync, readFileSync } from 'node:fs';
import { identityVkeyPath } from '../audit/seal/log-identity.ts';
import { parseVerifierKey, verifierKeyText } from '../audit/tlog/note-key.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import { CONFIG_OPTION, type Command, EXIT, auditDirFor, parseCommandArgs } from './command.ts';
import { overLogs } from './over-logs.ts';

const OPTIONS = { ...CONFIG_OPTION, json: { type: 'boolean' } } as const;

/** `pdp audit key [DIR]`: the verifier key of a decision log. */
export const auditKey: Command = overLogs(
  {
    name: 'audit key',
    usage: '[DIR] [--json] [--config FILE]',
    summary: 'print the key that a decision log is verified with; DIR defaults to the configured one',
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, OPTIONS);
      if (positionals.length > 1)
        throw new InputError('bad usage:', [{ where: 'pdp', message: 'expected one DIR at most' }]);
      const dir = positionals[0] ?? auditDirFor(values.config, terminal);
      const { name, vkey } = keyOf(dir);
      terminal.out(values.json ? `${JSON.stringify({ log: name, vkey })}\n` : `${vkey}\n`);
      if (!values.json) terminal.err(EXPLANATION);
      return EXIT.ok;
    },
  },
  { options: OPTIONS, data: true },
);

/** On stderr, so that the key alone can be written to a file. */
const EXPLANATION = `
This is the public half of the log's identity key. It vouches for the keys that sign the checkpoints, and so for every record.
Keep a copy where those who run the log cannot change it, from the first day on: \`pdp audit verify\` proves something to
others only with a key that does not come from the log itself. It is no secret.
Its private half is the file that audit.keys.identity_file names. Keep that secret, and apart from the log; it is read at
the start and whenever a new signing key is made (audit.keys.epoch_hours).
`;

function keyOf(dir: string): { readonly name: string; readonly vkey: string } {
  const path = identityVkeyPath(dir);
  if (!existsSync(path))
    throw refused(path, 'is not there: the log was never sealed; start `pdp serve` once, or give its folder');
  try {
    const key = parseVerifierKey(readFileSync(path, 'utf8'));
    return { name: key.name, vkey: verifierKeyText(key) };
  } catch (error) {
    throw refused(path, messageOf(error));
  }
}

function refused(where: string, message: string): InputError {
  return new InputError('there is no key to print:', [{ where, message }]);
}
