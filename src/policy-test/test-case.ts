import type { CedarRequest } from '../pdp/evaluation.ts';
import type { Problem } from '../pdp/errors.ts';
import type { Expect, Given } from './case-schema.ts';

interface Named {
  readonly name: string;
  /** The test file, as found. */
  readonly file: string;
  /** A problem with the case, at the place in the file where the case begins. */
  problem(message: string): Problem;
}

/** A case in the request-level form, its defaults merged in. */
export interface RequestCase extends Named {
  readonly form: 'request';
  readonly given: Given & { readonly method: string; readonly path: string; readonly host: string };
  readonly expect: Expect;
}

/** A case in the format of `cedar run-tests`. */
export interface CedarCase extends Named {
  readonly form: 'cedar';
  readonly request: CedarRequest;
  readonly expect: {
    readonly decision: 'ALLOW' | 'DENY';
    /** A subset of the determining policies. */
    readonly reason: readonly string[];
    readonly errors: number;
  };
}

/** One decision test. */
export type TestCase = RequestCase | CedarCase;
