// src/pdp/explain: the sample policy sets, one missing piece at a time, in the exact words.
import { describe, expect, test } from 'vitest';
import type { AttributeFact, AttributeRecord } from '../../../../src/pdp/attribute.ts';
import type { CedarRequest, CedarValue, EntityUid } from '../../../../src/pdp/evaluation.ts';
import type { Explanation, PolicyExplanation } from '../../../../src/pdp/explain/explanation.ts';
import { explanationText } from '../../../../src/pdp/explain/explanation-text.ts';
import { DASHBOARD_APP, LEDGER_API, PAYMENT_API, REPORTS_API, WEB } from '../../../support/requests.ts';
import { NOW, explained, failedWords, sampleSet, zt } from './fixture.ts';

type Values = { readonly [name: string]: CedarValue | undefined };

interface Asked {
  readonly principal: EntityUid;
  readonly method: string;
  readonly service: string;
  readonly path: string;
  readonly source?: string | undefined;
  readonly context?: Values;
  readonly groups?: readonly string[];
  readonly revoked?: boolean | undefined;
  readonly posture?: AttributeRecord | undefined;
}

/** The request as `bind` makes it of what was verified. */
function asked({
  principal,
  method,
  service,
  path,
  source,
  context = {},
  groups = [],
  revoked,
  posture,
}: Asked): CedarRequest {
  const endpoint = zt('Endpoint', `${service} ${path}`);
  const known: Values = {
    mtls: source !== undefined,
    source: source && { __entity: zt('Workload', source) },
    ...context,
  };
  return {
    principal,
    action: zt('Action', method),
    resource: endpoint,
    context: Object.fromEntries(
      Object.entries(known).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    entities: [
      {
        uid: zt('User', 'demo/alice'),
        attrs: { issuer: 'demo', subject: 'alice', ...(revoked !== undefined && { revoked }) },
        parents: groups.map((id) => zt('Group', id)),
      },
      ...(posture ? [{ uid: zt('Device', 'laptop-1'), attrs: posture, parents: [] }] : []),
      { uid: endpoint, attrs: { path, host: 'h' }, parents: [zt('Service', service)] },
      { uid: zt('Service', service), attrs: { host: 'h' }, parents: [] },
    ],
  };
}

/** The last condition of each: what tells it from the other forbids, which share their scopes. */
function lastWords(policies: readonly PolicyExplanation[]): Record<string, string | undefined> {
  return Object.fromEntries(policies.map(({ id, conditions }) => [id, conditions.at(-1)?.words]));
}

describe('the explanation of a mesh call', () => {
  const PERMIT = 'mesh.payment-api-posts-entries';
  const FORBID = 'mesh.only-payment-api-reaches-the-ledger';

  function call(change: Partial<Asked> = {}): Explanation {
    const source = 'source' in change ? change.source : PAYMENT_API;
    const principal = source === undefined ? zt('Anonymous', 'anonymous') : zt('Workload', source);
    const cedar = asked({
      principal,
      method: 'POST',
      service: LEDGER_API,
      path: '/internal/entries',
      source,
      ...change,
    });
    return explained(sampleSet('mesh-call'), cedar, { file: 'mesh-call.cedar' }).explanation;
  }

  test('that is permitted tells what made it so', () => {
    const { verdict, determining, nearMisses, scopeMisses, truncated } = call();
    expect({ verdict, nearMisses, scopeMisses, truncated }).toEqual({
      verdict: 'permit',
      nearMisses: [],
      scopeMisses: [],
      truncated: false,
    });
    expect(determining).toHaveLength(1);
    expect(determining[0]).toMatchObject({
      id: PERMIT,
      effect: 'permit',
      file: 'mesh-call.cedar',
      line: 3,
      column: 1,
      failed: 0,
    });
    expect(determining[0]?.text).toMatch(/^@id\("mesh\.payment-api-posts-entries"\)\npermit \([^]*\};$/);
    expect(determining[0]?.conditions.map(({ words }) => words)).toEqual([
      'action is ZeroTrust::Action::"POST"',
      `resource is in ZeroTrust::Service::"${LEDGER_API}"`,
      'context.mtls is true',
      'context has source',
      `context.source is ZeroTrust::Workload::"${PAYMENT_API}"`,
      'resource.path is "/internal/entries"',
    ]);
  });

  test('from another workload names the workload', () => {
    const { determining, nearMisses } = call({ source: WEB });
    const words = `context.source is ZeroTrust::Workload::"${WEB}", not ZeroTrust::Workload::"${PAYMENT_API}"`;
    expect(lastWords(determining)).toEqual({ [FORBID]: words });
    expect(failedWords(nearMisses)).toEqual({ [PERMIT]: [words] });
  });

  test('without a workload says that there is none, and once', () => {
    const { determining, nearMisses } = call({ source: undefined });
    expect(lastWords(determining)).toEqual({ [FORBID]: 'context has no source' });
    expect(failedWords(nearMisses)).toEqual({ [PERMIT]: ['context.mtls is false', 'context has no source'] });
    expect(nearMisses[0]?.conditions.map(({ outcome }) => outcome)).toEqual([
      'holds',
      'holds',
      'fails',
      'fails',
      'not_reached',
      'holds',
    ]);
  });

  test('to another path has no forbid to blame, only the permit that came near', () => {
    const explanation = call({ path: '/x' });
    expect(explanation.determining).toEqual([]);
    expect(failedWords(explanation.nearMisses)).toEqual({
      [PERMIT]: ['resource.path is "/x", not "/internal/entries"'],
    });
    expect(explanationText(explanation)).toBe(
      [
        'No permit applies.',
        'Permits that came near:',
        '  permit mesh.payment-api-posts-entries  mesh-call.cedar:3:1',
        '    1 of 6 conditions stands in the way:',
        '    - resource.path is "/x", not "/internal/entries"',
        '',
      ].join('\n'),
    );
  });

  test('with another method or to another service is near nothing', () => {
    expect(call({ method: 'GET' })).toMatchObject({
      verdict: 'deny',
      determining: [],
      nearMisses: [],
      scopeMisses: [],
    });
    expect(explanationText(call({ service: WEB }))).toBe('No permit applies.\n');
  });
});

describe('the explanation of a look at the finance dashboard', () => {
  const PERMIT = 'finance.members-read-quarterly-report';
  const HEALTHY: AttributeRecord = {
    managed: true,
    compliant: true,
    disk_encrypted: true,
    os: { patched: true },
  };
  const ALICE = zt('User', 'demo/alice');

  interface Look extends Partial<Asked> {
    readonly anonymous?: boolean;
    readonly amr?: readonly string[] | undefined;
    readonly status?: AttributeFact['status'];
  }

  function look({ anonymous = false, status = 'found', ...change }: Look = {}): Explanation {
    const source = 'source' in change ? change.source : DASHBOARD_APP;
    const posture = 'posture' in change ? change.posture : HEALTHY;
    const revoked = 'revoked' in change ? change.revoked : false;
    const groups = change.groups ?? ['Finance'];
    const amr = 'amr' in change ? change.amr : ['pwd', 'mfa'];
    const user: Values = {
      user: { __entity: ALICE },
      device: posture && { __entity: zt('Device', 'laptop-1') },
      token: { issuer: 'demo', audience: ['reports'], ...(amr && { amr }) },
    };
    const principal = !anonymous
      ? ALICE
      : source === undefined
        ? zt('Anonymous', 'anonymous')
        : zt('Workload', source);
    const cedar = asked({
      principal,
      method: 'GET',
      service: REPORTS_API,
      path: '/api/reports/quarterly',
      ...change,
      source,
      posture,
      groups,
      revoked,
      context: anonymous ? {} : user,
    });
    const common = { freshUntil: NOW + 60_000, groups: [], gives: [] };
    const facts: AttributeFact[] = [
      {
        ...common,
        source: 'directory',
        subject: 'user',
        subjectId: 'demo/alice',
        status: 'found',
        attributes: revoked === undefined ? {} : { revoked },
        groups,
        observedAt: NOW - 90_000,
      },
      {
        ...common,
        source: 'jamf',
        subject: 'device',
        subjectId: 'laptop-1',
        status,
        attributes: posture ?? {},
        observedAt: NOW - 4000,
      },
    ];
    return explained(sampleSet('finance-dashboard'), cedar, { facts, file: 'finance-dashboard.cedar' })
      .explanation;
  }

  test('that is permitted tells what made it so, and since when that is known', () => {
    const { verdict, determining } = look();
    expect(verdict).toBe('permit');
    expect(determining[0]?.conditions.map(({ words }) => words)).toEqual([
      'principal is in ZeroTrust::Group::"Finance" (source: directory, 90 s old)',
      'action is ZeroTrust::Action::"GET"',
      `resource is in ZeroTrust::Service::"${REPORTS_API}"`,
      'resource.path is "/api/reports/quarterly"',
    ]);
  });

  test.each<[missing: string, change: Look, forbids: Record<string, string>]>([
    [
      'the app',
      { source: WEB },
      {
        'finance.known-app-only': `context.source is ZeroTrust::Workload::"${WEB}", not ZeroTrust::Workload::"${DASHBOARD_APP}"`,
      },
    ],
    ['any workload', { source: undefined }, { 'finance.known-app-only': 'context has no source' }],
    [
      'multi-factor authentication',
      { amr: ['pwd'] },
      { 'finance.mfa': 'context.token.amr is ["pwd"], which does not contain "mfa"' },
    ],
    ['word of how the user authenticated', { amr: undefined }, { 'finance.mfa': 'context.token has no amr' }],
    [
      'good standing',
      { revoked: true },
      { 'finance.not-revoked': 'principal.revoked is true (source: directory, 90 s old)' },
    ],
    [
      'word of the standing',
      { revoked: undefined },
      { 'finance.standing-known': 'principal has no revoked' },
    ],
    ['a device', { posture: undefined }, { 'finance.device-known': 'context has no device' }],
    [
      'management',
      { posture: { ...HEALTHY, managed: false } },
      { 'finance.device-managed': 'context.device.managed is false (source: jamf, 4 s old)' },
    ],
    [
      'compliance',
      { posture: { ...HEALTHY, compliant: false } },
      { 'finance.device-compliant': 'context.device.compliant is false (source: jamf, 4 s old)' },
    ],
    [
      'encryption',
      { posture: { ...HEALTHY, disk_encrypted: false } },
      { 'finance.device-encrypted': 'context.device.disk_encrypted is false (source: jamf, 4 s old)' },
    ],
    [
      'patches',
      { posture: { ...HEALTHY, os: { patched: false } } },
      { 'finance.device-patched': 'context.device.os.patched is false (source: jamf, 4 s old)' },
    ],
    [
      'word of patches',
      { posture: { ...HEALTHY, os: {} } },
      { 'finance.device-patched': 'context.device.os has no patched (source: jamf, 4 s old)' },
    ],
    [
      'all posture, for its source does not know the device',
      { posture: {}, status: 'absent' },
      {
        'finance.device-managed': 'context.device has no managed (jamf does not know it)',
        'finance.device-compliant': 'context.device has no compliant (jamf does not know it)',
        'finance.device-encrypted': 'context.device has no disk_encrypted (jamf does not know it)',
        'finance.device-patched': 'context.device has no os (jamf does not know it)',
      },
    ],
  ])('without %s names it, and the permit that it overrode', (_missing, change, forbids) => {
    const { verdict, determining, overridden, nearMisses, scopeMisses } = look(change);
    expect(verdict).toBe('deny');
    expect(lastWords(determining)).toEqual(forbids);
    expect(overridden.map(({ id }) => id)).toEqual([PERMIT]);
    expect([nearMisses, scopeMisses]).toEqual([[], []]);
  });

  test('by a user of another department names the group that is wanted', () => {
    const { determining, nearMisses, scopeMisses } = look({ groups: ['Engineering'] });
    expect([determining, nearMisses]).toEqual([[], []]);
    expect(failedWords(scopeMisses)).toEqual({
      [PERMIT]: [
        'principal is ZeroTrust::User::"demo/alice", the policy wants one in ZeroTrust::Group::"Finance"',
      ],
    });
  });

  test('by nobody says that a user is wanted', () => {
    const { determining, scopeMisses } = look({ anonymous: true });
    expect(lastWords(determining)).toEqual({ 'finance.user-known': 'context has no user' });
    expect(failedWords(scopeMisses)).toEqual({
      [PERMIT]: [
        `principal is ZeroTrust::Workload::"${DASHBOARD_APP}", the policy wants one in ZeroTrust::Group::"Finance"`,
      ],
    });
  });

  test('of another report says which one is open', () => {
    const { determining, nearMisses } = look({ path: '/api/reports/annual' });
    expect(determining).toEqual([]);
    expect(failedWords(nearMisses)).toEqual({
      [PERMIT]: ['resource.path is "/api/reports/annual", not "/api/reports/quarterly"'],
    });
  });

  test('gives the values that were read as data, with their age', () => {
    const { determining } = look({ posture: { ...HEALTHY, compliant: false } });
    expect(determining[0]?.conditions.at(-1)).toEqual({
      clause: 'unless',
      text: 'context.device.compliant',
      wanted: false,
      outcome: 'holds',
      words: 'context.device.compliant is false (source: jamf, 4 s old)',
      values: [{ path: 'context.device.compliant', value: 'false', source: 'jamf', ageMs: 4000 }],
    });
  });

  test('shows a deciding forbid with its position, its reasons and its text', () => {
    expect(explanationText(look({ amr: ['pwd'] }))).toBe(
      [
        'Denied by:',
        '  forbid finance.mfa  finance-dashboard.cedar:35:1',
        '    - principal is a ZeroTrust::User',
        `    - resource is in ZeroTrust::Service::"${REPORTS_API}"`,
        '    - context.token.amr is ["pwd"], which does not contain "mfa"',
        '    | @id("finance.mfa")',
        '    | @reason("multi-factor authentication is required")',
        '    | @advice("step_up")',
        '    | @acr_values("mfa")',
        '    | forbid (',
        '    |   principal is ZeroTrust::User,',
        '    |   action,',
        `    |   resource in ZeroTrust::Service::"${REPORTS_API}"`,
        '    | )',
        '    | unless { context has token && context.token has amr && context.token.amr.contains("mfa") };',
        'Overridden:',
        '  permit finance.members-read-quarterly-report  finance-dashboard.cedar:4:1',
        '',
      ].join('\n'),
    );
  });
});
