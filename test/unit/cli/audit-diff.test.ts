import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readInbox } from '../../../src/audit/log/inbox.ts';
import { auditDiff } from '../../../src/cli/audit-diff.ts';
import { runCli } from '../../../src/cli/run.ts';
import { createConfigFolder, runPdp } from '../../support/app.ts';
import { REPORT_POLICIES, openDecisionLog } from '../../support/decision-log.ts';
import { type PolicyFolder, createPolicyFolder } from '../../support/snapshot.ts';
import { logFolder } from '../audit/replay/fixture.ts';

const LEGAL = REPORT_POLICIES.replace('Group::"finance"', 'Group::"legal"');
const BY_IP = `${REPORT_POLICIES}\n@id("ip") permit(principal, action, resource) when { context has ip };`;

/** Two of finance and one of legal, who asks twice. */
async function written(dir: string, carol = 'carol'): Promise<void> {
  const groups = { alice: ['finance'], bob: ['finance'], [carol]: ['legal'] };
  await using log = await openDecisionLog(dir, { groups });
  for (const user of ['alice', 'bob', carol, carol]) await log.ask({ user });
}

async function diff(policies: PolicyFolder, dir: string, ...args: readonly string[]) {
  return await runPdp('audit', 'diff', dir, '--policies', policies.path, ...args);
}

