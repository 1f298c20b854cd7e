import { describe, expect, test } from 'vitest';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import { binding, factsOf, idFor, matchFor, tableOf } from './fixture.ts';

const CLINIC = `
bindings:
  - id: clinic.view-records
    match:
      method: GET
      host: clinic.example.com
      path: /hospitals/{hospitalId}/patients/{patientId}/records
    action: Dental::Action::"view"
    resource:
      type: Dental::Patient
      id: '{patientId}'
      attributes: { section: records, name: 'of {hospitalId}', bed: 7, urgent: true, tags: [a, '{{b}}'], numbers: [] }
      parents:
        - { type: Dental::Hospital, id: '{hospitalId}' }
        - { type: Dental::Ward, id: '{hospitalId}/{patientId}' }
      pip: patients
  - id: clinic.files
    match: { path: '/files/{path:**}' }
    action: Dental::Action::"read file"
    resource: { type: Dental::File, id: 'file:{path}' }
    observe: true
`;

describe('a matched request is put in the words of the application', () => {
  const table = tableOf(CLINIC);

  test('captures become the ids of the resource and its parents', () => {
    const match = matchFor(table, { path: '/hospitals/h1/patients/p%207/records' });
    expect(match).toEqual({
      id: 'clinic.view-records',
      action: { type: 'Dental::Action', id: 'view' },
      resource: {
        uid: { type: 'Dental::Patient', id: 'p 7' },
        attributes: {
          section: 'records',
          name: 'of h1',
          bed: 7,
          urgent: true,
          tags: ['a', '{b}'],
          numbers: [],
        },
        parents: [
          { type: 'Dental::Hospital', id: 'h1' },
          { type: 'Dental::Ward', id: 'h1/p 7' },
        ],
        pip: 'patients',
      },
      observe: false,
    });
  });

  test('a rest capture keeps its slashes', () => {
    const match = matchFor(table, { path: '/files/a/b%20c/' });
    expect(match.resource).toEqual({
      uid: { type: 'Dental::File', id: 'file:a/b c/' },
      attributes: {},
      parents: [],
    });
    expect(match.observe).toBe(true);
  });

  test('the table tells its size, its ids, its observed routes and the headers it reads', () => {
    expect(table.size).toBe(2);
    expect(table.ids).toEqual(['clinic.files', 'clinic.view-records']);
    expect(table.observed).toEqual(['clinic.files']);
    expect([...table.headers]).toEqual([]);
    expect([...tableOf([binding('a', { path: '/', headers: { 'x-a': '1' } })]).headers]).toEqual(['x-a']);
  });

  test('no bindings match nothing', () => {
    expect(tableOf([]).match(factsOf({ path: '/' }))).toBeUndefined();
  });
});

describe('a path template matches whole segments', () => {
  const table = tableOf([
    binding('root', { path: '/' }),
    binding('one', { path: '/a/{id}' }, '{id}'),
    binding('slash', { path: '/b/' }),
    binding('rest', { path: '/c/**' }),
    binding('escaped', { path: '/caf%C3%A9' }),
  ]);
  test.each([
    ['/', 'root'],
    ['/a/x', 'one'],
    ['/a/x/', undefined],
    ['/a/', undefined],
    ['/a', undefined],
    ['/a/x/y', undefined],
    ['/A/x', undefined],
    ['/b/', 'slash'],
    ['/b', undefined],
    ['/c', undefined],
    ['/c/', 'rest'],
    ['/c/x', 'rest'],
    ['/c/x/', 'rest'],
    ['/c/x/y/z', 'rest'],
    ['/cx', undefined],
    ['/caf%C3%A9', 'escaped'],
    ['/constructor', undefined],
    ['/__proto__', undefined],
  ])('%s meets %s', (path, id) => {
    expect(idFor(table, { path })).toBe(id);
  });
});

