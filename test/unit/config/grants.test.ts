import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Grants } from '../../../src/config/grants.ts';
import { ConfigSchema } from '../../../src/config.ts';
import { snapshotOf } from '../../support/snapshot.ts';

const APPROVERS = { users: ['staff/lee'] };
const REQUESTERS = { groups: ['operators'] };
const scope = (more: object = {}) => ({
  name: 'orders',
  max_s: 3600,
  requesters: REQUESTERS,
  approvers: APPROVERS,
  ...more,
});
const issuer = {
  name: 'staff',
  issuer: 'https://id.example.com',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  jwks: { file: 'x' },
};
const problemsOf = (config: unknown) =>
  Grants.safeParse(config).error?.issues.map(({ path }) => path.join('.')) ?? [];

describe('grants', () => {
  test('need scopes, and have good defaults for the rest', () => {
    expect(Grants.parse({ scopes: [scope()] })).toEqual({
      scopes: [
        {
          name: 'orders',
          max_s: 3600,
          break_glass: false,
          requesters: { issuers: [], users: [], groups: ['operators'] },
          approvers: { users: ['staff/lee'], groups: [] },
          approvals: 1,
        },
      ],
      request_ttl_s: 86_400,
      keep_s: 2_592_000,
      max_open_per_user: 10,
      requests_per_day: 50,
      break_glass_per_day: 3,
      max_lag_ms: 60_000,
      on_failure: 'deny',
    });
  });

  test.each<[string, unknown, string]>([
    ['no scope', { scopes: [] }, 'scopes'],
    ['one name for two', { scopes: [scope(), scope()] }, 'scopes.1.name'],
    [
      'no maximum',
      { scopes: [{ name: 'orders', requesters: REQUESTERS, approvers: APPROVERS }] },
      'scopes.0.max_s',
    ],
    ['a maximum beyond a month', { scopes: [scope({ max_s: 2_592_001 })] }, 'scopes.0.max_s'],
    ['nobody who asks', { scopes: [scope({ requesters: {} })] }, 'scopes.0.requesters'],
    ['nobody who approves', { scopes: [scope({ approvers: {} })] }, 'scopes.0.approvers'],
    ['fewer approvers than are needed', { scopes: [scope({ approvals: 2 })] }, 'scopes.0.approvers'],
    [
      'one approver twice',
      { scopes: [scope({ approvals: 2, approvers: { users: ['staff/lee', 'staff/lee'] } })] },
      'scopes.0.approvers',
    ],
    [
      'an approver without an issuer',
      { scopes: [scope({ approvers: { users: ['lee'] } })] },
      'scopes.0.approvers.users.0',
    ],
    [
      'a maximum of what is not allowed',
      { scopes: [scope({ break_glass_max_s: 60 })] },
      'scopes.0.break_glass_max_s',
    ],
    [
      'breaking glass for longer than asking',
      { scopes: [scope({ break_glass: true, break_glass_max_s: 3601 })] },
      'scopes.0.break_glass_max_s',
    ],
    [
      'breaking glass all day long, one time after the other',
      { scopes: [scope({ max_s: 43_200, break_glass: true, break_glass_max_s: 28_800 })] },
      'scopes.0.break_glass_max_s',
    ],
    [
      'the same by an hour that nobody has named',
      { scopes: [scope({ break_glass: true })], break_glass_per_day: 24 },
      'scopes.0.break_glass_max_s',
    ],
    ['forgetting sooner than breaking glass is counted', { scopes: [scope()], keep_s: 3600 }, 'keep_s'],
    ['last_known', { scopes: [scope()], on_failure: 'last_known' }, 'on_failure'],
    ['a key it does not know', { scopes: [scope({ approver: 'lee' })] }, 'scopes.0'],
  ])('refuse %s', (_what, config, path) => {
    expect(problemsOf(config)).toEqual([path]);
  });

  test('may have glass broken for all but the last second of the day', () => {
    const config = { scopes: [scope({ max_s: 43_200, break_glass: true, break_glass_max_s: 28_799 })] };
    expect(problemsOf(config)).toEqual([]);
  });

  test('may be for emergencies only, with nobody to approve', () => {
    expect(problemsOf({ scopes: [scope({ break_glass: true, approvers: {} })] })).toEqual([]);
  });
});

describe('the rest of the configuration', () => {
  const issuesOf = (config: object) =>
    ConfigSchema.safeParse({
      grpc: { plaintext: true },
      policies: { sets: ['x'] },
      grants: { scopes: [scope()] },
      ...config,
    }).error?.issues.map(({ path }) => path.join('.')) ?? [];
  const pip = { name: 'facts', kind: 'static_file', subject: 'user', gives: ['groups'], file: 'x' };

  test('has an issuer of users where there are grants, or nobody could ask', () => {
    expect(issuesOf({ issuers: [issuer] })).toEqual([]);
    expect(issuesOf({ demo: true })).toEqual([]);
    expect(issuesOf({})).toEqual(['grants']);
    expect(issuesOf({ issuers: [{ ...issuer, use: 'device' }] })).toContain('grants');
  });

  test('has the issuers whose users may ask', () => {
    const asking = (name: string) => ({ grants: { scopes: [scope({ requesters: { issuers: [name] } })] } });
    expect(issuesOf({ issuers: [issuer], ...asking('staff') })).toEqual([]);
    expect(issuesOf({ demo: true, ...asking('demo') })).toEqual([]);
    expect(issuesOf({ issuers: [issuer], ...asking('staf') })).toEqual([
      'grants.scopes.0.requesters.issuers.0',
    ]);
  });

  test('lets nobody else say who has a grant, or speak in the name of the book', () => {
    expect(issuesOf({ issuers: [issuer], pips: [pip] })).toEqual([]);
    expect(issuesOf({ issuers: [issuer], pips: [{ ...pip, gives: ['grants'] }] })).toEqual(['pips.0.gives']);
    expect(issuesOf({ issuers: [issuer], pips: [{ ...pip, gives: ['break_glass'] }] })).toEqual([
      'pips.0.gives',
    ]);
    expect(issuesOf({ issuers: [issuer], pips: [{ ...pip, name: 'grants' }] })).toEqual(['pips.0.name']);
  });
});

describe('docs/grants.md', () => {
  const page = readFileSync(new URL('../../../docs/grants.md', import.meta.url), 'utf8');
  const blockOf = (language: string): string =>
    new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(page)?.[1] ?? '';

  test('shows a configuration that is taken', () => {
    const config: unknown = parse(blockOf('yaml'));
    const rest = { issuers: [issuer], grpc: { plaintext: true }, policies: { sets: ['x'] } };
    expect(ConfigSchema.safeParse({ ...rest, ...(config as object) }).error?.issues ?? []).toEqual([]);
  });

  test('shows policies that are valid', () => {
    expect(snapshotOf(blockOf('cedar')).policyIds).toHaveLength(2);
  });
});
