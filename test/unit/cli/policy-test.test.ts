import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { policyTest } from '../../../src/cli/policy-test.ts';
import { runCli } from '../../../src/cli/run.ts';
import { watchPolicies } from '../../../src/policy-test/watch.ts';
import { POLICIES, SCHEMA, Sets, requestCase } from '../policy-test/fixture.ts';

async function test(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const told = { out: '', err: '' };
  const terminal = {
    out: (text: string) => void (told.out += text),
    err: (text: string) => void (told.err += text),
    interactive: false,
  };
  const code = await runCli([policyTest], ['policy', 'test', ...args], terminal);
  return { code, ...told };
}

function aSet(sets: Sets, ...cases: object[]): string {
  return sets.write({ 's/schema.cedarschema': SCHEMA, 's/s.cedar': POLICIES, 's/tests/t.json': cases });
}

const passes = requestCase('passes', {}, { decision: 'ALLOW' });
const fails = requestCase('fails', {}, { decision: 'DENY' });

describe('pdp policy test', () => {
  it('exits with 0 where all passed, 1 where one failed, 2 where it cannot run', async () => {
    using sets = new Sets();
    expect(await test(aSet(sets, passes))).toMatchObject({ code: 0, err: '' });
    expect(await test(aSet(sets, passes, fails))).toMatchObject({ code: 1 });
    expect(await test(aSet(sets, {}))).toMatchObject({ code: 2, out: '' });
    expect(await test()).toMatchObject({ code: 2 });
    expect(await test(join(sets.root, 'none'))).toMatchObject({ code: 2 });
    expect(await test(sets.root, '--min-coverage', 'lots')).toMatchObject({ code: 2 });
  });

  it('writes JSON, JUnit and HTML', async () => {
    using sets = new Sets();
    const root = aSet(sets, passes, fails);
    const files = { junit: join(root, 'j.xml'), html: join(root, 'h.html') };
    const { code, out } = await test(root, '--json', '--junit', files.junit, '--html', files.html);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ passed: 1, failed: 1 });
    expect(readFileSync(files.junit, 'utf8')).toContain('failures="1"');
    expect(readFileSync(files.html, 'utf8')).toContain('<!doctype html>');
    expect(await test(root, '--junit', join(root, 'none/j.xml'))).toMatchObject({ code: 2 });
  });

  it('fails below the coverage asked for, and names the set', async () => {
    using sets = new Sets();
    const root = aSet(sets, passes);
    expect(await test(root, '--min-coverage', '10')).toMatchObject({ code: 0 });
    const { code, err } = await test(root, '--min-coverage', '90');
    expect(code).toBe(1);
    expect(err).toMatch(/^s: coverage is below 90 %: 25 % of policies, \d+ % of conditions\n$/);
  });

  it('runs what the filter means, and refuses a filter that means nothing', async () => {
    using sets = new Sets();
    const root = aSet(sets, passes, fails);
    expect(await test(root, '--filter', 'PASSES')).toMatchObject({ code: 0 });
    expect(await test(root, '--filter', 'nothing')).toMatchObject({ code: 2 });
  });
});

describe('the scenarios', () => {
  it('all pass, and every policy of them decides some test', async () => {
    const { code, out, err } = await test('policies', '--coverage', '--json');
    expect(err).toBe('');
    expect(code).toBe(0);
    const report = JSON.parse(out) as {
      sets: {
        name: string;
        warnings: unknown[];
        tests: { actual: { decision: string } }[];
        coverage: { undetermined: string[] };
      }[];
    };
    for (const { name, warnings, tests, coverage } of report.sets) {
      expect([name, warnings, coverage.undetermined]).toEqual([name, [], []]);
      expect(new Set(tests.map((one) => one.actual.decision))).toEqual(new Set(['ALLOW', 'DENY']));
    }
  });
});

describe('watching', () => {
  it('runs once for changes that come together, again for the next, and ends with the signal', async () => {
    using sets = new Sets();
    const root = aSet(sets, passes);
    const stop = new AbortController();
    let runs = 0;
    let next = Promise.withResolvers<void>();
    const watching = watchPolicies(
      [join(root, 's')],
      async () => {
        runs += 1;
        next.resolve();
      },
      stop.signal,
    );
    writeFileSync(join(root, 's/s.cedar'), POLICIES);
    writeFileSync(join(root, 's/schema.cedarschema'), SCHEMA);
    await next.promise;
    expect(runs).toBe(1);
    next = Promise.withResolvers();
    writeFileSync(join(root, 's/tests/t.json'), '[]');
    await next.promise;
    expect(runs).toBe(2);
    stop.abort();
    await watching;
  });

  it('follows the schema above the set', async () => {
    using sets = new Sets();
    const root = sets.write({ 'schema.cedarschema': SCHEMA, 's/s.cedar': POLICIES });
    const stop = new AbortController();
    const watching = watchPolicies([join(root, 's')], async () => stop.abort(), stop.signal);
    writeFileSync(join(root, 'schema.cedarschema'), `${SCHEMA}\n`);
    await watching;
    expect(stop.signal.aborted).toBe(true);
  });

  it('ends at once where the signal has aborted, and rejects with what a run rejects with', async () => {
    using sets = new Sets();
    const root = aSet(sets, passes);
    await watchPolicies([root], async () => undefined, AbortSignal.abort());
    const watching = watchPolicies(
      [root],
      () => Promise.reject(new Error('broken')),
      new AbortController().signal,
    );
    writeFileSync(join(root, 's/s.cedar'), POLICIES);
    await expect(watching).rejects.toThrow('broken');
  });
});
