import { describe, expect, test } from 'vitest';
import { Check } from '../../../src/config/check.ts';

const problems = (check: object) =>
  (Check.safeParse(check).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('who may ask the decision service', () => {
  test('is nobody unless somebody is named', () => {
    expect(Check.parse({})).toMatchObject({ callers: [], explain: { allow: [], plaintext: false } });
    expect(Check.parse({}).plaintext_callers).toBeUndefined();
  });

  test('is named by SPIFFE IDs, whole or up to a whole segment', () => {
    const allow = ['spiffe://prod.example.com/ns/clinic/sa/app', 'spiffe://prod.example.com/ns/ops/*'];
    expect(problems({ callers: [{ allow }], explain: { allow } })).toEqual([]);
  });

  test.each(['', 'Clinic', 'Clinic::Ward'])('may speak of the namespace %j', (namespace) => {
    expect(problems({ namespace })).toEqual([]);
  });

  test.each([
    [{ namespace: 'Clinic::' }, /namespace: must be a Cedar namespace, or '' for none/],
    [{ callers: [{ allow: [] }] }, /callers\.0: name at least one caller/],
    [{ callers: [{ allow: ['spiffe://*'] }] }, /callers\.0\.allow\.0: names no trust domain/],
    [{ callers: [{ allow: ['spiffe://prod.example.com/ns/cli*'] }] }, /callers\.0\.allow\.0/],
    [{ explain: { allow: ['appointments-app'] } }, /explain\.allow\.0: does not start with/],
    [
      { plaintext_callers: { resources: ['Order or 1'] } },
      /resources\.0: must be the name of an entity type/,
    ],
    [{ plaintext_callers: { properties: ['status'] } }, /properties\.0: must be subject\.NAME/],
    [{ plaintext_callers: { properties: ['*.*'] } }, /properties\.0/],
    [{ plaintext_callers: { everything: true } }, /nrecognized/],
    [{ pips: { 'Clinic::Appointment': [] } }, /pips/],
  ])('%j is refused', (check, words) => {
    expect(problems(check).join('\n')).toMatch(words);
  });
});
