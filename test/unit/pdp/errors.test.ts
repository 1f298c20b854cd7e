import { expect, test } from 'vitest';
import { InputError, PdpError, messageOf, problemText } from '../../../src/pdp/errors.ts';

test('an input error tells every problem with its place', () => {
  const error = new InputError('the policy set is not valid:', [
    { where: 'a.cedar', line: 3, column: 7, message: 'no' },
    { where: 'a.cedar', line: 3, message: 'no' },
    { where: 'b.cedar', message: 'never' },
  ]);
  expect(error.message).toBe(
    'the policy set is not valid:\n  a.cedar:3:7: no\n  a.cedar:3:1: no\n  b.cedar: never',
  );
  expect(error.problems.map(problemText)).toEqual(['a.cedar:3:7: no', 'a.cedar:3:1: no', 'b.cedar: never']);
});

test('a fault carries its reason and its cause', () => {
  const cause = new Error('disk');
  const error = new PdpError('audit_unavailable', 'not written', { cause });
  expect(error).toMatchObject({
    name: 'PdpError',
    reason: 'audit_unavailable',
    message: 'not written',
    cause,
  });
});

test.each([
  [new Error('x'), 'x'],
  ['text', 'text'],
  [undefined, 'undefined'],
  [null, 'null'],
])('whatever was thrown says something: %s', (thrown, message) => {
  expect(messageOf(thrown)).toBe(message);
});
