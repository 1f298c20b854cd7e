import type { AttributeAnswer, AttributeSubject, OnFailure } from '../../pdp/attribute.ts';
import { InputError, type Problem } from '../../pdp/errors.ts';
import { externalJsonProblem, isRecord, isReservedKey } from '../../pdp/external-json.ts';
import type { Log } from '../../pdp/log.ts';
import type { AttributeSource, Clock } from '../../pdp/ports.ts';
import { fileProblem, pollFile, readVersion } from '../polled-file.ts';
import { type SubjectFacts, readSubjectFacts } from './subject-facts.ts';

/** Settings of {@link openStaticFile}. */
export interface StaticFileOptions {
  readonly name: string;
  /** Path of the JSON file. */
  readonly file: string;
  readonly subject: AttributeSubject;
  readonly gives: readonly string[];
  readonly onFailure: OnFailure;
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
  /** Ms for which an answer may be used. */
  readonly freshMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Version {
  readonly subjects: ReadonlyMap<string, SubjectFacts>;
  /** Unix ms. */
  readonly modifiedAt: number;
}

const POLL_MS = 1_000;

/**
 * Opens a file of facts, `{ "<subject id>": { "groups": [...], "observed_at": "<RFC 3339>", ...attributes } }`. Throws `InputError`
 * with every problem where the file is bad at the start. A changed file is read again within a second; a bad new version is
 * logged and the old one stays. `observedAt` is the entry's `observed_at`, else, as assumed, the file's modification time.
 */
export async function openStaticFile(options: StaticFileOptions): Promise<AttributeSource & AsyncDisposable> {
  const { name, file, subject, gives, onFailure, onFailureOf, clock, log } = options;
  const first = await readVersion(file).catch((error: unknown) => {
    throw new InputError(`the facts of '${name}' cannot be read`, [
      { where: file, message: fileProblem(error) },
    ]);
  });
  let current = parseVersion(options, first.content, first.modifiedAt);
  const problem = (text: string): void =>
    log.error({ source: name, file, problem: text }, 'facts kept as they were');
  const polled = pollFile(
    {
      file,
      intervalMs: POLL_MS,
      onProblem: problem,
      onContent(content, modifiedAt) {
        try {
          current = parseVersion(options, content, modifiedAt);
          log.info({ source: name, file, subjects: current.subjects.size }, 'facts changed');
        } catch (error) {
          problem(error instanceof Error ? error.message : String(error));
        }
      },
    },
    first.version,
  );
  return {
    name,
    subject,
    gives,
    onFailure,
    ...(onFailureOf && { onFailureOf }),
    list: () => current.subjects.keys(),
    lookup: (subjectId) => answer(current, subjectId, clock.now(), options.freshMs),
    [Symbol.asyncDispose]: async () => polled[Symbol.dispose](),
  };
}

function answer(
  { subjects, modifiedAt }: Version,
  subjectId: string,
  now: number,
  freshMs: number,
): AttributeAnswer {
  const facts = subjects.get(subjectId);
  const freshUntil = now + freshMs;
  // When the file was written is not when somebody looked: an event that came since must not be undone by a copy of what was before.
  const assumed = { observedAt: Math.min(modifiedAt, now), assumed: true } as const;
  if (facts === undefined) return { status: 'absent', attributes: {}, groups: [], ...assumed, freshUntil };
  const { attributes, groups, observedAt } = facts;
  const observed = observedAt === undefined || observedAt > now ? assumed : { observedAt };
  return { status: 'found', attributes, groups, ...observed, freshUntil };
}

function parseVersion(
  { name, file, gives }: StaticFileOptions,
  content: string,
  modifiedAt: number,
): Version {
  const subjects = new Map<string, SubjectFacts>();
  const problems: Problem[] = [];
  for (const [subjectId, value] of Object.entries(parseJson(name, file, content))) {
    const problem = isReservedKey(subjectId) ? 'is a reserved key' : externalJsonProblem(value);
    const facts = problem === undefined ? readSubjectFacts(value, gives) : { problem };
    if ('problem' in facts) problems.push({ where: file, message: `'${subjectId}' ${facts.problem}` });
    else subjects.set(subjectId, facts);
  }
  if (problems.length > 0) throw new InputError(`the facts of '${name}' are not right`, problems);
  return { subjects, modifiedAt };
}

function parseJson(name: string, file: string, content: string): object {
  let problem: Omit<Problem, 'where'> = { message: 'is not a JSON object' };
  try {
    const value: unknown = JSON.parse(content);
    if (isRecord(value)) return value;
  } catch (error) {
    problem = syntaxProblem(content, error instanceof Error ? error.message : String(error));
  }
  throw new InputError(`the facts of '${name}' are not JSON`, [{ where: file, ...problem }]);
}

/** V8's words with the position as line and column, and without the excerpt of the file that it may add. */
function syntaxProblem(content: string, message: string): Omit<Problem, 'where'> {
  const offset = message.startsWith('Unexpected end')
    ? content.length
    : Number(/at position (\d+)/.exec(message)?.[1] ?? NaN);
  const words = message.replace(/, .*is not valid JSON$/s, '').replace(/ in JSON at position.*$/s, '');
  if (Number.isNaN(offset)) return { message: words };
  const lines = content.slice(0, offset).split('\n');
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1, message: words };
}
