import { stringify } from 'yaml';
import { configJsonSchema } from '../config-file.ts';
import { CONFIG_OPTION, type Command, EXIT, configFor, parseCommandArgs, positionals } from './command.ts';

/** `pdp config check`: whether the configuration is valid. */
export const configCheck: Command = {
  name: 'config check',
  usage: '[--config FILE]',
  summary: 'check the configuration, telling every problem at once',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, CONFIG_OPTION);
    positionals(rest);
    configFor(values.config, terminal);
    terminal.out('the configuration is valid\n');
    return EXIT.ok;
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
