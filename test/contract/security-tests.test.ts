import { describe, expect, test } from 'vitest';
import { allClassTests, coverageProblems, readClassTests } from '../../scripts/security-tests.ts';
import { flawClass } from '../security/flaw-class.ts';
import { FLAW_CLASSES } from '../security/flaw-classes.ts';

describe('the table of published flaws', () => {
  test('has a test for each class through each surface that it is seen on, and no test of anything else', () => {
    expect(coverageProblems(FLAW_CLASSES, allClassTests())).toEqual([]);
  });

  test('lists the classes 1 to 28, each with what it was published as and what we do', () => {
    expect(FLAW_CLASSES.map(({ number }) => number)).toEqual(
      Array.from({ length: 28 }, (_, index) => index + 1),
    );
    for (const { advisories, defence, surfaces } of FLAW_CLASSES) {
      expect(advisories.length).toBeGreaterThan(0);
      expect(defence).toMatch(/^[A-Z].*\.$/);
      expect(surfaces).toContain('gRPC');
    }
  });

  test('tells a class whose tests were removed, and one that nobody lists', () => {
    const tests = allClassTests().filter(({ number, surface }) => number !== 9 || surface !== 'Envoy');
    expect(coverageProblems(FLAW_CLASSES, tests)).toEqual(['class 9 has no test through Envoy']);
    const stray = { number: 99, surface: 'gRPC', file: 'a.test.ts', titles: ['x'] } as const;
    expect(coverageProblems(FLAW_CLASSES, [...allClassTests(), stray])).toEqual([
      'a.test.ts: class 99 through gRPC is not in the list',
    ]);
    const silent = FLAW_CLASSES.map(({ withoutEnvoy: _why, ...rest }) => rest);
    expect(coverageProblems(silent, allClassTests())).toContain(
      'class 18 has either a test through Envoy or a reason why it has none',
    );
    expect(() => flawClass(99, 'gRPC', () => undefined)).toThrow(/no flaw class 99/);
  });

  test.each([
    ["flawClass(1, 'gRPC', () => {\n  test.skip('a', () => {});\n});", /switched off/],
    ["test('a', () => {});\nflawClass(1, 'gRPC', () => {});", /outside of a flaw class/],
    ["flawClass(number, 'gRPC', () => {\n});", /written out/],
    ["flawClass(1, 'gRPC', () => {\n  test(TITLE, () => {});\n});", /title/],
  ])('does not take %j', (text, why) => {
    expect(() => readClassTests('a.test.ts', text)).toThrow(why);
  });

  test('reads the titles of plain tests and of tables', () => {
    const text = [
      "flawClass(1, 'gRPC', () => {",
      "  test('a plain one', () => {});",
      "  test.each(vectorsOf(1))('one of $path', () => {});",
      '  test.each([',
      "    ['x', 'not a title'],",
      "  ])('a table of %s', () => {});",
      '  test.each<[string]>([',
      "    ['x'],",
      '  ])(',
      '    "another\'s table",',
      '    () => {},',
      '  );',
      '});',
    ].join('\n');
    expect(readClassTests('a.test.ts', text)).toEqual([
      {
        number: 1,
        surface: 'gRPC',
        file: 'a.test.ts',
        titles: ['a plain one', 'one of $path', 'a table of %s', "another's table"],
      },
    ]);
  });
});
