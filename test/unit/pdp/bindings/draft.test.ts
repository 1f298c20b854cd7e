import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Draft, draftFromOpenApi, namespaceFor } from '../../../../src/pdp/bindings/draft.ts';
import { pascalCase, singular, typeOf, typeOfParameter } from '../../../../src/pdp/bindings/draft-names.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import { SHARED_SCHEMA, checker, idFor, matchFor, shapesOf, tableOf } from './fixture.ts';

function draft(paths: object, more: object = {}): Draft {
  const document = { openapi: '3.1.0', info: { title: 'Clinic API', version: '1' }, paths, ...more };
  return draftFromOpenApi(document, { namespace: 'Dental' });
}

/** Loads a draft as the server would: bindings and schemas together. */
function load({ bindings, schema }: Draft) {
  const policy = 'permit(principal, action, resource);';
  const check = checker.validate({
    schema: `${SHARED_SCHEMA}\n${schema}`,
    policies: { all: policy },
  });
  expect(check.errors).toEqual([]);
  return tableOf(bindings, shapesOf(SHARED_SCHEMA, schema));
}

interface Written {
  readonly id: string;
  readonly match: { readonly method: string; readonly path: string };
  readonly action: string;
  readonly resource: { readonly type: string; readonly id: string; readonly parents?: readonly object[] };
}

function written({ bindings }: Draft): readonly Written[] {
  return (parse(bindings) as { bindings: readonly Written[] }).bindings;
}

const CLINIC = {
  '/hospitals/{hospital-id}/patients': { get: {}, post: { operationId: 'admitPatient' } },
  '/hospitals/{hospital-id}/patients/{patientId}': {
    get: { operationId: 'getPatient' },
    delete: {},
    patch: {},
  },
  '/hospitals/{hospital-id}/patients/{patientId}/records/{record}': { get: {} },
  '/patients': { get: {} },
  '/login': { post: {} },
  '/': { get: {} },
};

describe('an OpenAPI document becomes a draft', () => {
  const clinic = draft(CLINIC);
  const table = load(clinic);

  test('with one binding for each path and method', () => {
    expect(table.ids).toEqual([
      'admitPatient',
      'delete-hospitals-hospital-id-patients-patientId',
      'get',
      'get-hospitals-hospital-id-patients',
      'get-hospitals-hospital-id-patients-patientId-records-record',
      'get-patients',
      'getPatient',
      'patch-hospitals-hospital-id-patients-patientId',
      'post-login',
    ]);
  });

  test('the last parameter names the object, those before it its parents', () => {
    const { action, resource } = matchFor(table, { path: '/hospitals/h/patients/p/records/r' });
    expect(action).toEqual({ type: 'Dental::Action', id: 'view' });
    expect(resource.uid).toEqual({ type: 'Dental::Record', id: 'r' });
    expect(resource.parents).toEqual([
      { type: 'Dental::Hospital', id: 'h' },
      { type: 'Dental::Patient', id: 'p' },
    ]);
  });

  test('an operation id names the action, else the verb and what follows the object', () => {
    const actions = written(clinic).map(({ match, action }) => `${match.method} ${match.path} ${action}`);
    expect(actions).toEqual([
      'GET /hospitals/{hospitalId}/patients Dental::Action::"viewPatients"',
      'POST /hospitals/{hospitalId}/patients Dental::Action::"admitPatient"',
      'GET /hospitals/{hospitalId}/patients/{patientId} Dental::Action::"getPatient"',
      'DELETE /hospitals/{hospitalId}/patients/{patientId} Dental::Action::"delete"',
      'PATCH /hospitals/{hospitalId}/patients/{patientId} Dental::Action::"update"',
      'GET /hospitals/{hospitalId}/patients/{patientId}/records/{record} Dental::Action::"view"',
      'GET /patients Dental::Action::"list"',
      'POST /login Dental::Action::"create"',
      'GET / Dental::Action::"view"',
    ]);
  });

  test('what a path without parameters is about can be no object that a request names', () => {
    expect(matchFor(table, { path: '/patients' }).resource.uid).toEqual({
      type: 'Dental::PatientCollection',
      id: '/patients',
    });
    expect(matchFor(table, { path: '/login', method: 'POST' }).resource.uid).toEqual({
      type: 'Dental::LoginEndpoint',
      id: '/login',
    });
  });

  test('the schema declares types, parents and actions for every kind of principal', () => {
    expect(clinic.schema).toContain('entity Record in [Hospital, Patient];');
    expect(clinic.schema).toContain(`  action "view" appliesTo {
    principal: [ZeroTrust::User, ZeroTrust::Workload, ZeroTrust::Anonymous],
    resource: [Record, RootEndpoint],
    context: ZeroTrust::Facts,
  };`);
  });
});