describe('pdp audit diff', () => {
  it('says who would gain and who would lose, and exits with 0 unless told otherwise', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(LEGAL);
    await written(folder.dir);
    const { code, out, err } = await diff(policies, folder.dir);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out).toContain(
      'Of 4 decisions: 1 principal would gain access (2 decisions); 2 principals would lose access',
    );
    expect(out).toMatch(/gained by principal\n +2 {2}ZeroTrust::User::"demo\/carol"/);
    expect(out).toMatch(/revoked by policy\n +2 {2}no longer reports.finance/);
    expect(out).toContain('frozen: those that were recorded');
    expect(out).toContain('every recorded answer comes out again');
    expect(out).toMatch(/rate +\d+\/s/);
  });

  it.each([
    ['gained', LEGAL, 1],
    ['revoked,gained', LEGAL, 1],
    ['reclassified', LEGAL, 0],
    ['gained,revoked,reclassified', REPORT_POLICIES, 0],
    ['gained', BY_IP, 3],
    ['revoked', BY_IP, 0],
  ])('exits by what is not to happen: %s', async (buckets, text, code) => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(text);
    await written(folder.dir);
    const answer = await diff(policies, folder.dir, '--fail-on', buckets);
    expect(answer.code).toBe(code);
    expect(answer.err.includes('2 may be gained (exit code 3)')).toBe(code === 3);
  });

  it('answers machines with one JSON object', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(LEGAL);
    await written(folder.dir);
    const { out } = await diff(policies, folder.dir, '--json');
    expect(JSON.parse(out)).toMatchObject({
      decisions: 4,
      facts: 'frozen',
      buckets: { gained: 2, revoked: 2, reclassified: 0, unchanged: 0, not_replayable: 0, error: 0 },
      base: { match: 4, mismatch: 0, unknown: 0 },
      gained: {
        principals: 1,
        by_principal: {
          groups: [
            { principal: 'ZeroTrust::User::"demo/carol"', decisions: 2, first: '2026-01-01T00:00:00.000Z' },
          ],
        },
        by_resource_type: { groups: [{ resource_type: 'ZeroTrust::Endpoint', decisions: 2 }] },
        by_action: { groups: [{ action: 'ZeroTrust::Action::"GET"' }] },
        by_policy: { groups: [{ policy: 'reports.finance' }] },
      },
      revoked: { principals: 2 },
      not_replayable: [],
      timeline: { spans: [{ gained: 2, revoked: 2 }] },
    });
  });

  it('says in JSON what is missing to tell', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(BY_IP);
    await written(folder.dir);
    const { out } = await diff(policies, folder.dir, '--json');
    expect(JSON.parse(out)).toMatchObject({
      may_be: { gained: 2, revoked: 0, reclassified: 4 },
      not_replayable: [{ why: 'needs_facts', groups: [{ about: 'context.ip', decisions: 4 }] }],
    });
  });

  it('writes a page that needs nothing else, and in which names are text', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(LEGAL);
    await written(folder.dir, '"><img src=x onerror=alert(1)><script>\u202Eevil');
    const file = join(folder.dir, 'diff.html');
    await diff(policies, folder.dir, '--html', file);
    const html = readFileSync(file, 'utf8');
    expect(html).toContain('1 principal would gain access');
    expect(html).toContain('<svg');
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;&lt;script&gt;');
    expect(html).not.toMatch(/<script|<link|<img|https?:|src=['"]|url\(|\u202E/);
    const { out } = await diff(policies, folder.dir);
    expect(out).not.toMatch(/\u202E/);
  });

  it('says on a page that nothing changes', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(REPORT_POLICIES);
    await written(folder.dir);
    const file = join(folder.dir, 'diff.html');
    await diff(policies, folder.dir, '--html', file);
    expect(readFileSync(file, 'utf8')).toContain('All 4 decisions would come out the same.');
  });

  it('asks information points for current facts', async () => {
    await using folder = await createConfigFolder();
    const facts = join(folder.path, 'facts.json');
    writeFileSync(
      facts,
      JSON.stringify({ 'demo/alice': { groups: ['legal'] }, 'demo/bob': { groups: ['finance'] } }),
    );
    const config = join(folder.path, 'facts.yaml');
    writeFileSync(
      config,
      `${readFileSync(folder.configFile, 'utf8').replace(/^pips:[\s\S]*?(?=^\S)/m, '')}
pips:
  - { kind: static_file, name: directory, subject: user, gives: [groups], file: ${facts} }
`,
    );
    await using policies = await createPolicyFolder(LEGAL);
    await written(folder.auditDir);
    const { code, out, err } = await diff(
      policies,
      folder.auditDir,
      '--facts',
      'current',
      '--json',
      '--config',
      config,
    );
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ facts: 'current', buckets: { revoked: 1, unchanged: 3 } });
  });

  it('shows on a terminal how far it is, and how fast', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(LEGAL);
    await written(folder.dir);
    let err = '';
    const terminal = { out: () => undefined, err: (text: string) => void (err += text), interactive: true };
    await runCli([auditDiff], ['audit', 'diff', folder.dir, '--policies', policies.path], terminal);
    expect(err).toMatch(/\[#{20}\] 1 of 1 segments, 4 decisions compared, \d+\/s …\r\u001B\[K$/);
  });

  it('compares the configured log where no folder is given', async () => {
    await using folder = await createConfigFolder();
    await using policies = await createPolicyFolder(REPORT_POLICIES);
    await written(folder.auditDir);
    const args = ['--policies', policies.path, '--config', folder.configFile];
    expect((await runPdp('audit', 'diff', ...args)).code).toBe(0);
  });

  it('asks for a record of the reading, and says where there can be none', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder(REPORT_POLICIES);
    await written(folder.dir);
    await diff(policies, folder.dir);
    expect(readInbox(folder.dir)).toMatchObject([
      { kind: 'log_read', fields: { verb: 'audit diff', records: 4 } },
    ]);
    rmSync(join(folder.dir, 'inbox'), { recursive: true });
    writeFileSync(join(folder.dir, 'inbox'), '');
    expect((await diff(policies, folder.dir)).err).toContain('this reading is not recorded');
    chmodSync(folder.dir, 0o700);
  });

  it.each([
    ['no policies', [], '--policies: is needed'],
    ['other facts', ['--policies', '.', '--facts', 'old'], 'neither frozen nor current'],
    [
      'another bucket',
      ['--policies', '.', '--fail-on', 'unchanged'],
      'is none of gained, revoked, reclassified',
    ],
    ['no share', ['--policies', '.', '--sample', '2'], 'is no share'],
    ['no time', ['--policies', '.', '--from', 'soon'], 'is no time'],
    ['two folders', ['more', '--policies', '.'], 'expected one folder'],
    ['a folder without policies', ['--policies', '/nowhere'], 'cannot be read as a policy set folder'],
  ])('refuses %s', async (_name, args, message) => {
    using folder = logFolder();
    await written(folder.dir);
    const { code, err } = await runPdp('audit', 'diff', folder.dir, ...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  it('refuses policies that are not valid, with their problems, and a folder without a log', async () => {
    using folder = logFolder();
    await using policies = await createPolicyFolder('permit(principal, action, resource);');
    const { code, err } = await diff(policies, folder.dir);
    expect(code).toBe(2);
    expect(err).toContain('main.cedar:1:1');
    await policies.write('main.cedar', REPORT_POLICIES);
    const empty = await diff(policies, folder.dir);
    expect(empty.code).toBe(2);
    expect(empty.err).toContain('holds no decision log');
  });
});
