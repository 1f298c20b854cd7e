import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { CedarChecker } from '../pdp/cedar.ts';
import { problemAt } from '../pdp/cedar-text.ts';
import { type Problem, messageOf } from '../pdp/errors.ts';

/** Columns of formatted policies. */
const LINE_WIDTH = 110;

/** The `*.cedar` files that arguments mean: files, and folders with everything below them. Adds a problem for what is neither. */
export function policyFiles(paths: readonly string[], problems: Problem[]): string[] {
  const files = paths.flatMap((path) => {
    const found = filesIn(path);
    if (found.length === 0)
      problems.push({ where: path, message: 'is neither a *.cedar file nor a folder with any' });
    return found;
  });
  return [...new Set(files)].sort();
}

function filesIn(path: string): string[] {
  if (path.endsWith('.cedar')) return statSync(path, { throwIfNoEntry: false })?.isFile() ? [path] : [];
  try {
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.cedar') && !name.includes('node_modules'))
      .map((name) => join(path, name))
      .filter((file) => statSync(file).isFile());
  } catch {
    return [];
  }
}

/**
 * Formats one file; says whether its text changes. Writes only if `write`, atomically, and only what still means the same and has
 * kept every comment. Adds a problem where the file cannot be read, parsed, or safely formatted.
 */
export function formatPolicyFile(
  file: string,
  checker: CedarChecker,
  write: boolean,
  problems: Problem[],
): boolean {
  try {
    const text = readFileSync(file, 'utf8');
    const formatted = formatPolicies(file, text, checker);
    if (typeof formatted !== 'string') {
      problems.push(...formatted.problems);
      return false;
    }
    if (write && formatted !== text) replaceFile(realpathSync(file), formatted);
    return formatted !== text;
  } catch (error) {
    problems.push({ where: file, message: messageOf(error) });
    return false;
  }
}

/**
 * The formatted text of a policy file. Cedar's formatter does the work; the comment that heads a file, with a blank line after it, is
 * kept as it is, since the formatter would run it into the first policy's own.
 */
export function formatPolicies(
  file: string,
  text: string,
  checker: CedarChecker,
): string | { readonly problems: readonly Problem[] } {
  const unix = text.replaceAll('\r\n', '\n').replace(/^\uFEFF/, '');
  const head = /^(?:[ \t]*(?:\/\/[^\n]*)?\n)*(?=[ \t]*\n)/.exec(unix)?.[0] ?? '';
  const body = unix.slice(head.length);
  const answer = checker.format(body, LINE_WIDTH);
  if ('complaints' in answer) {
    const statement = { file, fileText: unix, offset: head.length, text: body };
    return {
      problems: answer.complaints.map(({ offset, message }) => problemAt(statement, offset, message)),
    };
  }
  const formatted = joinParts(tidyComments(head), answer.text.trim());
  const problem = changeOfMeaning(unix, formatted, checker);
  return problem === undefined ? formatted : { problems: [{ where: file, message: problem }] };
}

function tidyComments(head: string): string {
  return head
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
}

function joinParts(head: string, body: string): string {
  return [head, body].filter((part) => part !== '').join('\n\n') + '\n';
}

/** Why the formatted text may not replace the file; `undefined` where it may. */
export function changeOfMeaning(before: string, after: string, checker: CedarChecker): string | undefined {
  const [was, is] = [checker.meanings(before), checker.meanings(after)];
  if ('complaints' in was || 'complaints' in is || was.meanings.join('\n') !== is.meanings.join('\n'))
    return 'formatting would change what the policies mean; this is a fault of the formatter, please report it';
  if (commentsOf(before).join('\n') !== commentsOf(after).join('\n'))
    return 'formatting would lose or move a comment; put it on a line of its own before the policy';
  return undefined;
}

function commentsOf(text: string): string[] {
  return [...text.matchAll(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*/gs)]
    .filter(([token]) => token.startsWith('//'))
    .map(([token]) => token.trimEnd());
}

/** Readers see the old text or the new one, never a part, also after a crash. */
function replaceFile(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    const descriptor = openSync(temporary, 'wx', statSync(file).mode);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
