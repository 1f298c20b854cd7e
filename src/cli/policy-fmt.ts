import { CedarChecker } from '../pdp/cedar.ts';
import { InputError, type Problem } from '../pdp/errors.ts';
import { formatPolicyFile, policyFiles } from './format-policies.ts';
import { type Command, EXIT, parseCommandArgs } from './command.ts';

/** `pdp policy fmt DIR…`: formats policy files in place; with `--check` it only says which are not formatted. */
export const policyFmt: Command = {
  name: 'policy fmt',
  usage: 'DIR… [--check]',
  summary: "format policy files with Cedar's own formatter",
  async run(args, terminal) {
    const { values, positionals } = parseCommandArgs(args, { check: { type: 'boolean' } });
    if (positionals.length === 0)
      throw new InputError('bad usage:', [
        { where: 'pdp policy fmt', message: 'expected at least one folder or *.cedar file' },
      ]);
    const check = values.check ?? false;
    const checker = new CedarChecker();
    const problems: Problem[] = [];
    const files = policyFiles(positionals, problems);
    const changed = files.filter((file) => formatPolicyFile(file, checker, !check, problems));
    for (const file of changed) terminal.out(`${file}\n`);
    if (problems.length > 0) throw new InputError('these files are left as they are:', problems);
    const what = check ? 'not formatted' : 'formatted';
    terminal.err(`${files.length} files, ${changed.length} ${what}\n`);
    return check && changed.length > 0 ? EXIT.no : EXIT.ok;
  },
};
