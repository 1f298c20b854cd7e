import { stringify } from 'yaml';
import { SYSTEM_CLOCK } from '../compose/core.ts';
import { dryRun } from '../compose/dry-run.ts';
import { checkComposable } from '../compose/problems.ts';
import { configJsonSchema } from '../config/file.ts';
import { problemText } from '../pdp/errors.ts';
import { CONFIG_OPTION, type Command, EXIT, configFor, parseCommandArgs, positionals } from './command.ts';

/** `pdp config check`: whether the configuration is valid (else 2), and whether serving could begin with the files it names (else 1). */
export const configCheck: Command = {
  name: 'config check',
  usage: '[--config FILE]',
  summary: 'check the configuration and the files it names, telling every problem at once',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, CONFIG_OPTION);
    positionals(rest);
    const config = configFor(values.config, terminal);
    checkComposable(config);
    terminal.out('the configuration is valid\n');
    const problems = await dryRun(config, { clock: SYSTEM_CLOCK, environment: process.env });
    for (const problem of problems) terminal.err(`would not serve now: ${problemText(problem)}\n`);
    return problems.length === 0 ? EXIT.ok : EXIT.no;
  },
};

/** `pdp config print`: the configuration in force, defaults and environment included. It holds no secrets, only their files. */
export const configPrint: Command = {
  name: 'config print',
  usage: '[--config FILE]',
  summary: 'print the configuration in force, defaults and environment included',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, CONFIG_OPTION);
    positionals(rest);
    terminal.out(stringify(configFor(values.config, terminal)));
    return EXIT.ok;
  },
};

/** `pdp config schema`: the JSON Schema of `pdp.yaml`. */
export const configSchema: Command = {
  name: 'config schema',
  usage: '',
  summary: 'print the JSON Schema of pdp.yaml',
  async run(args, terminal) {
    positionals(parseCommandArgs(args, {}).positionals);
    terminal.out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    return EXIT.ok;
  },
};
