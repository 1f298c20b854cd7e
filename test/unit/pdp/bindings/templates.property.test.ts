import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseGrpcMethod, parsePathTemplate } from '../../../../src/pdp/bindings/path-pattern.ts';
import { fillTemplate, parseValueTemplate } from '../../../../src/pdp/bindings/value-template.ts';
import { canonicalPath } from '../../../../src/pdp/canonical.ts';
import { factsOf, tableOf, binding } from './fixture.ts';

const letters = fc.constantFrom(
  'a',
  'B',
  '{',
  '}',
  '*',
  '/',
  ':',
  '%',
  '2',
  'F',
  '.',
  '?',
  '#',
  ';',
  'é',
  ' ',
  '-',
);
const CAPTURES = new Map([
  ['a', { index: 0, rest: false }],
  ['b', { index: 1, rest: false }],
  ['r', { index: 2, rest: true }],
]);

describe('path templates', () => {
  test('whatever is written is read or refused in words', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(letters).map((list) => `/${list.join('')}`),
        ),
        (text) => {
          for (const pattern of [parsePathTemplate(text), parseGrpcMethod(text)])
            if (typeof pattern === 'string') expect(pattern.length).toBeGreaterThan(10);
        },
      ),
    );
  });

  test('every template that is accepted matches a canonical path', () => {
    const segment = fc.oneof(
      fc.constantFrom('{x}', '**', '{r:**}', 'caf%C3%A9', ''),
      fc.array(letters, { minLength: 1, maxLength: 3 }).map((list) => list.join('')),
    );
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 4 }), (segments) => {
        const template = `/${segments.join('/')}`;
        const pattern = parsePathTemplate(template);
        if (typeof pattern === 'string') return;
        const path = template.replaceAll(/\{[^}]*\}|\*\*/g, 'v');
        expect(canonicalPath(path)).toBe(path);
        expect(tableOf([binding('b', { path: template })]).match(factsOf({ path }))).toBeDefined();
      }),
      { numRuns: 1000 },
    );
  });
});

describe('value templates', () => {
  const text = fc
    .array(fc.constantFrom('{a}', '{b}', '{r}', '/', '-', 'x', '{{', '}}'), { maxLength: 6 })
    .map((list) => list.join(''));
  const segments = fc.array(fc.constantFrom('x', '-', 'x-x', '-x', '%20', '%7B'), {
    minLength: 4,
    maxLength: 5,
  });

  test('different captures never give the same value', () => {
    fc.assert(
      fc.property(text, segments, segments, (template, one, other) => {
        const parsed = parseValueTemplate(template, CAPTURES);
        if (typeof parsed === 'string') return;
        const used = (from: readonly string[]) => [
          template.includes('{a}') ? from[0] : '',
          template.includes('{b}') ? from[1] : '',
          template.includes('{r}') ? from.slice(2).join('/') : '',
        ];
        const same = JSON.stringify(used(one)) === JSON.stringify(used(other));
        expect(fillTemplate(parsed, one) === fillTemplate(parsed, other)).toBe(same);
      }),
      { numRuns: 5000 },
    );
  });

  test('what fills in is text without controls, or a refusal', () => {
    const escape = fc
      .integer({ min: 0, max: 255 })
      .map((code) => `%${code.toString(16).padStart(2, '0').toUpperCase()}`);
    const raw = fc
      .array(fc.oneof(escape, fc.constantFrom('a', '.', '~')), { maxLength: 6 })
      .map((list) => list.join(''));
    fc.assert(
      fc.property(raw, (segment) => {
        const parsed = parseValueTemplate('{a}', CAPTURES);
        if (typeof parsed === 'string') throw new Error(parsed);
        const value = fillTemplate(parsed, [segment]);
        if (typeof value !== 'string') expect(value.refusal).toBe('path_ambiguous');
        else {
          expect(value).not.toMatch(/[\p{Cc}/\\]/u);
          expect(value.isWellFormed()).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('doubled braces are plain ones', () => {
    const parsed = parseValueTemplate('{{a}}{a}', CAPTURES);
    expect(typeof parsed === 'string' ? parsed : fillTemplate(parsed, ['v'])).toBe('{a}v');
  });
});
