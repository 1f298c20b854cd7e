import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runPdp } from '../../support/app.ts';
import { openDecisionLog } from '../../support/decision-log.ts';
import { tempDir } from '../audit/log-fixture.ts';

const explain = async (...args: string[]) => await runPdp('audit', 'explain', ...args);

async function aDecision(user: string): Promise<{ dir: string; id: string }> {
  const dir = tempDir();
  await using log = await openDecisionLog(dir);
  const { id } = await log.ask({ user });
  return { dir, id };
}

describe('pdp audit explain', () => {
  it('explains a decision in words, and has the reading recorded', async () => {
    const { dir, id } = await aDecision('carol');
    const { code, out, err } = await explain(id.slice(0, 13), dir);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^DENY {2}\(HTTP 403\)/);
    expect(out).toMatch(/reason +no_permit: access denied/);
    expect(out).toContain('Permits for another principal:\n  permit reports.finance');
    const [note = ''] = readdirSync(join(dir, 'inbox'));
    expect(JSON.parse(readFileSync(join(dir, 'inbox', note), 'utf8'))).toMatchObject({
      kind: 'log_read',
      fields: { verb: 'audit explain', id, records: 1 },
    });
  });

  it('with --json gives all of it, the record unchanged', async () => {
    const { dir, id } = await aDecision('alice');
    const found = JSON.parse((await explain(id, dir, '--json')).out) as { readonly record: unknown };
    const [name = ''] = readdirSync(dir).filter((file) => file.endsWith('.ndjson'));
    expect(found.record).toEqual(JSON.parse(readFileSync(join(dir, name), 'utf8').split('\n')[1] ?? ''));
    expect(found).toMatchObject({
      replay: { verdict: 'MATCH' },
      proof: { verdict: 'not_checkable' },
      question: { principal: { type: 'ZeroTrust::User', id: 'demo/alice' } },
    });
  });

  it('asks otherwise where it is told to', async () => {
    const { dir, id } = await aDecision('carol');
    const { out } = await explain(id, dir, '--set', 'context.http.path=/public/x');
    expect(out).toContain(
      'COUNTERFACTUAL (nobody was ever told this): with context.http.path = "/public/x": ALLOW in place of DENY',
    );
    expect((await explain(id, dir, '--without-policy', 'reports.public')).out).toContain(': still DENY');
  });

  it.each([
    [[], 'expected ID [DIR]'],
    [['{id}', '{dir}', 'more'], 'expected ID [DIR]'],
    [['{id}', '/nowhere/at/all'], 'there is no decision log to read'],
    [['0190aaaa-0000', '{dir}'], 'no decision has this id; the log covers 2026-01-01'],
    [['short', '{dir}'], 'is no decision id'],
    [['{id}', '{dir}', '--set', 'x'], 'write context.name=value'],
    [['{id}', '{dir}', '--without-policy', 'reports.publik'], "did you mean 'reports.public'?"],
  ])('%j is bad input', async (args, message) => {
    const { dir, id } = await aDecision('alice');
    const { code, out, err } = await explain(
      ...args.map((arg) => arg.replace('{dir}', dir).replace('{id}', id)),
    );
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });
});
