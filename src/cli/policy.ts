import { relative } from 'node:path';
import { compileSnapshot } from '../pdp/compile-snapshot.ts';
import { InputError, problemText } from '../pdp/errors.ts';
import { readPolicyTexts } from '../pdp/policy-source.ts';
import { type Command, EXIT, parseCommandArgs } from './command.ts';

/** `pdp policy validate DIR…`: validates policy sets as the server would load them. */
export const policyValidate: Command = {
  name: 'policy validate',
  usage: 'DIR…',
  summary: 'validate policy sets against their schema, in strict mode',
  async run(args, terminal) {
    const { snapshot, warnings } = compileSnapshot(readPolicyTexts(folders(args)), Date.now());
    for (const warning of warnings)
      terminal.err(`warning: ${problemText({ ...warning, where: relative('', warning.where) })}\n`);
    terminal.out(`valid: ${snapshot.policyIds.length} policies, ${snapshot.digest}\n`);
    return EXIT.ok;
  },
};

/** `pdp policy digest DIR…`: the digest that records and answers name the snapshot by. */
export const policyDigest: Command = {
  name: 'policy digest',
  usage: 'DIR…',
  summary: 'print the snapshot digest of policy sets',
  async run(args, terminal) {
    terminal.out(`${compileSnapshot(readPolicyTexts(folders(args)), Date.now()).snapshot.digest}\n`);
    return EXIT.ok;
  },
};

function folders(args: readonly string[]): string[] {
  const { positionals } = parseCommandArgs(args, {});
  if (positionals.length > 0) return positionals;
  throw new InputError('bad usage:', [{ where: 'pdp', message: 'expected at least one policy set folder' }]);
}
