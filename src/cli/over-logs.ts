import { readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { harmless } from '../audit/query/row.ts';
import { type LogFolders, type NamedLog, logFoldersIn } from '../audit/read/log-folders.ts';
import { misplacedIn } from '../audit/verify/misplaced-logs.ts';
import { InputError } from '../pdp/errors.ts';
import { badUsage } from './ask-server.ts';
import { type Command, EXIT, type Terminal, configFor, parseCommandArgs } from './command.ts';

/** How a verb goes through several logs. */
export interface OverLogs {
  /** The options that the verb takes. */
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Positional arguments before DIR; none where not given. */
  readonly before?: number;
  /** With one of these options what is asked for is in one of the logs: the others are only searched. `always`: without any. */
  readonly searches?: readonly string[] | 'always';
  /** Options that speak of one log, and mean nothing for several. */
  readonly single?: readonly string[];
  /** With one of these options no log is read. */
  readonly without?: readonly string[];
  /** With one of these options a run does not end by itself: all logs at once. */
  readonly endless?: readonly string[];
  /** What it prints is for programs: without headings. */
  readonly data?: true;
  /** Whether a log that is missing is a verdict, not only worth a word. */
  readonly judges?: true;
}

type Run = Command['run'];
type Values = Readonly<Record<string, unknown>>;

/**
 * A verb that takes a folder with the logs of several workers too: it runs once for each log, and its exit code is the worst of them. With one
 * log it runs as it is.
 */
export function overLogs(command: Command, over: OverLogs): Command {
  const run: Run = (args, terminal) => command.run(args, terminal);
  return {
    ...command,
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, over.options) as {
        readonly values: Values;
        readonly positionals: readonly string[];
      };
      if (has(values, over.without)) return await run(args, terminal);
      // Only there: what comes after DIR are filters, and a folder may have the name of a field.
      const place = positionals[over.before ?? 0];
      const given = place !== undefined && isFolder(place) ? place : undefined;
      const dir = given ?? configuredDir(values, positionals, over);
      const folders = dir === undefined ? undefined : logFoldersIn(dir);
      if (!folders || !isSeveral(folders)) return await run(args, terminal);
      for (const option of over.single ?? [])
        if (values[option] !== undefined)
          throw badUsage(`--${option}`, `is about one log: give its folder, one of those in ${dir}`);
      const searching = over.searches === 'always' || has(values, over.searches);
      const plan = { over, values, args, given, searching, run };
      return await (searching ? searchEach : runEach)(folders, plan, terminal);
    },
  };
}

interface Plan {
  readonly over: OverLogs;
  readonly values: Values;
  readonly args: readonly string[];
  /** DIR as it was given. */
  readonly given: string | undefined;
  /** What is asked for is in one of the logs. */
  readonly searching: boolean;
  readonly run: Run;
}

function isSeveral({ logs, missing }: LogFolders): boolean {
  return logs.length > 1 || missing.length > 0 || logs.some(({ name }) => name !== '');
}

