import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { Command } from '../../../src/cli/command.ts';
import { type OverLogs, overLogs } from '../../../src/cli/over-logs.ts';
import { InputError } from '../../../src/pdp/errors.ts';

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  json: { type: 'boolean' },
  html: { type: 'string' },
  vkey: { type: 'string' },
  checkpoint: { type: 'string' },
  decision: { type: 'string' },
} as const;

async function folderOf(...names: readonly string[]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pdp-over-logs-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 20 }));
  for (const name of names) {
    await mkdir(join(dir, name), { recursive: true });
    await writeFile(join(dir, name, 'segment-00000000000000000000.ndjson'), '');
  }
  return dir;
}

/** Runs a verb over `dir` that tells its arguments and ends as `code` says of each. */
async function run(
  args: readonly string[],
  over: Partial<OverLogs> = {},
  code: (args: readonly string[]) => number = () => 0,
) {
  const ran: (readonly string[])[] = [];
  const verb: Command = {
    name: 'audit verb',
    usage: '',
    summary: '',
    async run(given, terminal) {
      ran.push(given);
      const answer = code(given);
      if (answer === 2) throw new InputError('no:', []);
      terminal.out(`ended with ${answer}\n`);
      return answer;
    },
  };
  const said = { out: '', err: '' };
  const terminal = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
    interactive: false,
  };
  const overall = await overLogs(verb, { options: OPTIONS, ...over }).run(args, terminal);
  return { overall, ran, ...said };
}

test('one log is read as it is', async () => {
  const dir = await folderOf('.');
  const { ran, out } = await run([dir, '--json']);
  expect(ran).toEqual([[dir, '--json']]);
  expect(out).toBe('ended with 0\n');
});

test('each log of several has its run, that of a time with one worker included, and files of its own', async () => {
  const dir = await folderOf('.', 'worker-1', 'worker-2');
  const { ran, out, overall } = await run([dir, 'filter=1', '--html', 'a/report.html'], { judges: true });
  expect(ran).toEqual([
    ['--html=a/report.html', '--', dir, 'filter=1'],
    ['--html=a/report-worker-1.html', '--', join(dir, 'worker-1'), 'filter=1'],
    ['--html=a/report-worker-2.html', '--', join(dir, 'worker-2'), 'filter=1'],
  ]);
  expect(out).toMatch(/== one worker OK, worker-1 OK, worker-2 OK\nOVERALL: OK\n$/);
  expect(overall).toBe(0);
});

test('the worst verdict is the overall one, and no log keeps the others from being read', async () => {
  const dir = await folderOf('worker-1', 'worker-2', 'worker-3', 'worker-4');
  const codes: Record<string, number> = { '1': 0, '2': 3, '3': 1, '4': 2 };
  const { out, err, overall } = await run(
    [dir],
    { judges: true },
    (args) => codes[args.at(-1)?.at(-1) ?? ''] ?? 9,
  );
  expect(overall).toBe(1);
  expect(out).toContain(
    'worker-1 OK, worker-2 NOT CHECKED, worker-3 FAILED, worker-4 NO LOG\nOVERALL: FAILED',
  );
  expect(err).toContain('worker-4: no:');
});

test('a log that was removed is a verdict, for a verb that judges', async () => {
  const dir = await folderOf('worker-1', 'worker-3');
  expect(await run([dir])).toMatchObject({
    overall: 0,
    err: expect.stringContaining('worker-2: there is no log'),
  });
  expect(await run([dir], { judges: true })).toMatchObject({ overall: 1 });
  expect(await run([await folderOf('worker-2')], { judges: true })).toMatchObject({ overall: 1 });
});

