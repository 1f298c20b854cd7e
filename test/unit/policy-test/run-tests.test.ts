import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Problem } from '../../../src/pdp/errors.ts';
import { readTests } from '../../../src/policy-test/read-tests.ts';
import type { CaseResult } from '../../../src/policy-test/report.ts';
import { runTests } from '../../../src/policy-test/run-tests.ts';
import { SAMPLE_SCHEMA } from '../../support/snapshot.ts';
import { POLICIES, SCHEMA, Sets, parts, requestCase } from './fixture.ts';

const ALLOWED = { decision: 'ALLOW', reason: 'permitted', policies: ['t.members-read'] };

async function run(
  cases: unknown,
  files: { readonly [path: string]: string | object } = {},
): Promise<readonly CaseResult[]> {
  using sets = new Sets();
  const root = sets.write({
    's/schema.cedarschema': SCHEMA,
    's/s.cedar': POLICIES,
    's/tests/t.json': cases as object,
    ...files,
  });
  const report = await runTests({ paths: [root], coverage: false }, parts);
  return report.sets[0]?.cases ?? [];
}

async function one(given: object, expected: object): Promise<CaseResult | undefined> {
  return (await run([requestCase('it', given, expected)]))[0];
}

async function problemsWith(cases: unknown, files = {}): Promise<string> {
  return await run(cases, files).then(
    () => 'no problem',
    (error: unknown) => (error as Error).message,
  );
}

