import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refuse } from '../../../../src/pdp/decision.ts';
import { REPORT_POLICIES } from '../../../support/decision-log.ts';
import { userIdentity } from '../../pdp/decision-point.ts';
import { recordLog, snapshotWith, told } from './fixture.ts';

const PUBLIC = `@id("reports.public")
permit(principal, action == ZeroTrust::Action::"GET", resource)
when { context has http && context.http.path like "/public/*" };`;

describe('a decision under other policies', () => {
  it('is unchanged, all of them, under the very same policies', async () => {
    const asks = fc.array(
      fc.record({
        user: fc.constantFrom('alice', 'bob', 'carol', undefined),
        method: fc.constantFrom('GET', 'POST', 'BREW'),
        path: fc.constantFrom('/reports/q1', '/reports/hold/1', '/public/x', '/private'),
      }),
      { minLength: 1, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(asks, async (questions) => {
        await using recorded = await recordLog({}, async (log) => {
          for (const { user, ...question } of questions)
            await log.ask({ ...question, ...(user && { user }) });
        });
        const diffs = await recorded.diffs(snapshotWith(REPORT_POLICIES));
        expect(told(diffs)).toEqual(questions.map(() => 'unchanged'));
        expect(diffs.every(({ base }) => base === 'match')).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it('is gained, revoked or reclassified, a hit by its own record', async () => {
    await using recorded = await recordLog({}, async (log) => {
      await log.ask({ user: 'alice', path: '/reports/q1' });
      await log.ask({ user: 'alice', path: '/reports/q1' });
      await log.ask({ user: 'carol', path: '/reports/q1' });
      await log.ask({ path: '/public/x' });
      await log.ask({ user: 'bob', path: '/reports/hold/1' });
    });
    const next = snapshotWith(`${PUBLIC}
@id("reports.anybody")
permit(principal is ZeroTrust::User, action == ZeroTrust::Action::"GET", resource)
when { context has http && context.http.path like "/reports/*" && principal.subject != "alice" };
@id("reports.hold") @reason("kept for the court")
forbid(principal, action, resource)
when { context has http && context.http.path like "/reports/hold/*" };`);
    const diffs = await recorded.diffs(next);
    expect(told(diffs)).toEqual([
      'revoked decision reason policies',
      'revoked decision reason policies',
      'gained decision reason policies',
      'unchanged',
      'reclassified message',
    ]);
    expect(diffs[1]?.record.decision_id).not.toBe(diffs[1]?.evaluated.decision_id);
    const { tally } = await recorded.report(next);
    expect([...tally.groups.revoked.principals]).toEqual(['ZeroTrust::User::"demo/alice"']);
    expect([...tally.groups.gained.principals]).toEqual(['ZeroTrust::User::"demo/carol"']);
    expect(tally.groups.revoked.principal.byName.get('ZeroTrust::User::"demo/alice"')?.count).toBe(2);
    expect([...tally.groups.gained.policy.byName.keys()]).toEqual(['reports.anybody']);
    expect([...tally.groups.revoked.policy.byName.keys()]).toEqual(['no longer reports.finance']);
  });

  it('stays as it was where policies had no part in it, and is counted apart', async () => {
    const user = () => Promise.resolve(refuse('token_expired'));
    await using recorded = await recordLog({ setup: { user } }, async (log) => {
      await log.ask({ path: '/public/x' });
    });
    const { tally } = await recorded.report(snapshotWith(PUBLIC));
    expect(tally.buckets.unchanged).toBe(1);
    expect(tally.byStage.unchanged).toBe(1);
  });

  it('is compared by its own policies where the log holds several sets', async () => {
    await using recorded = await recordLog({}, async (log) => {
      await log.ask({ user: 'carol' });
      log.activate(PUBLIC);
      await log.ask({ user: 'alice' });
      await log.ask({ path: '/public/x' });
    });
    expect(told(await recorded.diffs(snapshotWith(REPORT_POLICIES)))).toEqual([
      'unchanged',
      'not_replayable needs_facts ZeroTrust::User in ZeroTrust::Group',
      'unchanged',
    ]);
  });
});

describe('what the new policies read and the old ones did not', () => {
  const group = `${PUBLIC}
@id("hr") permit(principal in ZeroTrust::Group::"hr", action, resource);`;

  it('is not guessed: groups', async () => {
    await using recorded = await recordLog({ policies: PUBLIC }, async (log) => {
      await log.ask({ user: 'alice' });
      await log.ask({ path: '/private' });
    });
    const diffs = await recorded.diffs(snapshotWith(group));
    expect(told(diffs)).toEqual([
      'not_replayable needs_facts ZeroTrust::User in ZeroTrust::Group',
      'unchanged',
    ]);
    expect(diffs[0]?.open?.may).toEqual(['ALLOW', 'DENY']);
  });

  it('is not guessed: attributes, and what of the context the record does not tell', async () => {
    await using recorded = await recordLog({ policies: PUBLIC }, async (log) => {
      await log.ask({ user: 'alice' });
    });
    const next = snapshotWith(`${PUBLIC}
@id("dept") permit(principal is ZeroTrust::User, action, resource) when { principal has department };
@id("ip") permit(principal, action, resource) when { context has ip && context.ip.isLoopback() };
@id("token") permit(principal, action, resource) when { context has token && context.token has acr };`);
    const [diff] = await recorded.diffs(next);
    expect(diff?.open?.why).toBe('needs_facts');
    expect(diff?.open?.about.toSorted()).toEqual([
      'ZeroTrust::User.department',
      'context.ip',
      'context.token',
    ]);
  });

  it('matters only where a policy that reads it can match', async () => {
    await using recorded = await recordLog({ policies: PUBLIC }, async (log) => {
      await log.ask({ user: 'alice', method: 'GET' });
    });
    const next = snapshotWith(`${PUBLIC}
@id("dept") permit(principal, action == ZeroTrust::Action::"DELETE", resource) when { context has ip };`);
    expect(told(await recorded.diffs(next))).toEqual(['unchanged']);
  });

  it('does not matter where a forbid settles the answer, and cannot lift a permit', async () => {
    await using recorded = await recordLog({}, async (log) => {
      await log.ask({ user: 'alice', path: '/reports/hold/1' });
      await log.ask({ user: 'alice', path: '/reports/q1' });
      await log.ask({ user: 'carol', path: '/reports/q1' });
    });
    const permit = `${REPORT_POLICIES}\n@id("ip") permit(principal, action, resource) when { context has ip };`;
    const permitted = await recorded.diffs(snapshotWith(permit));
    expect(told(permitted)).toEqual([
      'unchanged',
      'not_replayable needs_facts context.ip',
      'not_replayable needs_facts context.ip',
    ]);
    expect(permitted.map(({ open }) => open?.may)).toEqual([undefined, ['ALLOW'], ['ALLOW', 'DENY']]);
    const forbid = `${REPORT_POLICIES}\n@id("ip") forbid(principal, action, resource) when { context has ip };`;
    const forbidden = await recorded.diffs(snapshotWith(forbid));
    expect(forbidden.map(({ open }) => open?.may)).toEqual([['DENY'], ['ALLOW', 'DENY'], ['DENY']]);
  });

  it('is taken from the record where that tells it: time, route, parties', async () => {
    const old = '@id("none") permit(principal, action == ZeroTrust::Action::"HEAD", resource);';
    await using recorded = await recordLog({ policies: old }, async (log) => {
      await log.ask({ user: 'alice', path: '/reports/q1' });
      await log.ask({ path: '/reports/q1' });
    });
    const next = snapshotWith(`${old}
@id("told") permit(principal is ZeroTrust::User, action, resource) when {
  context has now && context.now < datetime("2026-01-02") && context has http && context.http.path == "/reports/q1" &&
  context has user && context.user.subject == "alice" && context.mtls && context has source_evidence };`);
    expect(told(await recorded.diffs(next))).toEqual(['gained decision reason policies', 'unchanged']);
    const scheme = snapshotWith(
      `${old}\n@id("scheme") permit(principal, action, resource) when { context has http && context.http.scheme == "https" };`,
    );
    expect(told(await recorded.diffs(scheme))).toEqual([
      'not_replayable needs_facts context.http.scheme',
      'not_replayable needs_facts context.http.scheme',
    ]);
  });
});

describe('a workload that asked first', () => {
  it('is known by name, and what information points know of it is not: nobody asked them then', async () => {
    const workload = (id: string) => ({
      id,
      trustDomain: 'prod.example.com',
      path: id.slice(25),
      evidence: 'xfcc' as const,
    });
    const workloads = {
      source: workload('spiffe://prod.example.com/ns/edge/sa/proxy'),
      origin: workload('spiffe://prod.example.com/ns/shop/sa/web'),
    };
    const old = '@id("none") permit(principal in ZeroTrust::WorkloadGroup::"ops", action, resource);';
    const setup = { workload: { authenticate: () => workloads } };
    await using recorded = await recordLog({ policies: old, setup }, async (log) => {
      await log.ask({});
    });
    const named = snapshotWith(`
@id("web") permit(principal, action, resource) when { context has origin && context.origin.trust_domain == "prod.example.com" };`);
    expect(told(await recorded.diffs(named))).toEqual(['gained decision reason policies']);
    const grouped = snapshotWith(`${old}
@id("web") permit(principal, action, resource) when { context has origin && context.origin in ZeroTrust::WorkloadGroup::"web" };`);
    expect(told(await recorded.diffs(grouped))).toEqual([
      'not_replayable needs_facts ZeroTrust::Workload in ZeroTrust::WorkloadGroup',
    ]);
  });
});

describe('static data of the policy set', () => {
  const policies = `@id("dept")
permit(principal is ZeroTrust::User, action, resource) when { principal has department && principal.department == "legal" };
@id("staff") permit(principal in ZeroTrust::Group::"staff", action == ZeroTrust::Action::"HEAD", resource);`;
  const users = (department: string, parents: readonly object[] = []) => [
    {
      file: 'entities.json',
      text: JSON.stringify([
        {
          uid: { type: 'ZeroTrust::User', id: 'demo/alice' },
          attrs: { issuer: 'demo', subject: 'alice', department },
          parents,
        },
      ]),
    },
  ];
  const options = (department: string) => {
    const snapshot = snapshotWith(policies, { entities: users(department) });
    return { setup: { snapshots: { current: () => snapshot }, sources: [] } };
  };

  it('is that of the new set, not that of the old one', async () => {
    await using recorded = await recordLog(options('finance'), async (log) => {
      await log.ask({ user: 'alice' });
      await log.ask({ user: 'bob' });
    });
    const next = snapshotWith(policies, { entities: users('legal') });
    expect(told(await recorded.diffs(next))).toEqual(['gained decision reason policies', 'unchanged']);
    const without = snapshotWith(policies);
    expect(told(await recorded.diffs(without))).toEqual(['unchanged', 'unchanged']);
  });

  it('puts a party into a new group', async () => {
    await using recorded = await recordLog(options('finance'), async (log) => {
      await log.ask({ user: 'alice', method: 'HEAD' });
    });
    const staff = [{ type: 'ZeroTrust::Group', id: 'staff' }];
    const next = snapshotWith(policies, { entities: users('finance', staff) });
    expect(told(await recorded.diffs(next))).toEqual(['gained decision reason policies']);
  });

  it('is not told apart from what an information point may have said as well', async () => {
    const old = snapshotWith(policies, { entities: users('finance') });
    const source = {
      name: 'directory',
      subject: 'user' as const,
      gives: ['department'],
      onFailure: 'deny' as const,
      lookup: () => ({
        status: 'found' as const,
        attributes: { department: 'finance' },
        groups: [],
        observedAt: 0,
        freshUntil: Date.UTC(2027, 0),
      }),
    };
    const setup = { snapshots: { current: () => old }, sources: [source], user: userIdentity('alice') };
    await using recorded = await recordLog({ setup }, async (log) => {
      await log.ask({ user: 'alice' });
    });
    const next = snapshotWith(policies, { entities: users('legal') });
    expect(told(await recorded.diffs(next))).toEqual([
      'not_replayable needs_facts ZeroTrust::User.department',
    ]);
    expect(told(await recorded.diffs(old))).toEqual(['unchanged']);
  });
});

describe('a schema that takes other data', () => {
  it('is an error, not an answer', async () => {
    await using recorded = await recordLog({}, async (log) => {
      await log.ask({ user: 'alice' });
    });
    const texts = snapshotWith(REPORT_POLICIES).texts;
    const schemas = texts.schemas.map(({ file, text }) => ({
      file,
      text: text.replace(
        'path: String,\n    host: String,\n  };\n\n  type Token',
        'path: Long,\n    host: String,\n  };\n\n  type Token',
      ),
    }));
    expect(schemas[0]?.text).not.toBe(texts.schemas[0]?.text);
    const next = snapshotWith(REPORT_POLICIES, { schemas });
    expect(told(await recorded.diffs(next))).toEqual(['error attribute_refused']);
  });

  it('asks for what it newly requires', async () => {
    await using recorded = await recordLog({}, async (log) => {
      await log.ask({ user: 'alice' });
    });
    const texts = snapshotWith(REPORT_POLICIES).texts;
    const schemas = texts.schemas.map(({ file, text }) => ({
      file,
      text: text.replace('department?: String', 'department: String'),
    }));
    const next = snapshotWith(REPORT_POLICIES, { schemas });
    expect(told(await recorded.diffs(next))).toEqual([
      'not_replayable needs_facts ZeroTrust::User.department',
    ]);
  });
});
