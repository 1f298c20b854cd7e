import { describe, expect, test } from 'vitest';
import { readBindings } from '../../../../src/pdp/bindings/read-bindings.ts';
import { type Problem, problemText } from '../../../../src/pdp/errors.ts';
import { binding, problemsOf, shapes, tableOf } from './fixture.ts';

const RESOURCE = `{ type: Dental::Patient, id: 'x' }`;

function oneBinding(lines: { match?: string; action?: string; resource?: string; more?: string }): string {
  return [
    'bindings:',
    '  - id: one',
    `    match: ${lines.match ?? '{ path: /a }'}`,
    `    action: ${lines.action ?? 'Dental::Action::"view"'}`,
    `    resource: ${lines.resource ?? RESOURCE}`,
    ...(lines.more === undefined ? [] : [`    ${lines.more}`]),
  ].join('\n');
}

describe('every problem of a file is told with its position', () => {
  test('a sound file has none', () => {
    expect(problemsOf(oneBinding({}))).toEqual([]);
  });

  test.each([
    ['no list', '{}', "bindings.yaml:1:1: the file needs a list 'bindings'"],
    ['an empty file', '', 'bindings.yaml:1:1: the file must be a mapping'],
    ['no list in it', 'bindings: x', "bindings.yaml:1:11: 'bindings' must be a list"],
    ['a misspelt key', 'binding: []', "1:1: unknown key 'binding' in the file; did you mean 'bindings'?"],
    ['a binding that is no mapping', 'bindings: [x]', 'bindings.yaml:1:12: a binding must be a mapping'],
    ['nothing in it', 'bindings: [{}]', "1:12: the binding has no 'resource'"],
    ['YAML that is none', 'bindings: [', 'bindings.yaml:1:12: '],
    ['a key twice', 'bindings: []\nbindings: []', 'bindings.yaml:2:1: Map keys must be unique'],
    ['two documents', 'bindings: []\n---\nbindings: []', 'bindings.yaml:2:1: '],
    ['an unknown tag', 'bindings: !regex []', 'bindings.yaml:1:11: Unresolved tag'],
    ['an alias without anchor', 'bindings: *x', 'bindings.yaml:1:11: '],
  ])('%s', (_, text, expected) => {
    expect(problemsOf(text).join('\n')).toContain(expected);
  });

  test.each([
    [
      'an unknown key',
      { more: 'observed: true' },
      "6:5: unknown key 'observed' in a binding; did you mean 'observe'?",
    ],
    ['a word for a truth value', { more: 'observe: yes' }, "6:14: 'observe' must be true or false"],
    [
      'an unknown key of match',
      { match: '{ path: /a, methods: GET }' },
      "3:24: unknown key 'methods' in 'match'; did you mean 'method'?",
    ],
    ['no path', { match: '{ method: GET }' }, "3:12: 'match' needs a 'path' or a 'grpc' method"],
    ['two paths', { match: '{ path: /a, grpc: a.B/C }' }, "3:30: 'grpc' is a path of its own"],
    [
      'a method beside gRPC',
      { match: '{ method: POST, grpc: a.B/C }' },
      "3:22: 'grpc' calls are always POST",
    ],
    ['a gRPC method with slash', { match: '{ grpc: /a.B/C }' }, "3:20: '/a.B/C' is not a gRPC method"],
    ['a gRPC pattern', { match: `{ grpc: 'a.*/C' }` }, "3:20: 'a.*/C' is not a gRPC method"],
    [
      'a lower-case method',
      { match: '{ path: /a, method: get }' },
      "3:32: no request has the method 'get': methods are in upper case; write 'GET'",
    ],
    ['a method twice', { match: '{ path: /a, method: [GET, GET] }' }, "3:38: 'GET' is given twice"],
    ['no method', { match: '{ path: /a, method: [] }' }, "3:32: 'method' must name at least one value"],
    [
      'a number for a method',
      { match: '{ path: /a, method: 1 }' },
      "3:32: 'method' must be a string; quote it",
    ],
    [
      'an upper-case host',
      { match: '{ path: /a, host: Clinic.example.com }' },
      "3:30: 'Clinic.example.com' is not in canonical form; write 'clinic.example.com'",
    ],
    [
      'a default port',
      { match: `{ path: /a, host: 'clinic.example.com:443' }` },
      "write 'clinic.example.com'",
    ],
    ['a trailing dot', { match: `{ path: /a, host: '*.example.com.' }` }, "write '*.example.com'"],
    [
      'a star inside a host',
      { match: '{ path: /a, host: clinic.*.com }' },
      "'clinic.*.com' may hold a star only as its first label",
    ],
    [
      'a star alone as host',
      { match: `{ path: /a, host: '*' }` },
      "'*' may hold a star only as its first label",
    ],
    [
      'a host that a wildcard beside it covers',
      { match: `{ path: /a, host: [b.a.x, '*.x', '*.a.x'] }` },
      "3:30: '*.x' covers 'b.a.x': leave that out",
    ],
    ['a URL as host', { match: `{ path: /a, host: 'https://a' }` }, "no request has the host 'https://a'"],
    [
      'a service that is no SPIFFE ID',
      { match: '{ path: /a, service: clinic }' },
      "3:33: 'clinic' is not a SPIFFE ID",
    ],
    [
      'dot segments in a SPIFFE ID',
      { match: '{ path: /a, service: spiffe://a/../b }' },
      'is not a SPIFFE ID',
    ],
    [
      'an upper-case header',
      { match: '{ path: /a, headers: { X-Tenant: a } }' },
      "3:45: header names are in lower case; write 'x-tenant'",
    ],
    [
      'an underscore in a header',
      { match: '{ path: /a, headers: { x_tenant: a } }' },
      "header names with '_' are ambiguous; use 'x-tenant'",
    ],
    [
      'a header that is no token',
      { match: `{ path: /a, headers: { 'x tenant': a } }` },
      "'x tenant' is not a header name",
    ],
    [
      'a header value that is no string',
      { match: '{ path: /a, headers: { x-a: 1 } }' },
      "3:40: the header 'x-a' must be a string; quote it",
    ],
    ['an empty value', { match: `{ path: /a, headers: { x-a: '' } }` }, '3:40: an empty value says nothing'],
    [
      'absence of a header',
      { match: '{ path: /a, headers: { x-a: { present: false } } }' },
      "3:40: the header 'x-a' takes values or '{ present: true }'",
    ],
    [
      'a regex for an extension',
      { match: '{ path: /a, extensions: { r: { regex: x } } }' },
      "3:41: the extension 'r' takes values or '{ present: true }'",
    ],
    [
      'no value for an extension',
      { match: '{ path: /a, extensions: { r: } }' },
      "the extension 'r' must be a string",
    ],
    ['a path without slash', { match: '{ path: a }' }, "3:20: the path does not start with '/'"],
    [
      'an empty segment',
      { match: '{ path: /a//b }' },
      "3:20: no request can have this path: the path holds an empty segment '//'",
    ],
    [
      'a dot segment',
      { match: '{ path: /a/../b }' },
      "no request can have this path: the path holds a '.' or '..' segment",
    ],
    ['an encoded slash', { match: '{ path: /a%2Fb }' }, "the path holds an encoded '/'"],
    ['a path parameter', { match: '{ path: /a;b }' }, 'no request can have this path'],
    ['a query', { match: `{ path: '/a?b' }` }, 'the path holds a query'],
    [
      'an escape that is none',
      { match: '{ path: /%61 }' },
      "the path is not in canonical form; write it as '/a'",
    ],
    ['a letter that must be escaped', { match: '{ path: /café }' }, "percent-encode it: '/caf%C3%A9'"],
    [
      'half a segment as capture',
      { match: `{ path: '/a/{id}.json' }` },
      "'{id}.json' is no capture: '{name}' takes a whole segment",
    ],
    ['a capture without name', { match: `{ path: '/a/{}' }` }, "'{}' is no capture"],
    ['a capture with a strange name', { match: `{ path: '/a/{a-b}' }` }, "'{a-b}' is no capture"],
    ['a regex as capture', { match: `{ path: '/a/{id:[0-9]+}' }` }, "'{id:[0-9]+}' is no capture"],
    ['an open brace', { match: `{ path: '/a/{id' }` }, 'a brace that opens or closes nothing'],
    ['a capture twice', { match: `{ path: '/{id}/{id}' }` }, "'{id}' is captured twice"],
    ['a single star', { match: `{ path: '/a/*' }` }, "'*' holds a star; write {name} for one segment"],
    [
      'rest before the end',
      { match: `{ path: '/**/a' }` },
      "'**' takes all that is left, so it must be the last segment",
    ],
    ['a rest with a strange name', { match: `{ path: '/{a-b:**}' }` }, "'{a-b:**}' is no capture"],
    [
      'an action that is none',
      { action: 'view' },
      `4:13: 'view' is not an action; write it like Clinic::Action::"view"`,
    ],
    [
      'an unknown action',
      { action: 'Dental::Action::"vieww"' },
      `4:13: the schema has no action Dental::Action::"vieww" that applies to anything; did you mean 'Dental::Action::"view"'?`,
    ],
    ['an action group', { action: 'Dental::Action::"maintain"' }, 'that applies to anything'],
    [
      'an action for another type',
      { action: 'Dental::Action::"read file"' },
      '5:23: Dental::Action::"read file" does not apply to Dental::Patient, only to Dental::File',
    ],
    [
      'an unknown type',
      { resource: '{ type: Dental::Patent, id: x }' },
      "5:23: the schema has no entity type Dental::Patent; did you mean 'Dental::Patient'?",
    ],
    ['no id', { resource: '{ type: Dental::Patient }' }, "5:15: 'id' is missing"],
    ['an empty id', { resource: `{ type: Dental::Patient, id: '' }` }, '5:44: the id is empty'],
    [
      'a number as id',
      { resource: '{ type: Dental::Patient, id: 7 }' },
      "5:44: 'id' must be a string; quote it",
    ],
    [
      'a control character in an id',
      { resource: '{ type: Dental::Patient, id: "a\\nb" }' },
      "'id' holds a control character",
    ],
    [
      'a capture that is not there',
      { match: `{ path: '/{patientId}' }`, resource: `{ type: Dental::Patient, id: '{patient}' }` },
      "5:44: 'id' uses '{patient}', which the path does not capture; captured are {patientId}",
    ],
    [
      'a capture of nothing',
      { resource: `{ type: Dental::Patient, id: '{patient}' }` },
      'the path captures nothing',
    ],
    ['a single brace', { resource: `{ type: Dental::Patient, id: 'a}' }` }, "'id' holds a single brace"],
    [
      'captures that touch',
      { match: `{ path: '/{a}/{b}' }`, resource: `{ type: Dental::Patient, id: '{a}-{b}' }` },
      "'id' holds two captures without a '/' between them",
    ],
    [
      'two rests',
      { match: `{ path: '/{a:**}' }`, resource: `{ type: Dental::Patient, id: '{a}/{a}' }` },
      "'id' holds two captures without a '/' between them",
    ],
    [
      'an unknown attribute',
      { resource: `{ type: Dental::Patient, id: x, attributes: { sektion: a } }` },
      "5:70: the schema declares no attribute 'sektion' on Dental::Patient; did you mean 'section'?",
    ],
    [
      'an attribute of another type',
      { resource: `{ type: Dental::Patient, id: x, attributes: { bed: '7' } }` },
      "5:66: the attribute 'bed' is declared as Long, this is String",
    ],
    [
      'an attribute that only others know',
      { resource: `{ type: Dental::Patient, id: x, attributes: { doctor: me } }` },
      "the attribute 'doctor' is declared as ZeroTrust::User, which only an information point can give",
    ],
    [
      'a list of another type',
      { resource: `{ type: Dental::Patient, id: x, attributes: { tags: [1] } }` },
      'declared as Set<String>, this is Set<Long>',
    ],
    [
      'a mixed list',
      { resource: `{ type: Dental::Patient, id: x, attributes: { tags: [1, a] } }` },
      'this is a mixed list',
    ],
    [
      'a fraction',
      { resource: `{ type: Dental::Patient, id: x, attributes: { bed: 1.5 } }` },
      "the attribute 'bed' must be text, true, false or an integer within 2^53",
    ],
    [
      'an integer that was rounded',
      { resource: `{ type: Dental::Patient, id: x, attributes: { bed: 9007199254740993 } }` },
      'an integer within 2^53',
    ],
    [
      'null',
      { resource: `{ type: Dental::Patient, id: x, attributes: { bed: null } }` },
      'this is neither text, number nor truth value',
    ],
    [
      'a reserved name',
      { resource: `{ type: Dental::Patient, id: x, attributes: { __entity: a } }` },
      "'__entity' is no name for an attribute",
    ],
    [
      'a capture in a list',
      {
        match: `{ path: '/{a}' }`,
        resource: `{ type: Dental::Patient, id: x, attributes: { tags: ['{a}'] } }`,
      },
      'which the path does not capture',
    ],
    [
      'parents that are no list',
      { resource: `{ type: Dental::Patient, id: x, parents: { type: Dental::Hospital, id: h } }` },
      "5:56: 'parents' must be a list",
    ],
    [
      'an unknown parent type',
      { resource: `{ type: Dental::Patient, id: x, parents: [{ type: Dental::Hospitl, id: h }] }` },
      "the schema has no entity type Dental::Hospitl; did you mean 'Dental::Hospital'?",
    ],
    [
      'a parent that cannot be one',
      { resource: `{ type: Dental::Patient, id: x, parents: [{ type: Dental::Region, id: h }] }` },
      '5:57: the schema declares Dental::Patient in Dental::Hospital, Dental::Ward, not in Dental::Region',
    ],
    [
      'a parent of what has none',
      {
        action: 'Dental::Action::"read file"',
        resource: `{ type: Dental::File, id: x, parents: [{ type: Dental::Region, id: h }] }`,
      },
      'declares Dental::File in nothing, not in Dental::Region',
    ],
    [
      'a strange information point',
      { resource: `{ type: Dental::Patient, id: x, pip: a b }` },
      "'pip' is the name of a subject",
    ],
  ])('%s', (_, lines, expected) => {
    const problems = problemsOf(oneBinding(lines));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
    expect(problems[0]).toMatch(/^bindings\.yaml:\d+:\d+: /);
  });

  test('all of them at once', () => {
    const text = oneBinding({
      match: '{ path: a, method: get, host: A }',
      action: 'Dental::Action::"x"',
      resource: `{ type: Nope, id: '{later}', parents: [{ type: Nope, id: '' }] }`,
    });
    expect(problemsOf(text)).toHaveLength(7);
  });

  test('anchors and aliases stand for what they name', () => {
    const text = `
bindings:
  - id: one
    match: { path: /a, host: &host [clinic.example.com] }
    action: Dental::Action::"view"
    resource: &patient ${RESOURCE}
  - id: two
    match: { path: /b, host: *host }
    action: Dental::Action::"view"
    resource: *patient
`;
    expect(tableOf(text).size).toBe(2);
  });
});