describe('request-level cases', () => {
  it('pass where every named expectation holds', async () => {
    const result = await one({}, { ...ALLOWED, http_status: 200, advice: null });
    expect(result).toMatchObject({ passed: true, mismatches: [], outcome: { decision: 'ALLOW' } });
  });

  it('say how the origin was proven: by trusted proxies, unless said otherwise', async () => {
    const files = {
      's/schema.cedarschema': SAMPLE_SCHEMA,
      's/s.cedar':
        '@id("x") permit(principal, action, resource) when { context has origin_evidence && context.origin_evidence == "xfcc" };',
    };
    const origin = 'spiffe://prod.example.com/ns/frontend/sa/web';
    const given = { method: 'GET', path: '/', host: 'a', origin };
    const cases = [
      { name: 'proxies', given, expect: { decision: 'ALLOW' } },
      { name: 'token', given: { ...given, origin_evidence: 'jwt_svid' }, expect: { decision: 'DENY' } },
    ];
    expect(await run(cases, files)).toMatchObject([{ passed: true }, { passed: true }]);
  });

  it('compare only what the expectation names', async () => {
    expect(await one({ method: 'POST' }, { decision: 'DENY' })).toMatchObject({ passed: true });
  });

  it.each([
    ['decision', { decision: 'DENY' }, 'DENY', 'ALLOW'],
    ['reason', { decision: 'ALLOW', reason: 'no_permit' }, 'no_permit', 'permitted'],
    ['policies', { decision: 'ALLOW', policies: [] }, 'none', 't.members-read'],
    [
      'policies',
      { decision: 'ALLOW', policies: ['t.members-read', 't.level'] },
      't.level, t.members-read',
      't.members-read',
    ],
    ['http_status', { decision: 'ALLOW', http_status: 403 }, '403', '200'],
    ['message', { decision: 'ALLOW', message: 'no' }, 'no', 'none'],
    ['advice', { decision: 'ALLOW', advice: { kind: 'authenticate' } }, 'authenticate', 'none'],
  ])(
    'fail by a wrong %s and say what was expected and what came',
    async (field, expected, wanted, actual) => {
      const result = await one({}, expected);
      expect(result?.passed).toBe(false);
      expect(result?.mismatches).toContainEqual({ field, expected: wanted, actual });
    },
  );

  it('fail where policies beyond the expected ones determined the decision', async () => {
    const given = {
      method: 'POST',
      device: { id: 'mdm/d' },
      facts: [{ source: 'mdm', subject: 'device', attributes: { compliant: false } }],
    };
    const result = await one(given, { decision: 'DENY', policies: ['t.step-up'] });
    expect(result?.mismatches).toEqual([
      { field: 'policies', expected: 't.step-up', actual: 't.compliant, t.step-up' },
    ]);
  });

  it('see the advice and the public words of a deny', async () => {
    const advice = { kind: 'step_up', acr_values: 'mfa' };
    const expected = {
      decision: 'DENY',
      reason: 'step_up_required',
      message: 'say it again',
      http_status: 401,
      advice,
    };
    expect(await one({ method: 'POST' }, expected)).toMatchObject({ passed: true });
    expect(await one({ method: 'POST' }, { ...expected, advice: { kind: 'step_up' } })).toMatchObject({
      mismatches: [{ field: 'advice', expected: 'step_up', actual: 'step_up mfa' }],
    });
  });

  it('go through the canonicaliser', async () => {
    const expected = { decision: 'DENY', reason: 'path_ambiguous', policies: [] };
    expect(await one({ path: '/a/../b' }, expected)).toMatchObject({ passed: true });
    expect(await one({ path: '/%61?q=1' }, ALLOWED)).toMatchObject({ passed: true });
  });

  it('read principals as the PEP does: only a SPIFFE ID is a workload', async () => {
    const cases = ['spiffe://a.example/ns/b/sa/c', 'CN=c'].map((source) =>
      requestCase(source, { source, user: null, accepts_tokens: false }, { decision: 'DENY' }),
    );
    const [workload, nobody] = await run(cases);
    expect(workload?.request?.principal.type).toBe('ZeroTrust::Workload');
    expect(nobody?.request?.principal.type).toBe('ZeroTrust::Anonymous');
  });

  it('ask for authentication only where tokens are accepted', async () => {
    const nobody = { user: null, facts: null };
    expect(await one(nobody, { decision: 'DENY', reason: 'authentication_required' })).toMatchObject({
      passed: true,
    });
    expect(
      await one({ ...nobody, accepts_tokens: false }, { decision: 'DENY', reason: 'no_permit' }),
    ).toMatchObject({
      passed: true,
    });
  });

  it('tell missing facts from false ones, sources that are down from sources that may be left out', async () => {
    const device = { device: { id: 'mdm/d' } };
    const member = { source: 'directory', subject: 'user', groups: ['members'] };
    const mdm = (more: object) => ({
      ...device,
      facts: [member, { source: 'mdm', subject: 'device', ...more }],
    });
    const results = await run([
      requestCase('true', mdm({ attributes: { compliant: true } }), ALLOWED),
      requestCase('false', mdm({ attributes: { compliant: false } }), {
        decision: 'DENY',
        policies: ['t.compliant'],
      }),
      requestCase('missing', mdm({}), { decision: 'DENY', policies: ['t.compliant'] }),
      requestCase('absent', mdm({ state: 'absent', attributes: { compliant: true } }), {
        decision: 'DENY',
        policies: ['t.compliant'],
      }),
      requestCase('down', mdm({ state: 'down', attributes: { compliant: true } }), {
        decision: 'DENY',
        reason: 'attribute_unavailable',
      }),
      requestCase('omitted', mdm({ state: 'down', on_failure: 'omit', attributes: { compliant: true } }), {
        decision: 'DENY',
        policies: ['t.compliant'],
      }),
    ]);
    expect(results.filter((result) => !result.passed)).toEqual([]);
  });

  it('tell what is too old, what was said last by a source that is down, and what an event said', async () => {
    const member = { source: 'directory', subject: 'user', groups: ['members'] };
    const mdm = (...facts: object[]) => ({
      device: { id: 'mdm/d' },
      facts: [member, ...facts.map((fact) => ({ source: 'mdm', subject: 'device', ...fact }))],
    });
    const denied = { decision: 'DENY', policies: ['t.compliant'] };
    const unavailable = { decision: 'DENY', reason: 'attribute_unavailable' };
    const refused = { decision: 'DENY', reason: 'attribute_refused' };
    const [good, bad] = [{ attributes: { compliant: true } }, { attributes: { compliant: false } }];
    const lastKnown = { on_failure_by_attribute: { compliant: 'last_known' } };
    const results = await run([
      requestCase('young enough', mdm({ ...good, age_s: 3600 }), ALLOWED),
      requestCase('too old, and must be known', mdm({ ...good, age_s: 3601 }), refused),
      requestCase('too old, and is missing', mdm({ ...good, age_s: 3601, on_failure: 'omit' }), denied),
      requestCase('an event does not age', mdm({ ...good, age_s: 3601, event: true }), ALLOWED),
      requestCase('stale, where that will do', mdm({ ...good, ...lastKnown, state: 'stale' }), ALLOWED),
      requestCase('stale, where it will not', mdm({ ...good, state: 'stale' }), unavailable),
      requestCase('nothing from before', mdm({ ...good, ...lastKnown, state: 'down' }), unavailable),
      requestCase(
        'omitted by attribute',
        mdm({ state: 'down', on_failure_by_attribute: { compliant: 'omit', groups: 'omit' } }),
        denied,
      ),
      requestCase('the newest counts', mdm({ ...bad, age_s: 9 }, { ...good, age_s: 5 }), ALLOWED),
      requestCase(
        'an event goes before what is only assumed to be new',
        mdm({ ...bad, age_s: 9, event: true }, { ...good, stated: false }),
        denied,
      ),
      requestCase(
        'and not before what was observed later',
        mdm({ ...bad, age_s: 9, event: true }, { ...good, age_s: 5 }),
        ALLOWED,
      ),
    ]);
    expect(results.filter((result) => !result.passed)).toEqual([]);
  });

  it('ask information points about the address of the client', async () => {
    const policies = `${POLICIES}
      @id("t.tor") forbid (principal, action, resource) when {
        context has ip_facts && context.ip_facts has threats && context.ip_facts.threats.contains("tor") };`;
    const facts = [{ source: 'lists', subject: 'ip', attributes: { threats: ['tor'] } }];
    const cases = [
      requestCase('listed', { ip: '203.0.113.7', facts }, { decision: 'DENY', policies: ['t.tor'] }),
      requestCase('no address', { facts }, { decision: 'DENY', reason: 'attribute_unavailable' }),
      requestCase(
        'no address, which may be',
        { facts: facts.map((fact) => ({ ...fact, on_failure: 'omit' })) },
        { decision: 'DENY', reason: 'no_permit' },
      ),
    ];
    const results = await run(cases, { 's/s.cedar': policies });
    expect(results.filter((result) => !result.passed)).toEqual([]);
  });

  it('take facts about a subject that nobody proved for nothing', async () => {
    const facts = [{ source: 'mdm', subject: 'device', attributes: { compliant: false } }];
    const result = await one({ facts }, { decision: 'DENY', reason: 'no_permit' });
    expect(result).toMatchObject({ passed: true });
  });

  it('answer from the facts files of the set, by the id of the subject', async () => {
    const files = [{ source: 'directory', subject: 'user', file: '../facts/directory.json' }];
    const cases = ['ann', 'bob', 'eve'].map((subject) =>
      requestCase(
        subject,
        { user: { issuer: 'idp', subject }, facts: null, facts_files: files },
        { decision: subject === 'ann' ? 'ALLOW' : 'DENY' },
      ),
    );
    const directory = { 'idp/ann': { groups: ['members'] }, 'idp/bob': { groups: ['members'], level: 1 } };
    const results = await run(cases, { 's/facts/directory.json': directory });
    expect(results.map((result) => result.passed)).toEqual([true, true, true]);
  });

  it('deny by a forbid that cannot be evaluated', async () => {
    const level = Number.MAX_SAFE_INTEGER;
    const facts = [{ source: 'x', subject: 'user', groups: ['members'], attributes: { level } }];
    const files = {
      's/s.cedar':
        '@id("t.all") permit (principal, action, resource); @id("t.sum") forbid (principal is ZeroTrust::User, action, resource) when { principal has level && principal.level * 9007199254740991 > 0 };',
    };
    const expected = { decision: 'DENY', reason: 'policy_error', policies: ['t.sum'] };
    expect(await run([requestCase('it', { facts }, expected)], files)).toMatchObject([{ passed: true }]);
  });

  it('have a clock of their own', async () => {
    const files = {
      's/s.cedar':
        '@id("t.until") permit (principal, action, resource) when { context has now && context.now < datetime("2026-02-01") };',
    };
    const results = await run(
      [
        requestCase('default', {}, { decision: 'ALLOW' }),
        requestCase('before', { now: '2026-01-31T23:59:59Z' }, { decision: 'ALLOW' }),
        requestCase('offset', { now: '2026-02-01T00:30:00+01:00' }, { decision: 'ALLOW' }),
        requestCase('after', { now: '2026-02-01T00:00:00Z' }, { decision: 'DENY' }),
      ],
      files,
    );
    expect(results.filter((result) => !result.passed)).toEqual([]);
  });
});

