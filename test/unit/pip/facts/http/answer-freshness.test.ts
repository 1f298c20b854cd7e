import { describe, expect, test } from 'vitest';
import { answerFreshness } from '../../../../../src/pip/facts/http/answer-freshness.ts';

describe('the freshness of an answer', () => {
  test.each([
    [undefined, undefined, undefined],
    ['private', undefined, undefined],
    ['max-age=60', undefined, 60_000],
    ['Private, Max-Age="60"', '10', 50_000],
    ['max-age=60', '61', 0],
    ['max-age=60', 'soon', 60_000],
    ['max-age=0', undefined, 0],
    ['no-store', undefined, 0],
    ['max-age=60, no-cache', undefined, 0],
    ['max-age=-1', undefined, 0],
    ['max-age=1e9', undefined, 0],
    ['max-age', undefined, 0],
    ['max-age=99999999999999999999', undefined, 31_536_000_000],
  ])('of Cache-Control %j and Age %j is %j ms', (cacheControl, age, freshMs) => {
    expect(answerFreshness(cacheControl, age)).toBe(freshMs);
  });
});
