import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type * as DuckDb from '@duckdb/node-api';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { currentForm } from '../read/segment-source.ts';
import { segmentsWithin } from '../read/segments-within.ts';
import type { TimeRange } from '../read/time-range.ts';
import { tableText } from './table-text.ts';
import { viewStatements } from './views.ts';

/** The rows that a query gave. */
export interface SqlRows {
  readonly columns: readonly string[];
  /** Values as JSON has them. */
  readonly rows: readonly (readonly unknown[])[];
  /** There were more. */
  readonly cut: boolean;
}

/** What a query may read and use. */
export interface SqlOptions {
  readonly dir: string;
  readonly range: TimeRange;
  /** At most so many rows. */
  readonly limit: number;
}

/** How often the folder is listed, where segments are compressed or removed while they are read. */
const MAX_ATTEMPTS = 5;

const INSTALL = 'npm install @duckdb/node-api';

/**
 * Runs one SELECT over the views of a log (docs/audit-views.md). It can read the log's segments and nothing else, and write nothing. Throws
 * `InputError` for bad SQL, and where DuckDB is not installed.
 */
export async function queryLog(sql: string, options: SqlOptions): Promise<SqlRows> {
  const duckdb = await loadDuckDb();
  for (let attempt = 1; ; attempt++) {
    const paths = (await segmentsWithin(options.dir, options.range)).map((segment) =>
      resolve(currentForm(segment).path),
    );
    try {
      return await queryFiles(duckdb, sql, { ...options, paths });
    } catch (error) {
      // Compressed or removed meanwhile: the folder is listed again.
      if (attempt === MAX_ATTEMPTS || paths.every((path) => existsSync(path))) throw error;
    }
  }
}

interface FilesOptions extends SqlOptions {
  /** The segments. */
  readonly paths: readonly string[];
}

async function queryFiles(duckdb: typeof DuckDb, sql: string, options: FilesOptions): Promise<SqlRows> {
  const instance = await duckdb.DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    // Nothing is spilled to the disk.
    temp_directory: '',
    memory_limit: '2GB',
  });
  const connection = await instance.connect();
  try {
    await confine(connection, options);
    return await selected(duckdb, connection, sql, options.limit);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function loadDuckDb(): Promise<typeof DuckDb> {
  try {
    return await import('@duckdb/node-api');
  } catch (error) {
    const message = `needs DuckDB, which is not installed here; install it with: ${INSTALL} (${messageOf(error).split('\n')[0]})`;
    throw new InputError('no SQL:', [{ where: '--sql', message }]);
  }
}

/** Makes the views, and takes away what SQL could otherwise do: from here on only the segments can be opened, and no setting changed. */
async function confine(connection: DuckDb.DuckDBConnection, { range, paths }: FilesOptions): Promise<void> {
  const files = `[${paths.map(literal).join(', ')}]`;
  const condition = [...bound('>=', range.from), ...bound('<', range.to)].join(' AND ') || 'true';
  for (const statement of [
    "SET TimeZone = 'UTC'",
    `SET allowed_paths = ${files}`,
    'SET enable_external_access = false',
    ...viewStatements({ files, condition }),
    'SET lock_configuration = true',
  ])
    await connection.run(statement);
}

function bound(operator: string, time: number | undefined): readonly string[] {
  return time === undefined
    ? []
    : [`"timestamp" ${operator} ${literal(new Date(time).toISOString())}::TIMESTAMPTZ`];
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function selected(
  duckdb: typeof DuckDb,
  connection: DuckDb.DuckDBConnection,
  sql: string,
  limit: number,
): Promise<SqlRows> {
  try {
    const statements = await connection.extractStatements(sql);
    if (statements.count !== 1) throw badSql('give one statement');
    const statement = await statements.prepare(0);
    // Not even EXPLAIN: with ANALYZE it runs what it explains.
    if (statement.statementType !== duckdb.StatementType.SELECT)
      throw badSql('only SELECT: the log is read, never written');
    const result = await statement.stream();
    return await rowsOf(duckdb, result, limit);
  } catch (error) {
    throw error instanceof InputError ? error : badSql(messageOf(error).trim());
  }
}

function badSql(message: string): InputError {
  return new InputError('bad SQL:', [{ where: '--sql', message }]);
}

async function rowsOf(duckdb: typeof DuckDb, result: DuckDb.DuckDBResult, limit: number): Promise<SqlRows> {
  const types = result.columnTypes();
  const rows: unknown[][] = [];
  for await (const found of result.yieldRowsJson()) {
    for (const row of found) {
      if (rows.length >= limit) return { columns: result.deduplicatedColumnNames(), rows, cut: true };
      rows.push(row.map((value, at) => plain(duckdb, value, types[at])));
    }
  }
  return { columns: result.deduplicatedColumnNames(), rows, cut: false };
}

/** DuckDB writes 64-bit integers as texts, and JSON as its text. */
function plain(duckdb: typeof DuckDb, value: unknown, type: DuckDb.DuckDBType | undefined): unknown {
  if (typeof value !== 'string' || type === undefined) return value;
  if (type.alias === 'JSON') return JSON.parse(value) as unknown;
  const { BIGINT, UBIGINT, HUGEINT } = duckdb.DuckDBTypeId;
  const isInteger = [BIGINT, UBIGINT, HUGEINT].includes(type.typeId);
  return isInteger && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** Rows as a table for a terminal. Ends with a line feed. */
export function sqlTable({ columns, rows }: SqlRows): string {
  return tableText(columns, rows);
}

/** Rows as JSON lines: objects by column. */
export function sqlJson({ columns, rows }: SqlRows): string {
  return rows
    .map((row) => `${JSON.stringify(Object.fromEntries(columns.map((name, at) => [name, row[at]])))}\n`)
    .join('');
}