describe('bindings are checked against each other', () => {
  function conflictOf(...matches: readonly object[]): string[] {
    const problems: Problem[] = [];
    const sources = matches.map((match, index) => ({
      file: `${index}.yaml`,
      text: JSON.stringify({ bindings: [binding(`b${index}`, match)] }),
    }));
    readBindings(sources, shapes, problems);
    return problems.map(problemText);
  }

  test('an id is taken once, in all files together', () => {
    const problems: Problem[] = [];
    const text = oneBinding({});
    readBindings(
      [
        { file: 'a/bindings.yaml', text },
        { file: 'b/bindings.yaml', text: text.replace('/a', '/b') },
      ],
      shapes,
      problems,
    );
    expect(problems.map(problemText)).toEqual([
      "b/bindings.yaml:2:9: the id 'one' is taken already at a/bindings.yaml:2:9",
    ]);
  });

  test('an ambiguous pair is refused with both positions', () => {
    expect(conflictOf({ path: '/a/{x}' }, { path: '/a/{y}' })).toEqual([
      "1.yaml:1:33: binding 'b1' and 'b0' (0.yaml:1:33) can match the same request and neither is more specific; give one of them another condition",
    ]);
  });

  test.each([
    [
      'different conditions of equal number',
      [
        { path: '/a', method: 'GET' },
        { path: '/a', host: 'h' },
      ],
    ],
    [
      'lists that overlap',
      [
        { path: '/a', method: ['GET', 'PUT'] },
        { path: '/a', method: ['GET', 'POST'] },
      ],
    ],
    ['a gRPC method and its path', [{ grpc: 'a.B/C' }, { path: '/a.B/C', method: 'POST' }]],
    [
      'a header and an extension',
      [
        { path: '/a', headers: { x: '1' } },
        { path: '/a', extensions: { x: '1' } },
      ],
    ],
    [
      'two headers',
      [
        { path: '/a', headers: { x: '1' } },
        { path: '/a', headers: { y: '1' } },
      ],
    ],
    [
      'crossed wildcards',
      [
        { path: '/a', host: ['*.a.b', 'c'] },
        { path: '/a', host: ['*.b', 'd'] },
      ],
    ],
    [
      'crossed narrowness',
      [
        { path: '/a', host: '*.b', method: 'GET' },
        { path: '/a', host: 'a.b', method: ['GET', 'PUT'] },
      ],
    ],
    ['rests', [{ path: '/a/**' }, { path: '/a/{x:**}' }]],
  ])('ambiguous: %s', (_, matches) => {
    expect(conflictOf(...matches)).toEqual([expect.stringContaining('neither is more specific')]);
  });

  test.each([
    ['different literals', [{ path: '/a' }, { path: '/b' }]],
    ['a capture and a rest', [{ path: '/{a}' }, { path: '/**' }]],
    [
      'different methods',
      [
        { path: '/a', method: 'GET' },
        { path: '/a', method: 'PUT' },
      ],
    ],
    [
      'different hosts',
      [
        { path: '/a', host: '*.a' },
        { path: '/a', host: '*.ba' },
      ],
    ],
    [
      'a host and the wildcard above it',
      [
        { path: '/a', host: '*.a' },
        { path: '/a', host: 'a' },
      ],
    ],
    [
      'a value and presence',
      [
        { path: '/a', headers: { x: '1' } },
        { path: '/a', headers: { x: { present: true } } },
      ],
    ],
    [
      'one more condition',
      [
        { path: '/a', method: 'GET' },
        { path: '/a', method: ['GET', 'PUT'], host: 'h' },
      ],
    ],
  ])('not ambiguous: %s', (_, matches) => {
    expect(conflictOf(...matches)).toEqual([]);
  });

  test.each([
    [
      'its list is used up',
      [
        { path: '/a', method: ['GET', 'PUT'] },
        { path: '/a', method: 'GET' },
        { path: '/a', method: 'PUT' },
      ],
      "0.yaml:1:33: binding 'b0' can never match: 'b1' (1.yaml:1:33), 'b2' (2.yaml:1:33) take all its requests",
    ],
    [
      'its paths are used up',
      [{ path: '/a/{x:**}' }, { path: '/a/' }, { path: '/a/{x}' }, { path: '/a/{x}/**' }],
      "0.yaml:1:33: binding 'b0' can never match",
    ],
    [
      'its hosts and paths are used up',
      [
        { path: '/**', host: ['*.a', 'b'] },
        { path: '/**', host: '*.a' },
        { path: '/**', host: 'b' },
      ],
      "binding 'b0' can never match: 'b1' (1.yaml:1:33), 'b2' (2.yaml:1:33) take all",
    ],
  ])('shadowed: %s', (_, matches, expected) => {
    expect(conflictOf(...matches)).toEqual([expect.stringContaining(expected)]);
  });

  test('what leaves a single request over is not shadowed', () => {
    expect(conflictOf({ path: '/a/**' }, { path: '/a/' }, { path: '/a/{x}' })).toEqual([]);
    expect(
      conflictOf(
        { path: '/a/**' },
        { path: '/a/' },
        { path: '/a/{x}' },
        { path: '/a/{x}/**', method: 'GET' },
      ),
    ).toEqual([]);
  });
});
