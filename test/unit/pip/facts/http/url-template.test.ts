import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { subjectParts } from '../../../../../src/pip/facts/http/subject-parts.ts';
import { parseUrlTemplate, urlTemplateProblem } from '../../../../../src/pip/facts/http/url-template.ts';

function fill(template: string, id: string) {
  return parseUrlTemplate(template).pathFor(subjectParts(id));
}

const HOSTILE = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom(
    '.',
    '..',
    '%2e',
    '%2E%2e',
    '../x',
    '..%2f',
    'a/../b',
    'x?y=z',
    'x#y',
    'x&y=z',
    '//evil.example/',
    '\\',
    'a;b',
    ' ',
    '\0',
  ),
);

describe('a URL template', () => {
  test('takes the id, or its two parts, percent-encoded', () => {
    expect(fill('https://h/users/{id}', 'corp/a b')).toEqual({ path: '/users/corp%2Fa%20b' });
    expect(fill('https://h/{issuer}/{name}?x=1', 'corp/a/b+c')).toEqual({ path: '/corp/a%2Fb%2Bc?x=1' });
    expect(fill('https://h/u?id={id}&x=1', 'a&x=2')).toEqual({ path: '/u?id=a%26x%3D2&x=1' });
  });

  test('lets no id change origin, number of segments, or names of the query', () => {
    const templates = [
      'https://h.example:8443/a/{id}/b',
      'https://h.example/{issuer}/{name}',
      'https://h.example/a?who={id}&x=1',
      'https://h.example/a/{name}?issuer={issuer}&x=',
    ];
    fc.assert(
      fc.property(fc.constantFrom(...templates), HOSTILE, HOSTILE, (text, issuer, name) => {
        const template = parseUrlTemplate(text);
        const filled = template.pathFor({ id: `${issuer}/${name}`, issuer, name });
        if ('problem' in filled) return;
        const url = new URL(`${template.origin}${filled.path}`);
        const bare = new URL(text);
        expect(url.origin).toBe(bare.origin);
        expect(url.hash).toBe('');
        // Nothing was folded away: the path is as it was built.
        expect(`${url.pathname}${url.search}`.replaceAll('%27', "'")).toBe(
          filled.path.replaceAll('%27', "'"),
        );
        expect(url.pathname.split('/')).toHaveLength(bare.pathname.split('/').length);
        expect([...url.searchParams.keys()]).toEqual([...bare.searchParams.keys()]);
      }),
    );
  });

  test('brings back in the query exactly what was put in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (id) => {
        const filled = fill('https://h.example/a?who={id}&x=1', id);
        expect('path' in filled && new URL(filled.path, 'https://h.example').searchParams.get('who')).toBe(
          id,
        );
      }),
    );
  });

  test.each(['.', '..', ''])('does not ask with the name %j as a segment', (name) => {
    expect(fill('https://h/users/{name}', `corp/${name}`)).toEqual({
      problem: 'the id would change the path',
    });
  });

  test.each(['../admin', 'a/../../b', '..\\admin', '%2e%2e/x', 'a/.'])(
    'does not ask with the name %j: some servers decode before they part the path',
    (name) => {
      const problem = 'the id would change the path';
      expect(fill('https://f.example/users/{name}', `corp/${name}`)).toEqual({ problem });
      expect(fill('https://f.example/users/{id}', `corp/${name}`)).toEqual({ problem });
      expect(fill('https://f.example/users?of={id}', `corp/${name}`)).toHaveProperty('path');
    },
  );

  test('does not let an id end a segment that becomes a dot segment', () => {
    expect(fill('https://h/%2e{name}', 'corp/.')).toEqual({ problem: 'the id would change the path' });
    expect(fill('https://h/{issuer}{name}', './.')).toEqual({ problem: 'the id would change the path' });
  });

  test('does not ask about an id without the parts it needs, or with half a character', () => {
    expect(fill('https://h/{name}', 'alice')).toEqual({
      problem: 'the id is not of the form <issuer>/<name>',
    });
    expect(fill('https://h/{id}', 'a\ud800')).toEqual({ problem: 'the id is not well-formed text' });
  });

  test.each([
    ["https://h/devices?$filter=azureADDeviceId eq '{name}'", "x' or '1' eq '1"],
    ["https://h/devices(deviceId='{name}')", "x')"],
    ['https://h/prefix-{name}', 'a b'],
  ])('lets an id stand within other text (%s) only where it means nothing there', (template, name) => {
    expect(fill(template, 'mdm/2f9c-41@x.example')).toMatchObject({
      path: expect.stringContaining('2f9c-41') as string,
    });
    expect(fill(template, `mdm/${name}`)).toEqual({
      problem: 'the id holds characters that cannot stand within other text',
    });
  });

  test.each([
    ['http://h.example/{id}', 'is not https'],
    ['nonsense {id}', 'is not a URL'],
    ['https://user:pw@h/{id}', 'holds credentials'],
    ['https://{id}.example/x', 'has a placeholder in its host'],
    ['https://h/x#{id}', 'has a fragment'],
    ['https://h/x?{id}=1', 'has a placeholder that is neither in a path segment nor in a value of the query'],
    ['https://h/x?{id}', 'has a placeholder that is neither in a path segment nor in a value of the query'],
    ['https://h/{id}/../x', 'has a placeholder beside a `..` segment'],
    ['https://h/{sub}', 'holds braces that are not {id}, {issuer} or {name}'],
    ['https://h/{id', 'holds braces that are not {id}, {issuer} or {name}'],
    ['https://h/pdpplaceholderidend', "holds the reserved word 'pdpplaceholder'"],
  ])('is refused where it is %s', (text, problem) => {
    expect(urlTemplateProblem(text)).toBe(problem);
  });

  test('may be plain HTTP to this machine', () => {
    expect(urlTemplateProblem('http://127.0.0.1:9/{id}')).toBeUndefined();
  });
});
