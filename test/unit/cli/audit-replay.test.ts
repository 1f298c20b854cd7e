import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readInbox } from '../../../src/audit/log/inbox.ts';
import { engineName } from '../../../src/pdp/cedar-module.ts';
import { createConfigFolder, runPdp } from '../../support/app.ts';
import { openDecisionLog } from '../../support/decision-log.ts';
import { changeBlobs, changeDecisions, decisionsIn, logFolder } from '../audit/replay/fixture.ts';

/** A log of six decisions, of which two are reused answers and one is no question of Cedar's. */
async function written(dir: string): Promise<void> {
  await using log = await openDecisionLog(dir);
  for (const user of ['alice', 'carol', 'alice', 'carol']) await log.ask({ user });
  log.writer.rotate();
  await log.ask({ user: 'alice', path: '/reports/hold/1' });
  await log.ask({ path: '/a/%2e%2e/b' });
}

describe('pdp audit replay', () => {
  it('says in words what came of it, and exits with 0 where all is a match', async () => {
    using folder = logFolder();
    await written(folder.dir);
    const { code, out, err } = await runPdp('audit', 'replay', folder.dir);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out).toContain('6 decisions in 2 segments');
    expect(out).toContain('MATCH          6 (100 % of what was replayed)');
    expect(out).toMatch(/3 evaluated again by Cedar\n +2 a reused answer.*\n +1 refused before/);
    expect(out).toMatch(/rate +\d+\/s/);
    expect(out).toContain('All 6 decisions come out as recorded.');
  });

  it('exits with 1 and names the record where one comes out otherwise', async () => {
    using folder = logFolder();
    await written(folder.dir);
    changeDecisions(folder.dir, (record, at) => (at === 4 ? { ...record, reason: 'no_permit' } : record));
    const { code, out } = await runPdp('audit', 'replay', folder.dir);
    const id = String(decisionsIn(folder.dir)[4]?.['decision_id']);
    expect(code).toBe(1);
    expect(out).toContain(
      `record 5, decision ${id}: reason was recorded as no_permit, and comes out as policy_forbids`,
    );
  });

  it('exits with 3 and says so where there is no mismatch, and something cannot be replayed', async () => {
    using folder = logFolder();
    await written(folder.dir);
    changeBlobs(folder.dir, 'entity', (digest) => `${digest} {"kind":"erased","erasure":"x"}`);
    const { code, out, err } = await runPdp('audit', 'replay', folder.dir);
    expect(code).toBe(3);
    expect(err).toContain('cannot be replayed (exit code 3)');
    expect(out).toContain('5 erased: a value that the decision saw was erased');
  });

  it('exits with 1 where there is both', async () => {
    using folder = logFolder();
    await written(folder.dir);
    changeBlobs(folder.dir, 'entity', (digest) => `${digest} {"kind":"erased","erasure":"x"}`);
    changeDecisions(folder.dir, (record, at) => (at === 5 ? { ...record, http_status: 200 } : record));
    expect((await runPdp('audit', 'replay', folder.dir)).code).toBe(1);
  });

  it('answers machines with one JSON object in which stage results are apart', async () => {
    using folder = logFolder();
    await written(folder.dir);
    const { out } = await runPdp('audit', 'replay', folder.dir, '--json', '--jobs', '1');
    expect(JSON.parse(out)).toMatchObject({
      records: 6,
      match: 6,
      mismatch: 0,
      not_replayable: 0,
      by: { cedar: 3, memo: 0, reuse: 2 },
      by_stage_result: 1,
      segments: 2,
      mismatches: [],
    });
  });

  it('writes a page that needs nothing else', async () => {
    using folder = logFolder();
    await written(folder.dir);
    changeDecisions(folder.dir, (record, at) =>
      at === 4 ? { ...record, decision_id: '<img src=x onerror=alert(1)>', policies: ['<b>'] } : record,
    );
    const file = join(folder.dir, 'replay.html');
    await runPdp('audit', 'replay', folder.dir, '--html', file);
    const html = readFileSync(file, 'utf8');
    expect(html).toContain('<svg');
    expect(html).toContain('1 of 6 replayed decisions come out otherwise than recorded.');
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(html).not.toMatch(/<script|<link|<img|https?:|src=['"]|url\(/);
  });

  it('replays the configured log where no folder is given', async () => {
    await using folder = await createConfigFolder();
    await written(folder.auditDir);
    expect((await runPdp('audit', 'replay', '--config', folder.configFile)).code).toBe(0);
  });

  it('replays one decision', async () => {
    using folder = logFolder();
    await written(folder.dir);
    const id = String(decisionsIn(folder.dir)[2]?.['decision_id']);
    const { code, out } = await runPdp('audit', 'replay', folder.dir, '--decision', id);
    expect(code).toBe(0);
    expect(out).toContain('1 decisions');
    expect(out).toContain('1 a reused answer');
  });

  it('evaluates each question again where it is told to remember none', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir, { setup: { maxAgeMs: 0 } });
      for (let i = 0; i < 3; i++) await log.ask({ user: 'alice' });
    }
    expect((await runPdp('audit', 'replay', folder.dir)).out).toContain('2 equal to a question evaluated');
    expect((await runPdp('audit', 'replay', folder.dir, '--no-memo')).out).toContain('3 evaluated again');
  });

  it.each([
    ['from a day that is after them', ['--from', '2026-01-02'], 0],
    ['to a day that is after them', ['--to', '2026-01-02'], 6],
    ['from two days ago', ['--from', '2d'], 0],
  ])('replays only what was decided in the time that is given: %s', async (_name, args, records) => {
    using folder = logFolder();
    await written(folder.dir);
    const { code, out } = await runPdp('audit', 'replay', folder.dir, '--json', ...args);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ records });
  });

  it('asks for a record of the run', async () => {
    using folder = logFolder();
    await written(folder.dir);
    await runPdp('audit', 'replay', folder.dir, '--sample', '1');
    expect(readInbox(folder.dir).map(({ kind, fields }) => ({ kind, fields }))).toEqual([
      {
        kind: 'replay_run',
        fields: {
          by: 'cli',
          records: 6,
          match: 6,
          mismatch: 0,
          not_replayable: 0,
          by_stage_result: 1,
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-01T00:00:00.000Z',
          sample: '1',
          engine: engineName(),
        },
      },
    ]);
  });

  it('goes on without that record where the folder cannot be written', async () => {
    using folder = logFolder();
    await written(folder.dir);
    // Whoever runs the tests as root may write everywhere: a file in the way works for everybody.
    writeFileSync(join(folder.dir, 'inbox'), '');
    chmodSync(join(folder.dir, 'inbox'), 0o400);
    const { code, err } = await runPdp('audit', 'replay', folder.dir);
    expect(code).toBe(0);
    expect(err).toContain('the run is not recorded');
  });

  it.each([
    ['--sample', '0'],
    ['--sample', '1.5'],
    ['--sample', 'much'],
    ['--jobs', '0'],
    ['--jobs', 'many'],
    ['--from', 'yesterday'],
    ['--to', '2026-13-01'],
    ['--decision', 'nobody'],
    ['--unheard', 'of'],
  ])('refuses %s %s with 2', async (...args) => {
    using folder = logFolder();
    await written(folder.dir);
    const { code, err } = await runPdp('audit', 'replay', folder.dir, ...args);
    expect(code).toBe(2);
    expect(err).toContain(args[0]);
  });

  it('says in plain words where there is no log', async () => {
    using folder = logFolder();
    for (const dir of [folder.dir, join(folder.dir, 'gone')]) {
      const { code, err } = await runPdp('audit', 'replay', dir);
      expect(code).toBe(2);
      expect(err).toContain('there is no decision log to read');
    }
  });

  it('changes nothing in the log but the request for its record', async () => {
    using folder = logFolder();
    await written(folder.dir);
    const before = readdirSync(folder.dir).sort();
    await runPdp('audit', 'replay', folder.dir);
    expect(existsSync(join(folder.dir, 'inbox'))).toBe(true);
    rmSync(join(folder.dir, 'inbox'), { recursive: true });
    expect(readdirSync(folder.dir).sort()).toEqual(before);
  });
});
