import type { CedarRequest } from '../pdp/evaluation.ts';

/** What a test came to, in the words that all reports use. */
export interface Outcome {
  readonly decision: 'ALLOW' | 'DENY';
  readonly reason?: string;
  readonly policies: readonly string[];
  readonly message?: string;
  readonly detail?: string;
  readonly httpStatus?: number;
  readonly advice?: string;
  /** Policies that could not be evaluated. */
  readonly errors?: number;
}

/** One expectation that did not hold. */
export interface Mismatch {
  readonly field: string;
  readonly expected: string;
  readonly actual: string;
}

/** The result of one test. */
export interface CaseResult {
  readonly name: string;
  readonly file: string;
  readonly form: 'request' | 'cedar';
  readonly passed: boolean;
  readonly mismatches: readonly Mismatch[];
  /** What happened; `detail` alone is set where nothing could be decided. */
  readonly outcome: Outcome;
  /** Why the decision came out as it did; only where the test failed or asked for it. */
  readonly explanation?: string;
  /** What Cedar was asked, where the case came that far. */
  readonly request?: CedarRequest;
  readonly durationMs: number;
}

/** A conjunct of a `when` or `unless`, and what the tests saw it come to. */
export interface ConditionCoverage {
  readonly policy: string;
  readonly kind: 'when' | 'unless';
  /** The expression, as Cedar prints it. */
  readonly text: string;
  readonly file: string;
  readonly line: number;
  readonly sawTrue: boolean;
  readonly sawFalse: boolean;
}

/** What the tests of a set never showed. */
export interface Coverage {
  readonly policies: number;
  /** Ids of policies that determined no test's decision. */
  readonly undetermined: readonly string[];
  readonly conditions: readonly ConditionCoverage[];
  /** Shares from 0 to 100; 100 where there is nothing to cover. */
  readonly policyPercent: number;
  readonly conditionPercent: number;
}

/** The results of one policy set. */
export interface SetReport {
  readonly name: string;
  readonly folder: string;
  readonly digest: string;
  readonly cases: readonly CaseResult[];
  /** Validation warnings, in words. */
  readonly warnings: readonly string[];
  readonly coverage?: Coverage;
}

/** The results of a run. */
export interface Report {
  readonly sets: readonly SetReport[];
  readonly passed: number;
  readonly failed: number;
  /** Whole run: compiling, deciding, coverage. */
  readonly durationMs: number;
}