describe('every condition must be met exactly', () => {
  const service = 'spiffe://example.org/ns/clinic/sa/records';
  const table = tableOf([
    binding('method', { path: '/m', method: ['GET', 'PUT'] }),
    binding('host', { path: '/h', host: ['clinic.example.com', '*.clinic.example.com'] }),
    binding('service', { path: '/s', service }),
    binding('header', { path: '/x', headers: { 'x-tenant': 'acme' } }),
    binding('present', { path: '/p', headers: { 'x-tenant': { present: true } } }),
    binding('extension', { path: '/e', extensions: { route: ['internal', 'admin'] } }),
    binding('any-extension', { path: '/f', extensions: { route: { present: true } } }),
    binding('grpc', { grpc: 'clinic.v1.Patients/Get' }),
    binding('grpc-all', { grpc: 'clinic.v1.Wards/*' }, '{method}'),
  ]);
  test.each([
    [{ path: '/m' }, 'method'],
    [{ path: '/m', method: 'PUT' }, 'method'],
    [{ path: '/m', method: 'POST' }, undefined],
    [{ path: '/h' }, 'host'],
    [{ path: '/h', host: 'a.clinic.example.com' }, 'host'],
    [{ path: '/h', host: 'b.a.clinic.example.com' }, 'host'],
    [{ path: '/h', host: '.clinic.example.com' }, undefined],
    [{ path: '/h', host: 'evilclinic.example.com' }, undefined],
    [{ path: '/h', host: 'clinicxexample.com' }, undefined],
    [{ path: '/h', host: 'clinic.example.com.evil.org' }, undefined],
    [{ path: '/h', host: 'clinic.example.com:8080' }, undefined],
    [{ path: '/s', service }, 'service'],
    [{ path: '/s', service: `${service}2` }, undefined],
    [{ path: '/s' }, undefined],
    [{ path: '/x', headers: { 'x-tenant': ['acme'] } }, 'header'],
    [{ path: '/x', headers: { 'x-tenant': ['Acme'] } }, undefined],
    [{ path: '/x' }, undefined],
    [{ path: '/p', headers: { 'x-tenant': [''] } }, 'present'],
    [{ path: '/p' }, undefined],
    [{ path: '/e', extensions: { route: 'admin' } }, 'extension'],
    [{ path: '/e', extensions: { route: 'public' } }, undefined],
    [{ path: '/f', extensions: { route: 'public' } }, 'any-extension'],
    [{ path: '/f' }, undefined],
    [{ path: '/clinic.v1.Patients/Get', method: 'POST' }, 'grpc'],
    [{ path: '/clinic.v1.Patients/Get', method: 'GET' }, undefined],
    [{ path: '/clinic.v1.Patients/Get/', method: 'POST' }, undefined],
    [{ path: '/clinicxv1.Patients/Get', method: 'POST' }, undefined],
    [{ path: '/clinic.v1.Wards/List', method: 'POST' }, 'grpc-all'],
  ])('%j meets %s', (sample, id) => {
    expect(idFor(table, sample)).toBe(id);
  });

  test('a gRPC star captures the name of the method', () => {
    const match = matchFor(table, { path: '/clinic.v1.Wards/List', method: 'POST' });
    expect(match.resource.uid.id).toBe('List');
  });
});

