import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalsFilter, isAttributePath } from '../../../../../src/pip/facts/scim/scim-filter.ts';
import { isAskedFor } from '../../../../../src/pip/facts/scim/scim-user.ts';

/** Reads `<path> eq <compValue>` as RFC 7644 §3.4.2.2 has it, to the end of the text. */
function parseFilter(filter: string): { readonly attribute: string; readonly value: string } | undefined {
  const match = /^(\S+) eq ("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")$/.exec(filter);
  return match?.[1] === undefined || match[2] === undefined
    ? undefined
    : { attribute: match[1], value: JSON.parse(match[2]) as string };
}

describe('a SCIM filter', () => {
  test('compares the attribute with exactly the value that was put in, whatever it holds', () => {
    const values = fc.oneof(
      fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
      fc.constantFrom('a" or userName pr or "', '\\', '\\"', 'a\nb', '" eq "'),
    );
    fc.assert(
      fc.property(values, (value) => {
        expect(parseFilter(equalsFilter('userName', value))).toEqual({ attribute: 'userName', value });
      }),
    );
  });

  test('is not made of half a character, or of a path that is none', () => {
    expect(() => equalsFilter('userName', '\ud800')).toThrow(TypeError);
    expect(() => equalsFilter('userName pr or id', 'x')).toThrow(TypeError);
  });

  test.each([
    ['userName', true],
    ['emails.value', true],
    ['urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber', true],
    ['', false],
    ['userName eq', false],
    ['emails[type eq "work"].value', false],
    ['a.b.c', false],
  ])('names the attribute path %j: %j', (text, is) => {
    expect(isAttributePath(text)).toBe(is);
  });
});

describe('a user that was found', () => {
  const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
  const user = {
    id: 'Ab1',
    externalId: 'X-1',
    userName: 'Alice@example.com',
    emails: [{ value: 'a@example.com' }, { value: 'b@example.com' }],
    [enterprise]: { employeeNumber: '701984' },
  };

  test.each([
    ['id', 'Ab1'],
    ['externalId', 'X-1'],
    ['userName', 'alice@EXAMPLE.com'],
    ['emails.value', 'B@example.com'],
    [`${enterprise}:employeeNumber`, '701984'],
  ])('is the one asked for by %s', (key, value) => {
    expect(isAskedFor(user, key, value)).toBe(true);
  });

  test.each([
    ['id', 'ab1'],
    ['externalId', 'x-1'],
    ['userName', 'bob@example.com'],
    ['emails.value', 'c@example.com'],
    ['emails', 'a@example.com'],
    ['nickName', 'undefined'],
    ['toString', 'x'],
  ])('is not the one asked for by %s', (key, value) => {
    expect(isAskedFor(user, key, value)).toBe(false);
  });
});