describe('what documents hold in practice', () => {
  test('parameters in a row name the object together', () => {
    const table = load(
      draft({ '/repos/{owner}/{repo}/issues/{number}': { get: {} }, '/repos/{owner}/{repo}': { get: {} } }),
    );
    expect(matchFor(table, { path: '/repos/o/r' }).resource).toMatchObject({
      uid: { type: 'Dental::Repo', id: 'o/r' },
      parents: [{ type: 'Dental::Owner', id: 'o' }],
    });
    expect(matchFor(table, { path: '/repos/o/r/issues/7' }).resource).toMatchObject({
      uid: { type: 'Dental::Issue', id: '7' },
      parents: [
        { type: 'Dental::Owner', id: 'o' },
        { type: 'Dental::Repo', id: 'o/r' },
      ],
    });
  });

  test('a parameter before any literal is named by itself', () => {
    const table = load(draft({ '/{tenantId}/users/{user_id}': { get: {} } }));
    expect(matchFor(table, { path: '/t/users/u' }).resource).toMatchObject({
      uid: { type: 'Dental::User', id: 'u' },
      parents: [{ type: 'Dental::Tenant', id: 't' }],
    });
  });

  test('the path of the server is part of every path', () => {
    const servers = [
      { url: 'https://{region}.example.com/{base}/v1/', variables: { base: { default: 'api' } } },
    ];
    const table = load(
      draft(
        {
          '/a': { get: {}, put: { servers: [{ url: '/other' }] } },
          '/b': { servers: [{ url: 'https://b' }], get: {} },
        },
        { servers },
      ),
    );
    expect(idFor(table, { path: '/api/v1/a' })).toBe('get-api-v1-a');
    expect(idFor(table, { path: '/other/a', method: 'PUT' })).toBe('put-other-a');
    expect(idFor(table, { path: '/b' })).toBe('get-b');
  });

  test('a path described elsewhere in the document is followed', () => {
    const table = load(
      draft(
        { '/a': { $ref: '#/components/pathItems/A~1b' } },
        { components: { pathItems: { 'A/b': { get: {} } } } },
      ),
    );
    expect(idFor(table, { path: '/a' })).toBe('get-a');
  });

  test('what has no binding form is told in a comment', () => {
    const { bindings } = draft({
      '/ok': { get: {} },
      '/files/{name}.json': { get: {} },
      '/a/{x}': { get: {} },
      '/a/{y}': { get: {} },
      '/q?x=1': { get: {} },
      '/far': { $ref: 'other.yaml' },
      '/loop': { $ref: '#/paths/~1loop' },
    });
    expect(bindings).toMatch(/^# Not drafted:$/m);
    expect(bindings).toMatch(/^# - GET \/files\/\{name\}\.json: '\{name\}\.json' is no capture/m);
    expect(bindings).toMatch(/^# - GET \/a\/\{y\}: another path is the same but for its parameters$/m);
    expect(bindings).toMatch(/^# - GET \/q\?x=1: the path holds a query/m);
    expect(bindings).toMatch(/^# - \/far: its description is in another file/m);
    expect(bindings).toMatch(/^# - \/loop: /m);
    expect(
      tableOf(bindings, shapesOf(SHARED_SCHEMA, draft({ '/ok': { get: {} }, '/a/{x}': { get: {} } }).schema))
        .size,
    ).toBe(2);
  });

  test('strange names still load', () => {
    const table = load(
      draft({
        '/actions/{action-id}': { get: { operationId: 'say "hi"\n\\ {now}' } },
        '/strings/{1}/{2}': { get: { operationId: 'twice' }, put: { operationId: 'twice' } },
        '/café/{ü}': { get: { operationId: 'カフェ' } },
        '/a b/{x}/{x}': { get: {} },
        '/2fa': { post: {} },
        '/x:batch': { post: {} },
      }),
    );
    expect(table.ids).toEqual([
      'get-a-b-x-x',
      'get-caf',
      'post-2fa',
      'post-x:batch',
      'say-hi-now',
      'twice',
      'twice-2',
    ]);
    expect(matchFor(table, { path: '/caf%C3%A9/1' }).action.id).toBe('カフェ');
    expect(matchFor(table, { path: '/a%20b/1/2' }).resource.uid.id).toBe('1/2');
  });

  test('whatever the paths and operation ids, the draft loads', () => {
    const segment = fc.oneof(
      fc.constantFrom('users', 'actions', '{id}', '{user-id}', '{owner}', 'v1', 'records', 'me'),
      fc.string({ minLength: 1, maxLength: 5 }).map((text) => text.replaceAll('/', '')),
    );
    const path = fc
      .array(segment, { minLength: 1, maxLength: 5 })
      .map((segments) => `/${segments.join('/')}`);
    const operation = fc.record(
      { operationId: fc.string({ maxLength: 10, unit: 'binary' }) },
      { requiredKeys: [] },
    );
    const item = fc.record({ get: operation, post: operation, trace: operation }, { requiredKeys: ['get'] });
    fc.assert(
      fc.property(fc.dictionary(path, item, { minKeys: 1, maxKeys: 6 }), (paths) => {
        load(draft({ ...paths, '/always': { get: {} } }));
      }),
      { numRuns: 100 },
    );
  });
});

describe('what is no usable document is refused', () => {
  test.each([
    ['nothing', undefined],
    ['a list', []],
    ['Swagger 2', { swagger: '2.0', paths: { '/a': { get: {} } } }],
    ['a later major version', { openapi: '4.0.0', paths: { '/a': { get: {} } } }],
    ['no paths', { openapi: '3.0.3' }],
    ['empty paths', { openapi: '3.0.3', paths: {} }],
    ['no operations', { openapi: '3.0.3', paths: { '/a': {} } }],
    ['nothing that has a binding form', { openapi: '3.0.3', paths: { '/{a}b': { get: {} } } }],
  ])('%s', (_, document) => {
    expect(() => draftFromOpenApi(document, { namespace: 'Dental' })).toThrow(InputError);
  });

  test.each(['', 'a b', '1a', 'a::', 'if', 'A::in', 'ZeroTrust', '__cedar'])(
    'the namespace %j',
    (namespace) => {
      const document = { openapi: '3.0.3', paths: { '/a': { get: {} } } };
      expect(() => draftFromOpenApi(document, { namespace })).toThrow(/namespace/);
    },
  );
});

describe('names', () => {
  test.each([
    ['patients', 'patient'],
    ['Categories', 'Category'],
    ['addresses', 'address'],
    ['boxes', 'box'],
    ['batches', 'batch'],
    ['houses', 'house'],
    ['databases', 'database'],
    ['statuses', 'status'],
    ['status', 'status'],
    ['people', 'person'],
    ['news', 'news'],
    ['me', 'me'],
    ['v1', 'v1'],
    ['schemas', 'schema'],
    ['keys', 'key'],
    ['ties', 'tie'],
  ])('%s is %s', (plural, expected) => {
    expect(singular(plural)).toBe(expected);
  });

  test('types are Cedar identifiers', () => {
    expect(typeOf('patient-records')).toBe('PatientRecord');
    expect(typeOf('.well-known')).toBe('WellKnown');
    expect(typeOf('actions')).toBe('ActionItem');
    expect(pascalCase('2fa')).toBe('N2fa');
    expect(typeOfParameter('patientId')).toBe('Patient');
    expect(typeOfParameter('user_id')).toBe('User');
    expect(typeOfParameter('id')).toBe('Id');
  });

  test('the title suggests the namespace', () => {
    expect(
      namespaceFor({ openapi: '3.0.0', info: { title: 'Clinic records API' }, paths: { '/a': {} } }),
    ).toBe('ClinicRecords');
    expect(namespaceFor({ openapi: '3.0.0', paths: { '/a': {} } })).toBe('Api');
    expect(namespaceFor({ openapi: '3.0.0', info: { title: 'ZeroTrust' }, paths: { '/a': {} } })).toBe('Api');
  });
});