describe('the most specific binding wins', () => {
  const table = tableOf([
    binding('any', { path: '/**' }),
    binding('rest', { path: '/a/**' }),
    binding('capture', { path: '/a/{id}' }),
    binding('literal', { path: '/a/me' }),
    binding('literal-put', { path: '/a/me', method: 'PUT', host: 'clinic.example.com' }),
    binding('early-literal', { path: '/x/{id}/c' }),
    binding('late-literal', { path: '/{id}/b/c' }),
    binding('get-or-put', { path: '/m', method: ['GET', 'PUT', 'POST'] }),
    binding('get', { path: '/m', method: 'GET' }),
    binding('wide', { path: '/h', host: '*.example.com' }),
    binding('wild', { path: '/h', host: '*.b.example.com' }),
    binding('exact', { path: '/h', host: 'a.b.example.com' }),
    binding('two-present', { path: '/hh', headers: { b: { present: true }, a: { present: true } } }),
    binding('two-values', { path: '/hh', headers: { a: '1', b: '1' } }),
    binding('get-only', { path: '/g/me', method: 'GET' }),
    binding('fallback', { path: '/g/{id}' }),
  ]);
  test.each([
    ['a literal over a capture', { path: '/a/me' }, 'literal'],
    ['more conditions over fewer', { path: '/a/me', method: 'PUT' }, 'literal-put'],
    ['a capture over the rest', { path: '/a/you' }, 'capture'],
    ['the rest under a literal over the rest of all', { path: '/a/b/c' }, 'rest'],
    ['any', { path: '/z' }, 'any'],
    ['the earlier literal', { path: '/x/b/c' }, 'early-literal'],
    ['the only one', { path: '/y/b/c' }, 'late-literal'],
    ['one method over a list that holds it', { path: '/m' }, 'get'],
    ['the list for the other methods', { path: '/m', method: 'PUT' }, 'get-or-put'],
    ['values over presence, however ordered', { path: '/hh', headers: { a: ['1'], b: ['1'] } }, 'two-values'],
    ['the exact host', { path: '/h', host: 'a.b.example.com' }, 'exact'],
    ['the longer wildcard', { path: '/h', host: 'c.b.example.com' }, 'wild'],
    ['the shorter wildcard', { path: '/h', host: 'c.example.com' }, 'wide'],
    ['the next one where its conditions are not met', { path: '/g/me', method: 'PUT' }, 'fallback'],
  ])('%s', (_, sample, id) => {
    expect(idFor(table, sample)).toBe(id);
  });
});

describe('what can be read in two ways is refused, never matched to something looser', () => {
  const table = tableOf([
    binding('one', { path: '/p/{id}' }, '{id}'),
    binding('unused', { path: '/u/{id}' }),
    binding('files', { path: '/f/{path:**}' }, '{path}'),
    binding('tenant', { path: '/t', headers: { 'x-tenant': 'acme' }, method: 'GET' }),
    binding('no-tenant', { path: '/t' }),
    binding('any', { path: '/**' }),
  ]);
  test.each([
    ['a control character', '/p/a%C2%85b', 'path_ambiguous'],
    ['a line separator', '/p/a%E2%80%A8b', 'path_ambiguous'],
    ['a direction override', '/p/a%E2%80%AEb', 'path_ambiguous'],
    ['a zero-width space', '/p/a%E2%80%8Bb', 'path_ambiguous'],
    ['bytes that are no UTF-8', '/p/%FF', 'path_ambiguous'],
    ['an overlong encoding', '/p/%C0%AF', 'path_ambiguous'],
    ['an encoded surrogate', '/p/%ED%A0%80', 'path_ambiguous'],
    ['an encoded slash that nobody refused before', '/p/a%2Fb', 'path_ambiguous'],
    ['an encoded backslash that nobody refused before', '/f/a%5cb', 'path_ambiguous'],
    ['an empty id', '/f/', 'request_malformed'],
  ])('%s in a captured id', (_, path, refusal) => {
    const match = table.match(factsOf({ path }));
    expect(match && isRefusal(match) && match.refusal).toBe(refusal);
    expect(match && isRefusal(match) && match.detail).toMatch(/captured|empty/);
  });

  test('a capture that nothing is made of may hold anything', () => {
    expect(idFor(table, { path: '/u/%FF' })).toBe('unused');
  });

  test.each([
    ['%', '/p/a%25', 'a%'],
    ['a name in another script', '/p/%E0%AE%85', 'அ'],
    ['an emoji', '/p/%F0%9F%98%80', '😀'],
    ['a star', '/p/*', '*'],
    ['quotes', '/p/%22x%22', '"x"'],
  ])('%s is decoded once', (_, path, id) => {
    expect(matchFor(table, { path }).resource.uid.id).toBe(id);
  });

  test('a header that decides and is sent twice refuses the request', () => {
    const headers = { 'x-tenant': ['acme', 'other'] };
    expect(idFor(table, { path: '/t', headers })).toBe('header_ambiguous');
    expect(idFor(table, { path: '/t', method: 'PUT', headers })).toBe('no-tenant');
    expect(idFor(table, { path: '/z', headers })).toBe('any');
  });
});