describe('explanations', () => {
  const device = {
    device: { id: 'mdm/d' },
    facts: [{ source: 'mdm', subject: 'device', attributes: { compliant: false }, age_s: 4 }],
  };

  it('are asserted by words that they hold', async () => {
    const words = 'context.device.compliant is false (source: mdm, 4 s old)';
    expect(await one(device, { decision: 'DENY', explanation: [words] })).toMatchObject({ passed: true });
    const wrong = await one(device, { decision: 'DENY', explanation: [words, 'is true'] });
    expect(wrong?.mismatches.map(({ field, expected }) => [field, expected])).toEqual([
      ['explanation', 'is true'],
    ]);
  });

  it('come with every failed test, and with no other', async () => {
    expect((await one(device, { decision: 'ALLOW' }))?.explanation).toContain('t.compliant');
    expect((await one(device, { decision: 'DENY' }))?.explanation).toBeUndefined();
  });

  it('are missing where Cedar was not asked', async () => {
    const result = await one({ path: '//' }, { decision: 'DENY', explanation: ['x'] });
    expect(result?.mismatches).toEqual([{ field: 'explanation', expected: 'x', actual: 'none' }]);
  });
});

describe('defaults', () => {
  it('are given to every case, replaced as wholes, and taken away by null', async () => {
    const user = { issuer: 'idp', subject: 'ann', groups: ['x'] };
    const results = await run({
      defaults: {
        method: 'GET',
        path: '/a',
        host: 'a.example',
        user,
        facts: [{ source: 'd', subject: 'user', groups: ['members'] }],
      },
      cases: [
        { name: 'all', given: {}, expect: ALLOWED },
        { name: 'replaced', given: { user: { issuer: 'idp', subject: 'bob' } }, expect: ALLOWED },
        {
          name: 'taken away',
          given: { user: null },
          expect: { decision: 'DENY', reason: 'authentication_required' },
        },
      ],
    });
    expect(results.map((result) => result.passed)).toEqual([true, true, true]);
    expect(
      results[1]?.request?.entities.find((entity) => entity.uid.type === 'ZeroTrust::User')?.parents,
    ).toEqual([{ type: 'ZeroTrust::Group', id: 'members' }]);
  });
});