function has(values: Values, options: readonly string[] | 'always' | undefined): boolean {
  return Array.isArray(options) && options.some((option) => values[option] !== undefined);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

const SILENT: Terminal = { out: () => undefined, err: () => undefined, interactive: false };

/** Where no folder is named; what is wrong with the configuration, or with the words, the verb says. */
function configuredDir(
  values: Values,
  positionals: readonly string[],
  { before = 0 }: OverLogs,
): string | undefined {
  if (positionals.slice(before).some((word) => word.includes('/') && !/[=~<>]/.test(word))) return undefined;
  const { config } = values;
  try {
    return configFor(typeof config === 'string' ? config : undefined, SILENT).audit.dir;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

async function runEach({ logs, missing }: LogFolders, plan: Plan, terminal: Terminal): Promise<number> {
  const json = plan.values['json'] === true;
  const codes = new Map<string, number>();
  const one = async (log: NamedLog): Promise<void> => {
    if (!json && !plan.over.data) terminal.out(`== ${nameOf(log)}\n`);
    codes.set(nameOf(log), await runOne(log, plan, terminal));
  };
  if (has(plan.values, plan.over.endless)) await Promise.all(logs.map(one));
  else for (const log of logs) await one(log);
  if (plan.over.judges) judgePlaces(logs, codes, terminal);
  for (const name of missing) {
    terminal.err(`pdp: ${name}: there is no log of it, though there is one of a later worker\n`);
    if (plan.over.judges) codes.set(name, EXIT.no);
  }
  const overall = worst([...codes.values()]);
  if (plan.over.judges) terminal.out(overallText(codes, overall, json));
  return overall;
}

function judgePlaces(logs: readonly NamedLog[], codes: Map<string, number>, terminal: Terminal): void {
  const misplaced = misplacedIn(logs);
  for (const log of logs) {
    const problem = misplaced.get(log.dir);
    if (problem === undefined) continue;
    terminal.err(`pdp: ${nameOf(log)}: ${harmless(problem)}\n`);
    codes.set(nameOf(log), EXIT.no);
  }
}

async function runOne(log: NamedLog, plan: Plan, terminal: Terminal): Promise<number> {
  try {
    return await plan.run(argsFor(log, plan), terminal);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    terminal.err(`pdp: ${nameOf(log)}: ${error.message}\n`);
    return EXIT.usage;
  }
}

/** The answer of the log that has what is asked for; where none has it, what all of them said. */
async function searchEach({ logs }: LogFolders, plan: Plan, terminal: Terminal): Promise<number> {
  const failed: string[] = [];
  const codes: number[] = [];
  for (const log of logs) {
    const said: [keyof Pick<Terminal, 'out' | 'err'>, string][] = [];
    const kept: Terminal = {
      out: (text) => void said.push(['out', text]),
      err: (text) => void said.push(['err', text]),
      interactive: false,
    };
    const code = await runOne(log, plan, kept);
    if (code === EXIT.ok || code === EXIT.no) {
      for (const [to, text] of said) terminal[to](text);
      return code;
    }
    codes.push(code);
    failed.push(...said.map(([, text]) => text));
  }
  terminal.err(failed.join(''));
  return worst(codes);
}

const WORST_FIRST = [EXIT.no, EXIT.unchecked, EXIT.usage];

function worst(codes: readonly number[]): number {
  return WORST_FIRST.find((code) => codes.includes(code)) ?? EXIT.ok;
}

const VERDICTS = new Map<number, string>([
  [EXIT.ok, 'OK'],
  [EXIT.no, 'FAILED'],
  [EXIT.unchecked, 'NOT CHECKED'],
  [EXIT.usage, 'NO LOG'],
]);

function overallText(codes: ReadonlyMap<string, number>, overall: number, json: boolean): string {
  const verdicts = [...codes].map(([name, code]): [string, string] => [name, VERDICTS.get(code) ?? '']);
  const verdict = VERDICTS.get(overall) ?? '';
  if (json) return `${JSON.stringify({ overall: verdict, logs: Object.fromEntries(verdicts) })}\n`;
  return `== ${verdicts.map(([name, word]) => `${name} ${word}`).join(', ')}\nOVERALL: ${verdict}\n`;
}

function nameOf({ name }: NamedLog): string {
  return name === '' ? 'one worker' : name;
}

/** The command line for one log: its folder, its key of several, and files of its own. */
function argsFor(log: NamedLog, { over, args, given, searching }: Plan): readonly string[] {
  const { options, before = 0 } = over;
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, tokens: true });
  const words: string[] = [];
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    else if (token.kind === 'option') words.push(...optionWords(log, token, searching));
  }
  positionals.splice(before, given === undefined ? 0 : 1, log.dir);
  return [...words, '--', ...positionals];
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
}

function optionWords(log: NamedLog, { name, rawName, value }: OptionToken, searching: boolean): string[] {
  if (value === undefined) return [rawName];
  const own = name === 'vkey' ? vkeyFor(log, value) : searching ? value : fileFor(log, name, value);
  return rawName.startsWith('--') ? [`${rawName}=${own}`] : [rawName, own];
}

/** Of a file with the keys of all logs, as `pdp audit key` prints them, that of the log; one key by itself is that of any. */
function vkeyFor({ name }: NamedLog, given: string): string {
  const keys = (isFile(given) ? readFileSync(given, 'utf8') : given)
    .split('\n')
    .filter((line) => /\S/.test(line));
  if (keys.length < 2) return given;
  const isOurs = (key: string): boolean => {
    const worker = /\/(worker-\d+)\+/.exec(key)?.[1] ?? '';
    return worker === name;
  };
  const [key, ...more] = keys.filter(isOurs);
  if (key === undefined || more.length > 0)
    throw badUsage('--vkey', `${more.length > 0 ? 'more than one key' : 'no key'} of this log in ${given}`);
  return key.trim();
}

/** What one log has written must not be overwritten by the next. */
function fileFor({ name }: NamedLog, option: string, value: string): string {
  if (name === '' || !['html', 'out'].includes(option)) return value;
  const ending = extname(value);
  return `${value.slice(0, value.length - ending.length)}-${name}${ending}`;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
