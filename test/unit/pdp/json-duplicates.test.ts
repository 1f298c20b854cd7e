import fc from 'fast-check';
import { expect, test } from 'vitest';
import { duplicateKeyProblem } from '../../../src/pdp/json-duplicates.ts';

const keyed = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('\\'));

test('whatever JSON.stringify writes has no repeated names, with any spacing', () => {
  fc.assert(
    fc.property(keyed, fc.nat(3), (value, spaces) => {
      expect(duplicateKeyProblem(JSON.stringify(value, undefined, spaces))).toBeUndefined();
    }),
  );
});

test('a name that is repeated anywhere is found', () => {
  fc.assert(
    fc.property(keyed, keyed, fc.stringMatching(/^[a-z{}[\],: ]{0,5}$/), (one, two, name) => {
      const [a, b] = [JSON.stringify(one), JSON.stringify(two)];
      const object = `{"${name}" : ${a}, "other-name": ${b},\n"${name}"\t: ${b}}`;
      expect(duplicateKeyProblem(`[${a}, {"outer": ${object}}]`)).toContain(`'${name}' twice`);
    }),
  );
});

test('quotes in values do not hide or feign a name', () => {
  expect(duplicateKeyProblem(String.raw`{"a":"\"a\":1","b":"\\"}`)).toBeUndefined();
  expect(duplicateKeyProblem(String.raw`{"a":"\\","a":1}`)).toContain('twice');
});