describe('cases of `cedar run-tests`', () => {
  const GROUP = 'ZeroTrust::Group';
  const cedarCase = (more: object) => ({
    name: 'it',
    request: {
      principal: 'ZeroTrust::User::"idp/ann"',
      action: 'ZeroTrust::Action::"GET"',
      resource: 'ZeroTrust::Endpoint::"a /a"',
      context: { mtls: false },
    },
    entities: [
      {
        uid: { type: 'ZeroTrust::User', id: 'idp/ann' },
        attrs: { issuer: 'idp', subject: 'ann' },
        parents: [{ type: GROUP, id: 'members' }],
      },
      {
        uid: { __entity: { type: 'ZeroTrust::Endpoint', id: 'a /a' } },
        attrs: { path: '/a', host: 'a' },
        parents: [],
      },
    ],
    decision: 'allow',
    reason: ['t.members-read'],
    num_errors: 0,
    ...more,
  });

  it('pass by decision, reasons and number of errors', async () => {
    expect((await run([cedarCase({})]))[0]).toMatchObject({ passed: true, form: 'cedar' });
  });

  it('need only some of the reasons', async () => {
    expect((await run([cedarCase({ reason: [] })]))[0]).toMatchObject({ passed: true });
  });

  it.each([
    [{ decision: 'deny' }, 'decision'],
    [{ reason: ['t.level'] }, 'reason'],
    [{ num_errors: 1 }, 'num_errors'],
  ])('fail by %o', async (more, field) => {
    expect((await run([cedarCase(more)]))[0]?.mismatches.map((mismatch) => mismatch.field)).toEqual([field]);
  });

  it('count the policies that could not be evaluated', async () => {
    const uid = { type: 'ZeroTrust::User', id: 'idp/ann' };
    const files = {
      's/s.cedar':
        '@id("t.members-read") permit (principal, action, resource); @id("t.sum") forbid (principal is ZeroTrust::User, action, resource) when { principal has level && principal.level * 9007199254740991 > 0 };',
    };
    const attrs = { issuer: 'i', subject: 's', level: 9007199254740991 };
    const entities = [{ uid, attrs, parents: [] }];
    expect((await run([cedarCase({ entities, num_errors: 1 })], files))[0]).toMatchObject({ passed: true });
  });

  it('take entities from a file, and those of the set besides', async () => {
    const [user, endpoint] = cedarCase({}).entities as object[];
    const files = { 's/tests/e/entities.json': [user], 's/entities.json': [endpoint] };
    expect((await run([cedarCase({ entities: 'e/entities.json' })], files))[0]).toMatchObject({
      passed: true,
    });
  });

  it('fail where the schema refuses the request', async () => {
    const request = { ...cedarCase({}).request, context: {} };
    expect((await run([cedarCase({ request })]))[0]).toMatchObject({
      passed: false,
      outcome: { detail: expect.stringContaining('mtls') },
    });
  });

  it('are refused where an entity is not written as one, or a file leaves the set', async () => {
    const request = { ...cedarCase({}).request, principal: 'ann' };
    expect(await problemsWith([cedarCase({ request })])).toMatch(
      /t\.json:5:20: 'it', request\.principal: is not an entity/,
    );
    expect(await problemsWith([cedarCase({ entities: '../../other.json' })], { 'other.json': [] })).toContain(
      "'../../other.json' is outside of the policy set",
    );
  });
});

