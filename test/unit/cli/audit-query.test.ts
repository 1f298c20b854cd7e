import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { auditQuery } from '../../../src/cli/audit-query.ts';
import { createConfigFolder, runPdp } from '../../support/app.ts';
import { openDecisionLog } from '../../support/decision-log.ts';
import { tempDir } from '../audit/log-fixture.ts';
import { compressFile } from '../../../src/audit/seal/compress-file.ts';
import { NODE_SEAL_FS } from '../../../src/audit/seal/seal-fs.ts';

/** Three segments, an hour apart, the first compressed: alice, carol, and a deny before Cedar. */
async function aLog(dir = tempDir()): Promise<string> {
  await using log = await openDecisionLog(dir);
  for (const ask of [{ user: 'alice' }, { user: 'carol' }, { path: '/a%2fb' }]) {
    await log.ask(ask);
    log.writer.rotate();
    log.clock.advance(3_600_000);
  }
  for (const _step of compressFile(join(dir, segmentsIn(dir)[0] ?? ''), NODE_SEAL_FS));
  return dir;
}

function segmentsIn(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.includes('.ndjson'))
    .sort();
}

function notesIn(dir: string): readonly { readonly kind: string; readonly fields: object }[] {
  return readdirSync(join(dir, 'inbox')).map((name) =>
    JSON.parse(readFileSync(join(dir, 'inbox', name), 'utf8')),
  );
}

const query = async (...args: string[]) => await runPdp('audit', 'query', ...args);

