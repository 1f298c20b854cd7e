import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Pip } from '../../../src/config/pips.ts';

const HTTP = { name: 'hr', kind: 'http', subject: 'user', gives: ['level', 'groups'], url: 'https://h/{id}' };
const SCIM = {
  name: 'dir',
  kind: 'scim',
  subject: 'user',
  gives: ['groups'],
  url: 'https://h/scim',
  issuer: 'corp',
};
const DEVICE = { ...HTTP, subject: 'device', gives: ['managed'], mapping: 'fleet' };
const REDIS = {
  name: 'r',
  kind: 'redis',
  subject: 'device',
  gives: ['risk'],
  url: 'redis://h',
  key_prefix: 'd:',
};

function problems(pip: object): readonly string[] {
  const result = Pip.safeParse(pip);
  return result.success
    ? []
    : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('an http point', () => {
  test('needs little, and is bounded where it says nothing', () => {
    expect(Pip.parse(HTTP)).toMatchObject({
      method: 'GET',
      timeout_ms: 1_000,
      concurrency: 32,
      max_bytes: 65_536,
      absent_statuses: [404, 410],
      attributes: {},
      headers: {},
      header_files: [],
    });
  });

  test.each<[string, object, string]>([
    ['of plain HTTP', { url: 'http://h/{id}' }, 'url: is not https'],
    ['that cannot be read', { url: 'nonsense' }, 'url: is not a URL'],
    [
      'without a subject',
      { url: 'https://h/x' },
      'url: neither url nor body names the subject: use {id}, or {issuer} and {name}',
    ],
    [
      'with a name of nobody in particular',
      { url: 'https://h/{name}' },
      'issuer: the same name may be known to several issuers: say whose are meant, or use {id}',
    ],
    [
      'with parts of an id that has none',
      { subject: 'workload', url: 'https://h/{name}' },
      'url: {issuer}, {name} and issuer are for users and devices: a workload has only {id}',
    ],
    ['with a body for GET', { body: { id: '{id}' } }, 'body: goes with method: POST'],
    ['without a body for POST', { method: 'POST' }, 'body: goes with method: POST'],
    ['with a certificate and no key', { cert_file: 'c' }, 'key_file: a certificate and its key go together'],
    ['with a key and no certificate', { key_file: 'k' }, 'cert_file: a certificate and its key go together'],
    [
      'with a secret in place',
      { headers: { 'x-api-key': 's' } },
      'headers.x-api-key: looks like a secret: use header_files',
    ],
    [
      'with a header that frames the message',
      { headers: { 'content-length': '1' } },
      'headers.content-length: is a header that the client sets itself',
    ],
    [
      'with a header twice',
      { token_file: 't', header_files: [{ header: 'authorization', file: 'f' }] },
      "header_files: the header 'authorization' is set twice",
    ],
    [
      'with two lines in a header',
      { headers: { 'x-a': 'a\r\nb: c' } },
      'headers.x-a: must be one line of ASCII',
    ],
    [
      'that takes a refusal for absence',
      { absent_statuses: [403] },
      'absent_statuses.0: must be 204, or a 4xx that says something of the subject',
    ],
    [
      'that takes an error for absence',
      { absent_statuses: [500] },
      'absent_statuses.0: must be 204, or a 4xx that says something of the subject',
    ],
    [
      'with a bad pointer',
      { attributes: { level: 'level' } },
      'attributes.level: must be a JSON Pointer (RFC 6901), such as /user/department',
    ],
    [
      'with a pointer to what it does not give',
      { attributes: { other: '/x' } },
      'attributes.other: is not in gives',
    ],
    ['with a mapping of users', { mapping: 'jamf' }, 'mapping: needs subject: device'],
  ])('%s is refused', (_what, parts, problem) => {
    expect(problems({ ...HTTP, ...parts })).toContain(problem);
  });

  test('with a mapping gives posture and nothing else, from where the vendor has it', () => {
    expect(problems(DEVICE)).toEqual([]);
    expect(problems({ ...DEVICE, gives: ['managed', 'level'] })[0]).toMatch(/^gives\.1: no mapping gives it/);
    expect(problems({ ...DEVICE, found: '/host' })).toEqual(['mapping: says itself where the facts are']);
  });

  test('has thresholds of risk only for CrowdStrike, and in their order', () => {
    const risk_thresholds = { low_from: 70, medium_from: 40 };
    expect(problems({ ...REDIS, mapping: 'crowdstrike', risk_thresholds })).toEqual([]);
    expect(problems({ ...DEVICE, risk_thresholds })).toEqual([
      'risk_thresholds: only for mapping: crowdstrike',
    ]);
    expect(problems({ ...REDIS, mapping: 'crowdstrike', risk_thresholds: { low_from: 10 } })).toEqual([
      'risk_thresholds: low_from must not be below medium_from',
    ]);
  });

  test('with a name in the body needs to know whose, too', () => {
    const post = { ...HTTP, url: 'https://h/lookup', method: 'POST' };
    expect(problems({ ...post, body: { user: '{id}' } })).toEqual([]);
    expect(problems({ ...post, body: { user: '{name}' }, issuer: 'corp' })).toEqual([]);
    expect(problems({ ...post, body: { user: '{name}' } })[0]).toMatch(/^issuer: /);
  });
});

describe('a scim point', () => {
  test('needs little', () => {
    expect(Pip.parse(SCIM)).toMatchObject({
      user_by: 'userName',
      group_id: 'value',
      groups_from: 'user',
      max_groups: 1_000,
    });
  });

  test.each<[string, object, string]>([
    ['of plain HTTP', { url: 'http://h/scim' }, 'url: is not https'],
    ['with a query', { url: 'https://h/scim?x=1' }, 'url: has a query or a fragment'],
    [
      'by a filter of its own',
      { user_by: 'userName pr or id' },
      'user_by: must be id, or an attribute path such as userName, externalId and emails.value',
    ],
    ['of devices', { subject: 'device' }, 'subject: Invalid input: expected "user"'],
    [
      'with a pointer to what it does not give',
      { attributes: { active: '/active' } },
      'attributes.active: is not in gives',
    ],
  ])('%s is refused', (_what, parts, problem) => {
    expect(problems({ ...SCIM, ...parts })).toContain(problem);
  });
});

describe('the documentation', () => {
  test.each(['information-points.md', 'device-posture.md'])(
    '%s shows points that are right',
    async (page) => {
      const text = await readFile(new URL(`../../../docs/${page}`, import.meta.url), 'utf8');
      const blocks = [...text.matchAll(/```yaml\n(.*?)```/gs)].map(
        ([, yaml = '']) => parse(yaml) as { pips?: object[] },
      );
      const points = blocks.flatMap(({ pips = [] }) => pips);
      expect(points.length).toBeGreaterThan(1);
      for (const point of points) expect(problems(point)).toEqual([]);
    },
  );
});
