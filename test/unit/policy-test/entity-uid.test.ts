import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CedarChecker } from '../../../src/pdp/cedar.ts';
import { parseEntityUid } from '../../../src/policy-test/entity-uid.ts';

describe('entities as text', () => {
  it('have a type and an id', () => {
    expect(parseEntityUid('A::B::"c"')).toEqual({ type: 'A::B', id: 'c' });
    expect(parseEntityUid('A::""')).toEqual({ type: 'A', id: '' });
    expect(parseEntityUid(String.raw`A::"\n\t\\\"\'\0\x41\u{1F600}"`)).toEqual({
      type: 'A',
      id: `\n\t\\"'\0A😀`,
    });
  });

  it.each([
    '',
    '"a"',
    '::"a"',
    'A:"a"',
    'A::a',
    'A::"a',
    'A::"a"b',
    'A::"a"b"',
    '1::"a"',
    'A B::"a"',
    String.raw`A::"\q"`,
    'A::B',
  ])('refuses %s', (text) => expect(parseEntityUid(text)).toBeUndefined());

  it('read what Cedar itself writes', () => {
    const checker = new CedarChecker();
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (id) => {
        const any = { op: 'All' };
        const principal = { op: '==', entity: { type: 'A::B', id } };
        const answer = checker.policyText({
          effect: 'permit',
          principal,
          action: any,
          resource: any,
          conditions: [],
        });
        const written = /principal == (.*), action, resource\);$/s.exec(
          'text' in answer ? answer.text : '',
        )?.[1];
        expect(parseEntityUid(written ?? '')).toEqual({ type: 'A::B', id });
      }),
      { numRuns: 100 },
    );
  });
});
