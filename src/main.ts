import { commands } from './cli/commands.ts';
import { EXIT } from './cli/command.ts';
import { runCli } from './cli/run.ts';
import { PROCESS_TERMINAL } from './cli/serve.ts';
import { assertRuntime, keepThreadsSmall } from './runtime.ts';

try {
  assertRuntime();
  keepThreadsSmall();
  process.exitCode = await runCli(commands, process.argv.slice(2), PROCESS_TERMINAL);
} catch (error) {
  PROCESS_TERMINAL.err(`pdp: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT.unchecked;
}