describe('pdp audit query', () => {
  it('shows the records that filters choose as a table', async () => {
    const { code, out, err } = await query(await aLog(), 'decision=DENY', 'user');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n')).toEqual([
      expect.stringMatching(/^time +decision +who +what +reason +policies +id$/),
      expect.stringMatching(
        /^2026-01-01T01:00:00\.000Z {2}DENY +demo\/carol +GET \/reports\/q1 +no_permit +- +[0-9a-f-]{36}$/,
      ),
      '',
    ]);
  });

  it('with --json gives the lines unchanged', async () => {
    const dir = await aLog();
    const lines = segmentsIn(dir)
      .slice(1)
      .map((name) => readFileSync(join(dir, name), 'utf8'))
      .join('');
    const { out } = await query(dir, '--json', '--from', '2026-01-01T00:30');
    expect(out).toBe(lines);
  });

  it('counts by a field', async () => {
    const dir = await aLog();
    expect((await query(dir, 'kind=decision', '--count-by', 'reason')).out).toBe(
      'count  reason\n    1  no_permit\n    1  path_ambiguous\n    1  permitted\n',
    );
    expect((await query(dir, '--count-by', 'user', '--json', '--limit', '1')).out).toBe(
      '{"value":null,"count":3}\n',
    );
  });

  it('reads only what can be in the time that is asked for', async () => {
    const dir = await aLog();
    writeFileSync(join(dir, segmentsIn(dir)[0] ?? ''), 'no gzip at all');
    expect(await query(dir, 'user', '--from', '2026-01-01T01:30')).toMatchObject({ code: 0 });
    const { code, out, err } = await query(
      dir,
      'user',
      '--from',
      '2026-01-01T00:59',
      '--to',
      '2026-01-01T01:01',
    );
    expect(code).toBe(3);
    expect(out).toContain('demo/carol');
    expect(err).toMatch(
      /^pdp: segment-0{20}\.ndjson\.gz cannot be read to its end .*: its records are missing here\n$/,
    );
  });

  it('is limited to the first ones, and says so', async () => {
    const { out, err } = await query(await aLog(), '--json', '--limit', '2');
    expect(out.split('\n')).toHaveLength(3);
    expect(err).toBe('pdp: there are more than 2: only the first were shown\n');
  });

  it('answers SQL as a table or as JSON', async () => {
    const dir = await aLog();
    const sql = 'select decision, count(*) n from decisions group by all order by 1';
    expect((await query(dir, '--sql', sql)).out).toBe('decision  n\nALLOW     1\nDENY      2\n');
    expect((await query(dir, '--sql', sql, '--json', '--from', '2026-01-01T00:30')).out).toBe(
      '{"decision":"DENY","n":2}\n',
    );
    expect((await query(dir, '--sql', 'select * from range(9)', '--limit', '1')).err).toContain(
      'more than 1 rows',
    );
  });

  it('reads the configured log where no folder is given', async () => {
    await using folder = await createConfigFolder();
    await aLog(folder.auditDir);
    const { out } = await query('user~alice', '--json', '--config', folder.configFile);
    expect(out).toContain('"user":"demo/alice"');
  });

  it('has each reading recorded: what was asked for, by whom, how much came of it', async () => {
    const dir = await aLog();
    await query(dir, 'user~alice', '--from', '2026-01-01');
    expect(notesIn(dir)).toEqual([
      {
        kind: 'log_read',
        fields: {
          verb: 'audit query',
          os_user: expect.any(String),
          filter: 'user~alice --from 2026-01-01',
          records: 1,
        },
      },
    ]);
  });

  it('says where a reading is not recorded, and reads all the same', async () => {
    const dir = await aLog();
    writeFileSync(join(dir, 'inbox'), 'not a folder');
    const { code, out, err } = await query(dir, 'user~alice', '--json');
    expect(code).toBe(0);
    expect(out).toContain('demo/alice');
    expect(err).toMatch(/^pdp: this reading is not recorded in the log: /);
  });

  it('tells of lines that are no records', async () => {
    const dir = await aLog();
    const last = join(dir, segmentsIn(dir).at(-1) ?? '');
    writeFileSync(last, `nonsense\n${readFileSync(last, 'utf8')}`);
    expect(await query(dir, 'user~alice')).toMatchObject({
      code: 3,
      err: expect.stringContaining('has 1 lines that are no records'),
    });
    expect((await query(dir, 'user=nobody')).err).toContain('no record matches');
  });

  it.each([
    [['usr=alice'], "did you mean 'user'?"],
    [['decisoin'], "is neither a folder nor a filter; did you mean 'decision'?"],
    [['/nowhere/at/all'], 'there is no decision log to read'],
    [['{dir}', '--from', 'noon'], "--from: 'noon' is no time"],
    [['{dir}', '--since', 'ever'], "--since: 'ever' is not a time such as"],
    [['{dir}', '--since', '1h', '--from', '2026-01-01'], 'does not go with --from'],
    [['{dir}', '--from', '2026-01-02', '--to', '2026-01-01'], 'is not after the beginning'],
    [['{dir}', '--limit', '0'], "'0' is not a whole number of at least 1"],
    [['{dir}', '--count-by', 'reson'], "did you mean 'reason'?"],
    [['{dir}', 'user', '--sql', 'select 1'], 'goes neither with filters nor with --count-by'],
    [['{dir}', '--sql', 'selec'], 'bad SQL'],
    [['{empty}'], 'holds no decision log'],
  ])('%j is bad input', async (args, message) => {
    const [dir, empty] = [await aLog(), tempDir()];
    const { code, out, err } = await query(
      ...args.map((arg) => arg.replace('{dir}', dir).replace('{empty}', empty)),
    );
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });

  it('shows progress to people only, and clears it', async () => {
    const dir = await aLog();
    let err = '';
    const terminal = { out: () => undefined, err: (words: string) => void (err += words), interactive: true };
    expect(await auditQuery.run([dir, '--count-by', 'reason'], terminal)).toBe(0);
    expect(err).toBe('\r5 records, 4 of 4 segments …\r\u001B[K');
  });

  it('where DuckDB is not installed says how to install it', async () => {
    const hook = `import { registerHooks } from 'node:module';
      registerHooks({ resolve(name, context, next) {
        if (name.startsWith('@duckdb/')) throw new Error('Cannot find package');
        return next(name, context); } });`;
    const flags = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
    const child = spawn(process.execPath, [
      ...flags,
      'src/main.ts',
      'audit',
      'query',
      await aLog(),
      '--sql',
      'select 1',
    ]);
    expect(await text(child.stderr)).toMatch(/needs DuckDB, .* npm install @duckdb\/node-api/);
    expect(child.exitCode ?? (await new Promise((done) => child.once('exit', done)))).toBe(2);
  });
});
