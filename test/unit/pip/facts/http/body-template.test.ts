import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bodyFor, placeholdersOf } from '../../../../../src/pip/facts/http/body-template.ts';
import { subjectParts } from '../../../../../src/pip/facts/http/subject-parts.ts';

const TEMPLATE = {
  query: '{ user(id: $id) { {id} } }',
  variables: { id: '{id}', of: ['{issuer}', '{name}', 1, null] },
};

describe('a body template', () => {
  test('takes the parts of an id where a whole string is a placeholder', () => {
    expect(JSON.parse(bodyFor(TEMPLATE, subjectParts('corp/alice')) ?? '')).toEqual({
      query: '{ user(id: $id) { {id} } }',
      variables: { id: 'corp/alice', of: ['corp', 'alice', 1, null] },
    });
  });

  test('holds any id as a string and as nothing else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (id) => {
        expect(JSON.parse(bodyFor({ id: '{id}', x: 1 }, { id }) ?? '')).toEqual({ id, x: 1 });
      }),
    );
  });

  test('does not put a part of the id in for a placeholder that another part looks like', () => {
    const body = bodyFor(['{issuer}', '{name}'], { id: 'x', issuer: '{name}', name: '{id}' });
    expect(JSON.parse(body ?? '')).toEqual(['{name}', '{id}']);
  });

  test('is nothing where the id lacks a part', () => {
    expect(bodyFor(TEMPLATE, subjectParts('alice'))).toBeUndefined();
  });

  test('says what it needs', () => {
    expect([...placeholdersOf(TEMPLATE)]).toEqual(['id', 'issuer', 'name']);
    expect([...placeholdersOf([1, true, null, 'id'])]).toEqual([]);
  });
});
