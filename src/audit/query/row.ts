import type { LogRecord } from '../read/decision-record.ts';
import { textOf, valuesAt } from './filter.ts';

const COLOURS = { green: 32, red: 31, yellow: 33, dim: 2 } as const;

/** A colour of the terminal. */
export type Colour = keyof typeof COLOURS;

/** Text in a colour. */
export function coloured(text: string, colour: Colour): string {
  return `\u001B[${COLOURS[colour]}m${text}\u001B[0m`;
}

/** Much in a log comes from whoever sent requests: nothing in it may steer the terminal, or begin a line. */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}

const WIDTHS = [24, 8, 36, 44, 24, 24];
const MAX_CELL = 200;

/** The names over the columns of {@link rowText}. */
export function rowHeader(): string {
  return cells(['time', 'decision', 'who', 'what', 'reason', 'policies', 'id']);
}

/** A record in one line, without line feed: when, what was decided, for whom, about what, why, by which policies, its id. */
export function rowText(record: LogRecord, options: { readonly colours?: boolean } = {}): string {
  const text = record['kind'] === 'decision' ? decisionRow(record) : controlRow(record);
  return options.colours === true ? coloured(text, colourOf(record)) : text;
}

function decisionRow(record: LogRecord): string {
  return cells([
    word(record, 'timestamp'),
    `${word(record, 'decision')}${record['enforced'] === false ? '*' : ''}`,
    whoOf(record),
    whatOf(record),
    word(record, 'reason'),
    valuesAt(record, 'policies').map(textOf).join(',') || '-',
    word(record, 'decision_id'),
  ]);
}

/** The user where there was one, else the workload, else who asked. */
export function whoOf(record: LogRecord): string {
  return firstWord(record, ['user', 'source_identity.spiffe_id', 'principal', 'pep.spiffe_id']);
}

/** Method and path of a request; action and resource of a question about the application's own objects. */
export function whatOf(record: LogRecord): string {
  const http = [firstWord(record, ['method']), firstWord(record, ['path', 'path_raw'])];
  const own = record['binding'] !== undefined || http[1] === '-';
  const terms = [word(record, 'action'), word(record, 'resource')];
  return (own && terms[0] !== '-' ? terms : http).join(' ');
}

const HEAD = new Set(['v', 'kind', 'log', 'index', 'timestamp']);

function controlRow(record: LogRecord): string {
  const told = Object.entries(record).flatMap(([name, value]) =>
    HEAD.has(name) ? [] : [`${name}=${textOf(value)}`],
  );
  return [
    ...[word(record, 'timestamp'), '-'].map(padded),
    cut(`${word(record, 'kind')}: ${told.join(' ')}`),
  ].join('  ');
}

function colourOf(record: LogRecord): Colour {
  if (record['kind'] !== 'decision') return 'dim';
  if (record['enforced'] === false) return 'yellow';
  return record['decision'] === 'ALLOW' ? 'green' : 'red';
}

function firstWord(record: LogRecord, paths: readonly string[]): string {
  return paths.map((path) => word(record, path)).find((text) => text !== '-') ?? '-';
}

function word(record: LogRecord, path: string): string {
  const [value] = valuesAt(record, path);
  return value === undefined || value === '' ? '-' : textOf(value);
}

function cells(texts: readonly string[]): string {
  return texts
    .map((text, at) => padded(text, at))
    .join('  ')
    .trimEnd();
}

function padded(text: string, at: number): string {
  return cut(text).padEnd(WIDTHS[at] ?? 0);
}

function cut(text: string): string {
  const whole = harmless(text);
  return whole.length <= MAX_CELL ? whole : `${whole.slice(0, MAX_CELL).toWellFormed()}…`;
}
