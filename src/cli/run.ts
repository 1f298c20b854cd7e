import { InputError } from '../pdp/errors.ts';
import { type Command, EXIT, type Terminal } from './command.ts';
import { optionLines } from './option-words.ts';

const HELP: readonly (string | undefined)[] = ['--help', '-h'];

/**
 * Finds the command that the arguments name and runs it; bad usage and bad input are told and exit with 2. With `--help` it is explained,
 * or where the arguments are only the beginning of commands, those.
 */
export async function runCli(
  commands: readonly Command[],
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  if (args.length === 0 || args[0] === 'help' || HELP.includes(args[0])) {
    terminal.out(usage(commands));
    return args.length === 0 ? EXIT.usage : EXIT.ok;
  }
  const command = commands.find(({ name }) => startsWith(args, name.split(' ')));
  if (!command) return helpOrRefuse(commands, args, terminal);
  try {
    const rest = args.slice(command.name.split(' ').length);
    if (!rest.some((word) => HELP.includes(word))) return await command.run(rest, terminal);
    terminal.out(help(command));
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    terminal.err(`pdp: ${error.message}\n`);
    return EXIT.usage;
  }
}

function helpOrRefuse(commands: readonly Command[], args: readonly string[], terminal: Terminal): number {
  const at = args.findIndex((word) => HELP.includes(word));
  const group = at < 0 ? [] : commands.filter(({ name }) => startsWith(name.split(' '), args.slice(0, at)));
  if (group.length > 0) {
    terminal.out(usage(group));
    return EXIT.ok;
  }
  terminal.err(`pdp: no command '${args.slice(0, 2).join(' ')}'\n\n${usage(commands)}`);
  return EXIT.usage;
}

function startsWith(words: readonly string[], beginning: readonly string[]): boolean {
  return beginning.every((word, index) => words[index] === word);
}

function help({ name, usage: args, summary }: Command): string {
  const options = optionLines(args);
  const list = options.length === 0 ? '' : `\n${options.map((line) => `  ${line}\n`).join('')}`;
  return `${`pdp ${name} ${args}`.trimEnd()}\n  ${summary}\n${list}`;
}

function usage(commands: readonly Command[]): string {
  const lines = commands.map(
    ({ name, usage: args, summary }) => `${`  pdp ${name} ${args}`.trimEnd()}\n      ${summary}`,
  );
  return `cedar-pdp: Envoy asks, Cedar decides, the log proves it.\n\n${lines.join('\n')}\n\nExit codes: 0 ok, 1 the check says no, 2 bad usage or input, 3 could not be checked.\n`;
}
