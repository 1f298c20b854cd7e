import { type Document, parseDocument } from 'yaml';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import type { Log } from '../../pdp/log.ts';
import { fileProblem, pollFile, readVersion } from '../polled-file.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { SubjectRef } from '../../pdp/subject-key.ts';
import type { Rule } from './rule.ts';
import { readSubject } from './read-subject.ts';

/** Settings of {@link openShutOffFile}. */
export interface ShutOffFileOptions {
  readonly file: string;
  readonly log: Log;
  /** Reads the subject of an entry; default {@link readSubject}. */
  readonly readSubject?: ReadSubject;
  /** Told of the shut-offs of each good version, the first included. Must not throw. */
  readonly onRules: (rules: readonly Rule[]) => void;
}

/** Reads a subject as people write it, or says what is wrong with it. */
type ReadSubject = (value: unknown) => SubjectRef | { readonly problem: string };

const ANY: ReadSubject = (value) => readSubject(value, parseSpiffeId);
const POLL_MS = 1_000;
const MAX_ENTRIES = 10_000;
const MAX_REASON = 500;

/**
 * Follows a file of shut-offs: a YAML or JSON list of `{kind, id, reason}`, each with an RFC 3339 `until` where it ends by itself. A change is
 * noticed within a second; a bad new version, and a file that is gone, leave in force what was. Throws `InputError` where the file is bad at
 * the start.
 */
export async function openShutOffFile(options: ShutOffFileOptions): Promise<Disposable> {
  const { file, log, onRules, readSubject: read } = options;
  const first = await readVersion(file).catch((error: unknown) => {
    throw badFile(file, fileProblem(error));
  });
  onRules(readShutOffs(file, first.content, first.modifiedAt, read));
  const kept = (problem: string): void => log.error({ file, problem }, 'shut-offs kept as they were');
  const polling = {
    file,
    intervalMs: POLL_MS,
    onProblem: kept,
    onContent(content: string, modifiedAt: number) {
      try {
        const rules = readShutOffs(file, content, modifiedAt, read);
        onRules(rules);
        log.info({ file, shut_offs: rules.length }, 'shut-offs changed');
      } catch (error) {
        kept(messageOf(error));
      }
    },
  };
  return pollFile(polling, first.version);
}

/** The shut-offs of a file that was changed last at `modifiedAt` (Unix ms). Throws `InputError` with every problem. */
export function readShutOffs(
  file: string,
  content: string,
  modifiedAt: number,
  read: ReadSubject = ANY,
): readonly Rule[] {
  const list = parseList(file, content);
  const readings = list.map((value, index) => ({
    index,
    reading: readShutOff(value, { key: `file|${index + 1}`, at: modifiedAt }, read),
  }));
  const problems = readings.flatMap(({ index, reading }) =>
    'problem' in reading ? [{ where: file, message: `entry ${index + 1} ${reading.problem}` }] : [],
  );
  if (problems.length > 0) throw new InputError('the shut-offs are not right:', problems);
  return readings.flatMap(({ reading }) => ('problem' in reading ? [] : [reading]));
}

function parseList(file: string, content: string): readonly unknown[] {
  const document = parseDocument(content, { prettyErrors: false, version: '1.2' });
  // An unknown tag is only a warning to the parser; to us it is something that was meant and not understood.
  const [fault] = [...document.errors, ...document.warnings];
  if (fault) throw badFile(file, `is not YAML: ${fault.message}`);
  const value = plainValue(file, document);
  // An empty file is one from which the last entry was taken out.
  const list = value ?? [];
  if (!Array.isArray(list)) throw badFile(file, 'is not a list');
  if (list.length > MAX_ENTRIES) throw badFile(file, `has more than ${MAX_ENTRIES} entries`);
  const problem = externalJsonProblem(list, { maxNodes: MAX_ENTRIES * 8 });
  if (problem !== undefined) throw badFile(file, problem);
  return list;
}

function plainValue(file: string, document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    throw badFile(file, `is not plain YAML: ${messageOf(error)}`);
  }
}

const KEYS = ['kind', 'id', 'until', 'reason'];
const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

function readShutOff(
  value: unknown,
  about: Pick<Rule, 'key' | 'at'>,
  read: ReadSubject,
): Rule | { readonly problem: string } {
  if (!isRecord(value)) return { problem: 'is not an object' };
  const unknown = Object.keys(value).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) return { problem: `has the unknown key '${unknown}'` };
  const { until, reason } = value;
  if (typeof reason !== 'string' || reason.trim() === '' || reason.length > MAX_REASON)
    return { problem: `needs a reason of at most ${MAX_REASON} characters` };
  const subject = read(value);
  if ('problem' in subject) return { problem: subject.problem };
  const rule = { ...about, effect: 'off', subjects: [subject], source: 'file', reason } as const;
  if (until === undefined) return { ...rule, endsAt: Number.POSITIVE_INFINITY };
  const end = typeof until === 'string' && RFC_3339.test(until) ? Date.parse(until) : Number.NaN;
  if (Number.isNaN(end)) return { problem: "has an 'until' that is not an RFC 3339 time" };
  return { ...rule, until: end, endsAt: end };
}

function badFile(file: string, message: string): InputError {
  return new InputError('the shut-offs cannot be read:', [{ where: file, message }]);
}
