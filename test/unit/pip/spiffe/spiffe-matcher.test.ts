import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { createSpiffeMatcher, patternProblem } from '../../../../src/pip/spiffe/spiffe-matcher.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';

const ID = 'spiffe://prod.example.com/ns/payments/sa/payment-api';

function isMatched(patterns: readonly string[], id = ID): boolean {
  const identity = parseSpiffeId(id);
  if ('invalid' in identity) throw new Error(identity.invalid);
  return createSpiffeMatcher(patterns).matches(identity);
}

describe('an allow list of workloads', () => {
  test.each([
    ['the ID itself', [ID]],
    ['a path above it', ['spiffe://prod.example.com/ns/payments/*']],
    ['a path further above', ['spiffe://prod.example.com/ns/*']],
    ['its trust domain', ['spiffe://prod.example.com/*']],
    ['it among others', ['spiffe://other.example.com/*', ID]],
  ])('names a workload by %s', (_what, patterns) => {
    expect(isMatched(patterns)).toBe(true);
  });

  test.each([
    ['is empty', []],
    ['holds an ID that only begins with it', [`${ID}-2`]],
    ['holds an ID that it only begins with', ['spiffe://prod.example.com/ns/payments/sa/payment']],
    ['holds an ID in another case', ['spiffe://prod.example.com/ns/Payments/sa/payment-api']],
    ['holds a path of part of a segment', ['spiffe://prod.example.com/ns/pay/*']],
    ['holds the path that is the ID', [`${ID}/*`]],
    ['holds the same path of another trust domain', ['spiffe://dev.example.com/ns/payments/*']],
    ['holds a trust domain that only begins like it', ['spiffe://prod.example.com.evil/*']],
    ['holds a parent domain', ['spiffe://example.com/*']],
  ])('does not name a workload where it %s', (_what, patterns) => {
    expect(isMatched(patterns)).toBe(false);
  });

  test.each([
    ['*', "does not start with 'spiffe://'"],
    ['', "does not start with 'spiffe://'"],
    ['prod.example.com/*', "does not start with 'spiffe://'"],
    ['SPIFFE://prod.example.com/*', 'lower case'],
    ['spiffe://*', 'never for trust domains'],
    ['spiffe:///*', 'empty trust domain'],
    ['spiffe://', 'empty trust domain'],
    ['spiffe://*/ns/a', "'*' elsewhere"],
    ['spiffe://*.example.com/*', "'*' elsewhere"],
    ['spiffe://prod.example.com', "'spiffe://prod.example.com/*' would"],
    ['spiffe://prod.example.com/', "ends with '/'"],
    ['spiffe://prod.example.com/ns/pay*', "'*' elsewhere"],
    ['spiffe://prod.example.com/ns/*/sa/x', "'*' elsewhere"],
    ['spiffe://prod.example.com/ns/**', "'*' elsewhere"],
    ['spiffe://prod.example.com/*/*', "'*' elsewhere"],
    ['spiffe://prod.example.com//*', 'empty path segment'],
    ['spiffe://prod.example.com/ns/../*', "'..'"],
    ['spiffe://prod.example.com/ns/a b', 'character outside'],
    ['spiffe://prod.example.com/ns/%61/*', 'character outside'],
    ['spiffe://Prod.example.com/*', 'character outside'],
    ['spiffe://prod.example.com:443/*', 'character outside'],
  ])('refuses %j, and says why', (pattern, words) => {
    expect(patternProblem(pattern)).toContain(words);
    expect(() => createSpiffeMatcher([ID, pattern])).toThrow(InputError);
  });

  test('says everything that is wrong at once', () => {
    expect(() => createSpiffeMatcher(['*', ID, 'spiffe://*'])).toThrow(
      expect.objectContaining({ problems: [expect.anything(), expect.anything()] }),
    );
  });

  test('by any path above it, and by no other path of as many segments', () => {
    const segment = fc.stringMatching(/^[a-zA-Z0-9_-]{1,4}$/);
    const segments = fc.array(segment, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(segments, segments, (path, prefix) => {
        const id = `spiffe://a.example/${path.join('/')}`;
        const isAbove = prefix.length < path.length && prefix.every((part, index) => part === path[index]);
        expect(isMatched([`spiffe://a.example/${prefix.join('/')}/*`], id)).toBe(isAbove);
        expect(isMatched([`spiffe://a.example/*`], id)).toBe(true);
      }),
    );
  });
});
