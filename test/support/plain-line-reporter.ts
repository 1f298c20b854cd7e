import type { Reporter, TestModule, TestRunEndReason, SerializedError } from 'vitest/node';

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Counts a finished run. A file that could not be collected, a suite whose hook failed, an unhandled error and a test that
 * never ended count as one failure each, so that no run with `0 failed` hides one.
 */
export function countTests(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): Counts {
  const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
  for (const module of modules) {
    counts.failed += module.errors().length;
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      counts[state === 'pending' ? 'failed' : state] += 1;
    }
  }
  return counts;
}

/** The line that machines read: `N passed, N failed, N skipped`. */
export function plainLine(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}

/** Prints {@link plainLine} as the last line of a run. In CI (`CI` set) a skipped test, or a run of no tests, fails it. */
// oxlint-disable-next-line import/no-default-export -- Vitest loads reporters by their default export
export default class PlainLineReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const counts = countTests(modules, unhandledErrors);
    const incomplete = counts.skipped > 0 || counts.passed === 0 || reason === 'interrupted';
    if (counts.failed > 0 || (process.env['CI'] && incomplete)) process.exitCode = 1;
    process.stdout.write(`${plainLine(counts)}\n`);
  }
}
