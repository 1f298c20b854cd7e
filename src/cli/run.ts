import { InputError } from '../pdp/errors.ts';
import { type Command, EXIT, type Terminal } from './command.ts';

/** Finds the command that the arguments name and runs it; bad usage and bad input are told and exit with 2. */
export async function runCli(
  commands: readonly Command[],
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  if (args.length === 0 || ['help', '--help', '-h'].includes(args[0] ?? '')) {
    terminal.out(usage(commands));
    return args.length === 0 ? EXIT.usage : EXIT.ok;
  }
  const command = commands.find(({ name }) => name.split(' ').every((word, index) => args[index] === word));
  if (!command) {
    terminal.err(`pdp: no command '${args.slice(0, 2).join(' ')}'\n\n${usage(commands)}`);
    return EXIT.usage;
  }
  try {
    const rest = args.slice(command.name.split(' ').length);
    if (!rest.includes('--help')) return await command.run(rest, terminal);
    terminal.out(`pdp ${command.name} ${command.usage}\n  ${command.summary}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    terminal.err(`pdp: ${error.message}\n`);
    return EXIT.usage;
  }
}

function usage(commands: readonly Command[]): string {
  const lines = commands.map(({ name, usage: args, summary }) => `  pdp ${name} ${args}\n      ${summary}`);
  return `cedar-pdp: Envoy asks, Cedar decides, the log proves it.\n\n${lines.join('\n')}\n\nExit codes: 0 ok, 1 the check says no, 2 bad usage or input, 3 could not be checked.\n`;
}
