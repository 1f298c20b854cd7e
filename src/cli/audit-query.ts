import { type Counted, Counter } from '../audit/query/count.ts';
import { isField, unknownField } from '../audit/query/field-names.ts';
import { type Filter, parseFilter } from '../audit/query/filter.ts';
import { rowHeader, rowText } from '../audit/query/row.ts';
import { scanRecords } from '../audit/query/scan.ts';
import { queryLog, sqlJson, sqlTable } from '../audit/query/sql.ts';
import { tableText } from '../audit/query/table-text.ts';
import type { TimeRange } from '../audit/read/time-range.ts';
import { badUsage } from './ask-server.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';
import {
  RANGE_OPTIONS,
  type RangeValues,
  logWords,
  rangeOf,
  recordReading,
  wholeNumber,
} from './audit-log-args.ts';
import { type ScanProgressLine, scanProgress } from './scan-progress.ts';
import { type Stop, stopOnInterrupt } from './audit-stop.ts';

const OPTIONS = {
  ...CONFIG_OPTION,
  ...RANGE_OPTIONS,
  limit: { type: 'string' },
  'count-by': { type: 'string' },
  sql: { type: 'string' },
  json: { type: 'boolean' },
} as const;

const MAX_ROWS = 10_000;

/** `pdp audit query [DIR] [FILTER...]`: the records of a decision log that filters choose, how many there are of each kind, or what SQL says. */
export const auditQuery: Command = overLogs(
  {
    name: 'audit query',
    usage:
      '[DIR] [FILTER…] [--from TIME] [--to TIME] [--since TIME] [--limit N] [--count-by FIELD] [--sql QUERY] [--json] [--config FILE]',
    summary:
      'find records of a decision log: field=value, field!=value, field~text, field>number, field, or SQL',
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, OPTIONS);
      const { query, wanted } = queryOf(positionals, values);
      const dir = query.dir ?? auditDirFor(values.config, terminal);
      using stop = stopOnInterrupt();
      using progress = scanProgress(terminal);
      const records = await run({ ...query, dir }, wanted, { terminal, stop, progress });
      const filter = filterWords(query.filter, wanted, values);
      recordReading(dir, { verb: 'audit query', filter, records }, terminal);
      return progress.incomplete ? EXIT.unchecked : EXIT.ok;
    },
  },
  { options: OPTIONS },
);

interface Values extends RangeValues {
  readonly limit?: string | undefined;
  readonly 'count-by'?: string | undefined;
  readonly sql?: string | undefined;
  readonly json?: boolean | undefined;
}

function queryOf(positionals: readonly string[], values: Values) {
  const { sql, 'count-by': field, limit, json = false } = values;
  const { filters, ...dir } = logWords(positionals);
  if (sql !== undefined && (filters.length > 0 || field !== undefined))
    throw badUsage('--sql', 'goes neither with filters nor with --count-by: say it in SQL');
  if (field !== undefined && !isField(field)) throw badUsage('--count-by', unknownField(field));
  const query = {
    ...dir,
    filter: parseFilter(filters),
    range: rangeOf(values, Date.now()),
    limit: limit === undefined ? undefined : wholeNumber(limit, '--limit'),
    json,
  };
  return { query, wanted: { sql, field } };
}

interface Query {
  readonly dir: string;
  readonly filter: Filter;
  readonly range: TimeRange;
  readonly limit: number | undefined;
  readonly json: boolean;
}

interface Wanted {
  readonly sql: string | undefined;
  readonly field: string | undefined;
}

interface Around {
  readonly terminal: Terminal;
  readonly stop: Stop;
  readonly progress: ScanProgressLine;
}

async function run(query: Query, { sql, field }: Wanted, around: Around): Promise<number> {
  if (sql !== undefined) return await runSql(query, sql, around.terminal);
  return field === undefined ? await list(query, around) : await count(query, field, around);
}

async function list(
  { dir, filter, range, limit, json }: Query,
  { terminal, stop, progress }: Around,
): Promise<number> {
  let found = 0;
  for await (const { line, record } of scanRecords(dir, range, progress)) {
    if (stop.signal.aborted) break;
    if (!filter.matches(record)) continue;
    if (found === limit) {
      progress.tell(`there are more than ${limit}: only the first were shown`);
      break;
    }
    progress.clear();
    if (found === 0 && !json) terminal.out(`${rowHeader()}\n`);
    terminal.out(json ? `${line.toString()}\n` : `${rowText(record, { colours: terminal.interactive })}\n`);
    found += 1;
  }
  if (found === 0) progress.tell('no record matches');
  return found;
}

async function count(query: Query, field: string, { terminal, stop, progress }: Around): Promise<number> {
  const counter = new Counter(field);
  let records = 0;
  for await (const { record } of scanRecords(query.dir, query.range, progress)) {
    if (stop.signal.aborted) break;
    if (!query.filter.matches(record)) continue;
    records += 1;
    counter.add(record);
  }
  progress.clear();
  if (counter.others > 0) progress.tell(`${counter.others} more are of too many different values to count`);
  terminal.out(countText(counter.counts(query.limit ?? MAX_ROWS), field, query.json));
  return records;
}

function countText(counts: readonly Counted[], field: string, json: boolean): string {
  if (json)
    return counts
      .map(({ value, count: n }) => `${JSON.stringify({ value: value ?? null, count: n })}\n`)
      .join('');
  return tableText(
    ['count', field],
    counts.map(({ value, count: n }) => [n, value]),
  );
}

async function runSql({ dir, range, limit = MAX_ROWS, json }: Query, sql: string, terminal: Terminal) {
  const rows = await queryLog(sql, { dir, range, limit });
  terminal.out(json ? sqlJson(rows) : sqlTable(rows));
  if (rows.cut)
    terminal.err(`pdp: there are more than ${limit} rows: only the first were shown; --limit N\n`);
  return rows.rows.length;
}

function filterWords(filter: Filter, { sql, field }: Wanted, { from, to, since }: RangeValues): string {
  const said = { '--from': from, '--to': to, '--since': since, '--count-by': field, '--sql': sql };
  const options = Object.entries(said).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${value}`],
  );
  return [filter.text, ...options].filter((text) => text !== '').join(' ');
}