test('a log in the place of another is a verdict, however well it verifies', async () => {
  const dir = await folderOf('.', 'worker-1', 'worker-2', 'worker-3');
  const named = (folder: string, name: string) => writeFile(join(dir, folder, 'checkpoint'), `${name}\n6\n`);
  await named('.', 'example.com/pdp');
  for (const worker of ['worker-1', 'worker-2', 'worker-3']) await named(worker, `example.com/pdp/${worker}`);
  expect((await run([dir], { judges: true })).overall).toBe(0);
  await named('worker-2', 'example.com/pdp/worker-1');
  const copied = await run([dir], { judges: true });
  expect(copied).toMatchObject({ overall: 1, err: expect.stringContaining('not the one of this worker') });
  expect(copied.out).toMatch(/one worker OK, worker-1 OK, worker-2 FAILED, worker-3 OK\nOVERALL: FAILED/);
  expect((await run([dir])).overall).toBe(0);
  await named('worker-2', 'example.com/pdp/worker-2');
  await named('.', 'example.com/pdp/worker-3');
  const below = await run([dir], { judges: true });
  expect(below).toMatchObject({ overall: 1, err: expect.stringMatching(/one worker: .* as well/) });
});

test('a log of which only the segments were removed is read, so that it can fail, and a file is no log', async () => {
  const dir = await folderOf('worker-1');
  await writeFile(join(dir, 'checkpoint'), '');
  await writeFile(join(dir, 'worker-2'), '');
  const { ran } = await run([dir]);
  expect(ran).toEqual([
    ['--', dir],
    ['--', join(dir, 'worker-1')],
  ]);
});

test('a folder with the name of a filter is not the one of the logs', async () => {
  const dir = await folderOf('worker-1', 'worker-2');
  const other = await folderOf('.');
  const { ran } = await run(['ID', dir, other], { before: 1 });
  expect(ran).toEqual(['worker-1', 'worker-2'].map((name) => ['--', 'ID', join(dir, name), other]));
  const config = join(other, 'pdp.yaml');
  const policies = fileURLToPath(new URL('../../../policies/mesh-call', import.meta.url));
  await writeFile(
    config,
    JSON.stringify({ grpc: { plaintext: true }, policies: { sets: [policies] }, audit: { dir } }),
  );
  // Where this runs there is a folder `policies`, which is a field too.
  const configured = await run(['decision=ALLOW', 'policies', '--config', config]);
  expect(configured.ran).toEqual(
    ['worker-1', 'worker-2'].map((name) => [
      `--config=${config}`,
      '--',
      join(dir, name),
      'decision=ALLOW',
      'policies',
    ]),
  );
});

test('one decision is looked for in all logs, and told once', async () => {
  const dir = await folderOf('worker-1', 'worker-2');
  const over = { searches: ['decision'] };
  const found = await run([dir, '--decision', 'x'], over, (args) => (args.at(-1)?.endsWith('2') ? 0 : 2));
  expect(found).toMatchObject({ overall: 0, out: 'ended with 0\n', err: '' });
  const nowhere = await run([dir, '--decision', 'x'], over, () => 2);
  expect(nowhere).toMatchObject({ overall: 2, out: '', err: expect.stringContaining('worker-1: no:') });
});

test('of a file of keys each log is given its own', async () => {
  const dir = await folderOf('worker-1', 'worker-2');
  const file = join(dir, 'keys');
  await writeFile(file, 'a/worker-2+00000002+BB\na/worker-1+00000001+AA\n');
  const { ran } = await run([dir, '--vkey', file]);
  expect(ran.map(([key]) => key)).toEqual(['--vkey=a/worker-1+00000001+AA', '--vkey=a/worker-2+00000002+BB']);
  await writeFile(file, 'a/worker-1+00000001+AA\na/worker-3+00000003+CC\n');
  expect(await run([dir, '--vkey', file])).toMatchObject({
    overall: 2,
    err: expect.stringContaining('no key of this log'),
  });
});

test('what is about one log is refused for several', async () => {
  const dir = await folderOf('worker-1', 'worker-2');
  const over = { single: ['checkpoint'] };
  await expect(run([dir, '--checkpoint', 'c'], over)).rejects.toThrow(/--checkpoint: is about one log/);
  expect(await run([join(dir, 'worker-1'), '--checkpoint', 'c'], over)).toMatchObject({ overall: 0 });
});
