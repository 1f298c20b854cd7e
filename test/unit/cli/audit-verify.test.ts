import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { progressLine } from '../../../src/cli/progress-line.ts';
import { generateSigningKey, verifierKeyText } from '../../../src/audit/tlog/note-key.ts';
import { createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { openDecisionLog } from '../../support/decision-log.ts';
import { line, openWriter, tempDir } from '../audit/log-fixture.ts';
import { identityFile, seal, sealedLog, segmentNames } from '../audit/verify/sealed-log.ts';

const verify = (...args: string[]) => runPdp('audit', 'verify', ...args);

describe('audit verify', () => {
  it('prints both verdicts, and how much the evidence is worth', async () => {
    const { dir } = await sealedLog({ decisions: 5 });
    const own = await verify(dir);
    expect(own).toMatchObject({ code: 0, err: '' });
    expect(own.out).toMatch(/INTEGRITY: {4}OK\nCOMPLETENESS: OK\n$/);
    expect(own.out).toMatch(
      /warning: checked with the folder's own key: this proves only that the log agrees with itself/,
    );
    expect(own.out).toMatch(/no older checkpoint was given/);
    const vkey = join(dir, 'keys', 'identity.vkey');
    const kept = join(tempDir(), 'checkpoint');
    writeFileSync(kept, readFileSync(join(dir, 'checkpoint')));
    for (const key of [vkey, readFileSync(vkey, 'utf8').trim()]) {
      const given = await verify(dir, '--vkey', key, '--checkpoint', kept);
      expect(given.code).toBe(0);
      expect(given.out).toMatch(/the key that you gave vouches/);
      expect(given.out).toMatch(/it goes on from the checkpoint that you gave/);
    }
  });

  it('says INTEGRITY: FAILED and where, with exit code 1', async () => {
    const { dir } = await sealedLog({ decisions: 5 });
    const path = join(dir, segmentNames(dir)[0] ?? '');
    writeFileSync(path, readFileSync(path, 'utf8').replace('d-3', 'd-4'));
    const { code, out } = await verify(dir);
    expect(code).toBe(1);
    expect(out).toMatch(/INTEGRITY: {4}FAILED/);
    expect(out).toContain(
      'problem       segment-00000000000000000000.ndjson:5: this is not the line that was sealed as record 4: it was changed, or put in',
    );
    const json = JSON.parse((await verify(dir, '--json')).out);
    expect(json).toMatchObject({
      integrity: 'failed',
      completeness: 'ok',
      problems: [{ line: 5, index: 4 }],
    });
  });

  it('says COMPLETENESS: FAILED and which range of a segment that is missing', async () => {
    const { dir } = await sealedLog({ decisions: 300, segmentBytes: 10_000 });
    const [, second = '', third = ''] = segmentNames(dir);
    rmSync(join(dir, second));
    const { code, out } = await verify(dir);
    expect(code).toBe(1);
    expect(out).toMatch(/COMPLETENESS: FAILED/);
    expect(out).toContain(
      `records ${Number(second.slice(8, 28))} to ${Number(third.slice(8, 28)) - 1} are missing`,
    );
  });

  it('cannot check a log without checkpoints, with exit code 3, or 1 where it is not complete', async () => {
    const dir = tempDir();
    const writer = await openWriter(dir);
    for (let i = 0; i < 5; i++) await writer.append(line(`d-${i}`));
    await writer[Symbol.asyncDispose]();
    const { code, out } = await verify(dir);
    expect([code, out]).toEqual([3, expect.stringMatching(/INTEGRITY: {4}NOT CHECKED\nCOMPLETENESS: OK\n$/)]);
    const path = join(dir, segmentNames(dir)[0] ?? '');
    writeFileSync(path, readFileSync(path, 'utf8').split('\n').toSpliced(2, 1).join('\n'));
    expect((await verify(dir)).code).toBe(1);
  });

  it.each([
    ['a folder that is not there', ['/nonexistent/log'], /cannot be read as the folder of a decision log/],
    ['two folders', ['a', 'b'], /one folder at most/],
    ['a key that is none', ['.', '--vkey', 'nonsense'], /--vkey: not the verifier key/],
    ['a checkpoint that is not there', ['.', '--checkpoint', '/nonexistent'], /--checkpoint: ENOENT/],
    ['a checkpoint that is none', ['LOG', '--checkpoint', 'package.json'], /--checkpoint: /],
    ['an access log that is not there', ['.', '--access-log', '/nonexistent'], /--access-log: ENOENT/],
    ['an evidence file that is not there', ['--evidence', '/nonexistent'], /--evidence: ENOENT/],
    ['an option that is unknown', ['--what'], /--what/],
  ])('refuses %s as bad usage', async (_what, args, message) => {
    const { dir } = await sealedLog({ decisions: 1 });
    const { code, err } = await verify(...args.map((arg) => (arg === 'LOG' ? dir : arg)));
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it('checks a log that a server is writing', async () => {
    await using folder = await createConfigFolder();
    const app = await startTestApp(folder);
    try {
      const kept = join(folder.auditDir, 'checkpoints.log');
      await eventually('a checkpoint', () => Promise.resolve(existsSync(kept) || undefined));
      const { code, out } = await verify(folder.auditDir);
      expect({ code, out }).toMatchObject({ code: 0 });
    } finally {
      await app.stop();
    }
    const { code, out } = await verify('--config', folder.configFile);
    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringMatching(/INTEGRITY: {4}OK/) as string,
    });
    expect(out).not.toMatch(/not signed yet/);
  });

  it('draws a bar with the rate only where somebody is watching', () => {
    const drawn: string[] = [];
    let now = 0;
    const terminal = {
      out: () => undefined,
      err: (text: string) => void drawn.push(text),
      interactive: true,
    };
    const progress = progressLine(terminal, 'records', () => now);
    now = 2000;
    progress.show(50_000, 100_000);
    progress.show(1000);
    progress.end();
    expect(drawn).toEqual([
      `\r\u001B[K[${'█'.repeat(15)}${'·'.repeat(15)}]  50 %  50 000 records, 25 000/s`,
      '\r\u001B[K1 000 records, 500/s',
      '\r\u001B[K',
    ]);
    const silent = progressLine(
      { ...terminal, interactive: false, err: () => expect.fail('nobody is watching') },
      'records',
    );
    silent.show(5);
    silent.end();
  });
});

describe('audit export and audit verify --evidence', () => {
  /** A log of a server that has stopped, with the ids of its decisions. */
  async function served() {
    const [dir, key] = [tempDir(), identityFile()];
    const log = await openDecisionLog(dir);
    const ids = [];
    for (const user of ['alice', 'alice', 'carol']) ids.push((await log.ask({ user })).id);
    await log[Symbol.asyncDispose]();
    seal(dir, log.writer, key);
    return { dir, ids, vkey: join(dir, 'keys', 'identity.vkey') };
  }

  it('make and check a file that proves one decision, and the log records who took it', async () => {
    const { dir, ids, vkey } = await served();
    const file = join(tempDir(), 'evidence.json');
    const made = await runPdp('audit', 'export', dir, '--decision', ids[1] ?? '', '--out', file);
    expect(made).toMatchObject({ code: 0, out: '' });
    const checked = await verify('--evidence', file, '--vkey', vkey);
    expect(checked).toMatchObject({ code: 0, err: '' });
    expect(checked.out).toMatch(new RegExp(`proves {8}decision ${ids[1]} was ALLOW`));
    expect(checked.out).toMatch(/INTEGRITY: {4}OK\n$/);
    expect((await verify('--evidence', file)).out).toMatch(/checked with the file's own key/);
    const other = verifierKeyText(generateSigningKey('example.com/pdp/test'));
    expect((await verify('--evidence', file, '--vkey', other, '--json')).code).toBe(1);
    const notes = readdirSync(join(dir, 'inbox')).map((name) =>
      JSON.parse(readFileSync(join(dir, 'inbox', name), 'utf8')),
    );
    expect(notes).toMatchObject([
      { kind: 'log_read', fields: { verb: 'audit export', id: ids[1], records: 1 } },
    ]);
    const printed = await runPdp('audit', 'export', dir, '--decision', ids[0] ?? '');
    expect(JSON.parse(printed.out)).toMatchObject({ format: 'cedar-pdp evidence v1', decision_id: ids[0] });
  });

  it('say why a decision cannot be proven, with exit code 3', async () => {
    const { dir } = await served();
    const { code, err } = await runPdp('audit', 'export', dir, '--decision', 'nobody');
    expect([code, err]).toEqual([3, 'pdp: the decision cannot be proven: the log has no decision nobody\n']);
  });

  it('write every decision of a range as an OCSF event', async () => {
    const { dir } = await served();
    const all = await runPdp('audit', 'export', dir, '--ocsf');
    const events = all.out
      .trimEnd()
      .split('\n')
      .map((text): { class_uid: number; time: number } => JSON.parse(text));
    expect(events.map(({ class_uid }) => class_uid)).toEqual([6003, 6003, 6003]);
    const file = join(tempDir(), 'events.ndjson');
    const later = new Date((events[0]?.time ?? 0) + 1000).toISOString();
    expect(await runPdp('audit', 'export', dir, '--ocsf', '--from', later, '--out', file)).toMatchObject({
      code: 0,
      out: '',
      err: `${file}: 0 events\n`,
    });
    expect(readFileSync(file, 'utf8')).toBe('');
  });

  it.each([
    [[], /either --decision or --ocsf/],
    [['--decision', 'a', '--ocsf'], /either --decision or --ocsf/],
    [['--decision', 'a', '--from', '2026-01-01'], /are for --ocsf/],
    [['--ocsf', '--to', 'tomorrow'], /is no time/],
    [['/nonexistent', '--ocsf'], /cannot be read as the folder of a decision log/],
    [['a', 'b', '--ocsf'], /one folder at most/],
  ])('refuse %j as bad usage', async (args, message) => {
    const { code, err } = await runPdp('audit', 'export', ...args);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it('refuse a file that cannot be written', async () => {
    const { dir, ids } = await served();
    for (const what of [['--ocsf'], ['--decision', ids[0] ?? '']]) {
      const { code, err } = await runPdp('audit', 'export', dir, ...what, '--out', '/nonexistent/x');
      expect([code, err]).toEqual([2, expect.stringMatching(/the file cannot be written/)]);
    }
  });
});

it.each([
  'verify',
  'replay',
  'diff --policies x',
  'query',
  'tail',
  'explain 019a0000',
  'export --ocsf',
  'key',
])(
  'audit %s says what to give where there is neither a folder nor a configuration, and nothing of policies',
  async (verb) => {
    expect(await runPdp('audit', ...verb.split(' '))).toEqual({
      code: 2,
      out: '',
      err: 'pdp: bad usage:\n  DIR: give the folder of a decision log, or --config FILE: there is no pdp.yaml here\n',
    });
  },
);
