import { EXIT } from './cli/command.ts';
import { runCli } from './cli/run.ts';
import { PROCESS_TERMINAL, serve } from './cli/serve.ts';
import { assertRuntime, keepThreadsSmall, shareWasmWrappers } from './runtime.ts';

try {
  assertRuntime();
  keepThreadsSmall();
  shareWasmWrappers();
  const args = process.argv.slice(2);
  // A server does not wait for what only other commands need.
  const commands = args[0] === serve.name ? [serve] : (await import('./cli/commands.ts')).commands;
  process.exitCode = await runCli(commands, args, PROCESS_TERMINAL);
} catch (error) {
  PROCESS_TERMINAL.err(`pdp: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT.unchecked;
}