describe('what is wrong with test files', () => {
  it('is told all at once, with file, line, column, case and suggestion', async () => {
    const text = await problemsWith(
      `[
  { "name": "one", "given": { "methd": "GET", "path": "/", "host": "a" }, "expect": { "decision": "ALLOWED" } },
  { "name": "two", "given": { "method": "GET", "path": "/", "host": "a", "user": { "issuer": "i", "subject": "s", "grups": [] } },
    "expect": { "decision": "DENY", "reason": "no_permits" } },
  { "given": {}, "expect": {} }
]`,
    );
    expect(text).toMatch(/t\.json:2:31: 'one', given: 'methd' is not known here; did you mean 'method'\?/);
    expect(text).toMatch(
      /t\.json:2:99: 'one', expect\.decision: 'ALLOWED' is not known here; did you mean 'ALLOW'\?/,
    );
    expect(text).toMatch(
      /t\.json:3:115: 'two', given\.user: 'grups' is not known here; did you mean 'groups'\?/,
    );
    expect(text).toMatch(
      /t\.json:4:47: 'two', expect\.reason: 'no_permits' is not known here; did you mean 'no_permit'\?/,
    );
    expect(text).toMatch(/t\.json:5:3: case 3, name: is missing/);
  });

  it('includes policies that the set does not have', async () => {
    expect(
      await problemsWith([requestCase('it', {}, { decision: 'DENY', policies: ['t.complaint'] })]),
    ).toMatch(/t\.json:2:3: 'it': the set has no policy 't\.complaint'; did you mean 't\.compliant'\?/);
  });

  it('includes requests without method, path or host', async () => {
    expect(
      await problemsWith([{ name: 'it', given: { method: 'GET', path: '/' }, expect: { decision: 'DENY' } }]),
    ).toContain("'it', given.host: is missing");
  });

  it('includes text that is not JSON, and another shape', async () => {
    expect(await problemsWith('[{]')).toMatch(/t\.json:1:3: is not JSON: Expected property name/);
    expect(await problemsWith('[')).toMatch(/t\.json:1:2: is not JSON/);
    expect(await problemsWith('{"tests": []}')).toMatch(/t\.json:1:1: cases: is missing/);
    expect(await problemsWith('3')).toMatch(/t\.json:1:1: .*expected object/);
  });

  it('includes two cases of one name', async () => {
    const twice = requestCase('it', {}, { decision: 'ALLOW' });
    expect(await problemsWith([twice, twice])).toContain("'it': another case of the file has this name");
  });

  it('includes values that policies cannot hold', async () => {
    const facts = [{ source: 'x', subject: 'user', attributes: { level: 1.5 } }];
    expect(await problemsWith([requestCase('it', { facts }, { decision: 'DENY' })])).toContain(
      "'it': the facts of 'x' cannot be held",
    );
    const forged =
      '[{"name":"it","given":{"method":"GET","path":"/","host":"a","facts":[{"source":"x","subject":"user","attributes":{"level":{"__extn":1}}}]},"expect":{"decision":"DENY"}}]';
    expect(await problemsWith(forged)).toContain("the reserved key '__extn'");
  });

  it('includes facts files that are not there or not facts', async () => {
    const given = (file: string) => ({ facts: null, facts_files: [{ source: 'd', subject: 'user', file }] });
    const expected = { decision: 'DENY' };
    expect(await problemsWith([requestCase('it', given('no.json'), expected)])).toContain(
      "'no.json' cannot be read",
    );
    expect(
      await problemsWith([requestCase('it', given('../f.json'), expected)], { 's/f.json': { a: 1 } }),
    ).toContain("must hold an object of attributes for 'a'");
  });

  it('includes every case whose values cannot be used', async () => {
    const given = { facts: [{ source: 'x', subject: 'user', attributes: { level: 1.5 } }] };
    const cases = ['one', 'two'].map((name) => requestCase(name, given, { decision: 'DENY' }));
    const text = await problemsWith(cases);
    expect(text).toContain("'one': the facts of 'x'");
    expect(text).toContain("'two': the facts of 'x'");
  });

  it('is an InputError for any JSON whatever', async () => {
    using sets = new Sets();
    const root = sets.write({ 's/schema.cedarschema': SCHEMA, 's/s.cedar': POLICIES });
    const anyCase = fc.record(
      {
        name: fc.string(),
        given: fc.anything(),
        expect: fc.anything(),
        request: fc.anything(),
        entities: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const file = fc.oneof(
      fc.anything(),
      fc.array(anyCase),
      fc.record({ defaults: fc.anything(), cases: fc.array(anyCase) }),
    );
    fc.assert(
      fc.property(file, (value) => {
        sets.write({ 's/tests/t.json': JSON.stringify(value) ?? '' });
        const problems: Problem[] = [];
        const cases = readTests(`${root}/s`, problems);
        for (const test of cases) expect(test.name).not.toBe('');
        for (const problem of problems) expect(problem.line).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });

  it('stops a run together with policies that are not valid', async () => {
    const text = await problemsWith([{}], { 's/s.cedar': 'permit (principal, action, resource);' });
    expect(text).toContain('case 1, name: is missing');
    expect(text).toContain('the policy has no @id');
  });
});

describe('runs', () => {
  it('take every set of a folder, and sets by name', async () => {
    using sets = new Sets();
    const root = sets.write({
      'schema.cedarschema': SCHEMA,
      'a/a.cedar': POLICIES,
      'b/b.cedar': POLICIES,
      'b/tests/t.json': [requestCase('it', {}, ALLOWED)],
      'c/README.md': 'no set',
    });
    const all = await runTests({ paths: [root], coverage: false }, parts);
    expect(all.sets.map((set) => [set.name, set.cases.length])).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    const named = await runTests({ paths: [`${root}/b`, `${root}/b/`], coverage: false }, parts);
    expect(named).toMatchObject({ passed: 1, failed: 0, sets: [{ name: 'b' }] });
    await expect(runTests({ paths: [`${root}/c`], coverage: false }, parts)).rejects.toThrow(
      'neither a policy set',
    );
  });

  it('run only the cases that the filter means', async () => {
    using sets = new Sets();
    const root = sets.write({
      's/schema.cedarschema': SCHEMA,
      's/s.cedar': POLICIES,
      's/tests/t.json': [requestCase('Ann reads', {}, ALLOWED), requestCase('Bob', {}, ALLOWED)],
    });
    const report = await runTests({ paths: [root], coverage: false, filter: 'ann' }, parts);
    expect(report.sets[0]?.cases.map((one) => one.name)).toEqual(['Ann reads']);
  });

  it('decide hundreds of cases over one snapshot', async () => {
    using sets = new Sets();
    const cases = Array.from({ length: 500 }, (_, index) => requestCase(`case ${index}`, {}, ALLOWED));
    const root = sets.write({
      's/schema.cedarschema': SCHEMA,
      's/s.cedar': POLICIES,
      's/tests/t.json': cases,
    });
    const report = await runTests({ paths: [root], coverage: true }, parts);
    expect(report.passed).toBe(500);
  });
});
