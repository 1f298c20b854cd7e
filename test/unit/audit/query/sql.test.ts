import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { queryLog, sqlJson, sqlTable } from '../../../../src/audit/query/sql.ts';
import { compressFile } from '../../../../src/audit/seal/compress-file.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';

/** Two segments, the first compressed; decisions of alice, carol and nobody. */
async function aLog(): Promise<string> {
  const dir = tempDir();
  await using log = await openDecisionLog(dir);
  await log.ask({ user: 'alice' });
  await log.ask({ user: 'alice' });
  await log.writer.appendControl('policy_activated', { digest: 'sha256:1', by: 'test', policies: 3 });
  log.writer.rotate();
  log.clock.advance(3_600_000);
  await log.ask({ user: 'carol' });
  await log.ask({ user: 'alice', path: '/reports/hold/x' });
  const [first = ''] = segmentsIn(dir);
  for (const _step of compressFile(join(dir, first), NODE_SEAL_FS));
  return dir;
}

function segmentsIn(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.includes('.ndjson'))
    .sort();
}

const rows = async (dir: string, sql: string, limit = 100) =>
  (await queryLog(sql, { dir, range: {}, limit })).rows;

describe('SQL over a log', () => {
  it('has the views with their columns, over plain and compressed segments', async () => {
    const dir = await aLog();
    expect(await rows(dir, 'select decision, count(*) from decisions group by all order by 1')).toEqual([
      ['ALLOW', 2],
      ['DENY', 2],
    ]);
    const hit = "select user, cache->>'hit', policies from decisions order by index limit 2";
    expect(await rows(dir, hit)).toMatchObject([
      ['demo/alice', 'false', ['reports.finance']],
      ['demo/alice', 'true', ['reports.finance']],
    ]);
    expect(await rows(dir, 'select digest, "by", policies from policy_activations')).toEqual([
      ['sha256:1', 'test', 3],
    ]);
    expect(await rows(dir, "select record->>'durability' from records where kind = 'boot'")).toEqual([
      ['written'],
    ]);
    expect(
      await rows(dir, "select count(*) from decisions where list_contains(policies, 'reports.hold')"),
    ).toEqual([[1]]);
  });

  it('gives columns their types where no record has them, and no rows for kinds that are not there', async () => {
    const dir = await aLog();
    expect(
      await rows(dir, 'select shadow_of, device, latency_us + 1, claimed_sources from decisions limit 1'),
    ).toEqual([[null, null, 1, null]]);
    expect(await rows(dir, 'select * from gaps')).toEqual([]);
    expect(await rows(dir, 'select sum(lost) from heartbeats')).toEqual([[null]]);
    expect(
      await rows(dir, 'select typeof(timestamp), typeof("index"), typeof(pip) from decisions limit 1'),
    ).toEqual([['TIMESTAMP WITH TIME ZONE', 'BIGINT', 'JSON']]);
  });

  it('leaves out what is no record, and reads compressed segments of several members', async () => {
    const dir = tempDir();
    const line = (index: number) =>
      `{"v":1,"kind":"decision","log":"x","index":${index},"latency_us":${index}}\n`;
    const lines = Array.from({ length: 100 }, (_, index) => line(index)).join('');
    const members = [lines.slice(0, 1001), lines.slice(1001)].map((part) => gzipSync(part));
    writeFileSync(join(dir, 'segment-00000000000000000000.ndjson.gz'), Buffer.concat(members));
    writeFileSync(
      join(dir, 'segment-00000000000000000100.ndjson'),
      `${line(100)}not json\n[]\n${line(101)}{"v":1,"ki`,
    );
    expect(await rows(dir, 'select count(*), sum(latency_us) from decisions')).toEqual([[102, 5151]]);
    expect(await rows(dir, 'select count(*) from records')).toEqual([[102]]);
  });

  it('reads only the time that is asked for', async () => {
    const dir = await aLog();
    const range = { from: Date.UTC(2026, 0, 1, 0, 30) };
    expect((await queryLog('select user from decisions order by 1', { dir, range, limit: 9 })).rows).toEqual([
      ['demo/alice'],
      ['demo/carol'],
    ]);
    expect(
      (await queryLog('select 1 from decisions', { dir, range: { to: range.from }, limit: 9 })).rows,
    ).toHaveLength(2);
  });

  it.each([
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from glob('/etc/*')",
    "select * from read_text('{dir}/writer.lock')",
    "select * from read_blob('{dir}/segment-00000000000000000000.blobs')",
    "select * from read_json('http://127.0.0.1:1/x')",
    "copy (select 1) to '/tmp/x.csv'",
    "copy (select 1) to '{segment}' (format csv, use_tmp_file false)",
    "explain analyze copy (select 1) to '{segment}' (format csv, use_tmp_file false)",
    "attach '/tmp/x.db'",
    "export database '/tmp/x'",
    'install httpfs',
    'load httpfs',
    'set enable_external_access = true',
    "set allowed_paths = ['/etc/passwd']",
    'create table t(i int)',
    'drop view decisions',
    "insert into decisions values ('x')",
    'pragma enable_profiling',
    'select 1; select 2',
    'select nothing from decisions',
    'selec 1',
    '',
  ])('refuses %s', async (sql) => {
    const dir = await aLog();
    const before = contentOf(dir);
    const segment = join(dir, segmentsIn(dir).at(-1) ?? '');
    const filled = sql.replace('{dir}', dir).replace('{segment}', segment);
    await expect(rows(dir, filled)).rejects.toThrow(/^bad SQL:\n {2}--sql: /);
    expect(contentOf(dir)).toEqual(before);
  });

  it('is bounded, and says that there were more', async () => {
    const dir = await aLog();
    const found = await queryLog('select * from range(100000)', { dir, range: {}, limit: 5 });
    expect(found).toMatchObject({ cut: true, rows: [[0], [1], [2], [3], [4]] });
    expect((await queryLog('select 1', { dir, range: {}, limit: 1 })).cut).toBe(false);
  });

  it('comes as an aligned table that cannot steer the terminal, or as JSON', async () => {
    const dir = await aLog();
    const found = await queryLog(
      "select reason, chr(27) || 'x' as e, count(*) n, null as nothing from decisions group by all order by 1",
      { dir, range: {}, limit: 5 },
    );
    expect(sqlTable(found)).toBe(
      'reason          e   n  nothing\nno_permit       \uFFFDx  1  -\npermitted       \uFFFDx  2  -\npolicy_forbids  \uFFFDx  1  -\n',
    );
    const nested = await queryLog('select cache, cache from decisions limit 1', { dir, range: {}, limit: 1 });
    expect(sqlJson(nested)).toBe('{"cache":{"hit":false},"cache:1":{"hit":false}}\n');
  });
});

function contentOf(dir: string): readonly string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => `${name} ${readFileSync(join(dir, name)).toString('base64')}`);
}
