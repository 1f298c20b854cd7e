import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runTail } from '../../../src/cli/audit-tail.ts';
import { runPdp } from '../../support/app.ts';
import { openDecisionLog } from '../../support/decision-log.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../audit/log-fixture.ts';

const tail = async (...args: string[]) => await runPdp('audit', 'tail', ...args);

describe('pdp audit tail', () => {
  it('shows the last records, one line each', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    for (let i = 0; i < 12; i++) await log.ask({ user: 'alice', path: `/reports/${i}` });
    const { code, out, err } = await tail(dir);
    expect({ code, err, lines: out.split('\n').length }).toEqual({ code: 0, err: '', lines: 11 });
    expect((await tail(dir, '-n', '1')).out).toMatch(
      /^2026\S+ {2}ALLOW +demo\/alice +GET \/reports\/11 +permitted/,
    );
    expect((await tail(dir, 'path=/reports/3')).out.split('\n')).toHaveLength(2);
  });

  it('with --json gives the lines unchanged', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    await log.ask({ user: 'alice' });
    const [name = ''] = readdirSync(dir).filter((file) => file.endsWith('.ndjson'));
    expect((await tail(dir, '--json')).out).toBe(readFileSync(join(dir, name), 'utf8'));
  });

  it('follows what filters choose until it is stopped, in colours before a person, and has that recorded', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    let out = '';
    const terminal = { out: (text: string) => void (out += text), err: () => undefined, interactive: true };
    const controller = new AbortController();
    const stop = { signal: controller.signal, [Symbol.dispose]: () => undefined };
    const done = runTail([dir, 'kind=decision', '-f', '-n', '0'], terminal, () => stop);
    await eventually('a note', () => (readdirSync(dir).includes('inbox') ? true : undefined));
    await log.ask({ user: 'alice' });
    log.writer.rotate();
    await log.ask({ user: 'carol' });
    await eventually('two lines', () => (out.split('\n').length > 2 ? true : undefined));
    controller.abort();
    expect(await done).toBe(0);
    expect(out).toMatch(
      /^\u001B\[32m2026[^\n]*ALLOW[^\n]*\u001B\[0m\n\u001B\[31m2026[^\n]*DENY[^\n]*\u001B\[0m\n$/,
    );
    const [note = ''] = readdirSync(join(dir, 'inbox'));
    expect(JSON.parse(readFileSync(join(dir, 'inbox', note), 'utf8'))).toMatchObject({
      kind: 'log_read',
      fields: { verb: 'audit tail', filter: 'kind=decision', records: 0, follow: true },
    });
  });

  it.each([
    [['{dir}', '-n', 'x'], "-n: 'x' is not a whole number"],
    [['{dir}', 'usr=x'], "did you mean 'user'?"],
    [['/nowhere/at/all'], 'there is no decision log to read'],
    [['{dir}'], 'holds no decision log'],
  ])('%j is bad input', async (args, message) => {
    const dir = tempDir();
    const { code, out, err } = await tail(...args.map((arg) => arg.replace('{dir}', dir)));
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });
});
