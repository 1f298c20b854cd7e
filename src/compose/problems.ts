import { issuerConfigProblems } from './tokens.ts';
import type { Config } from '../config.ts';
import { InputError } from '../pdp/errors.ts';

/**
 * Whether parts can be made of a configuration that the schema takes; nothing is opened, read or fetched. Throws `InputError` with every
 * problem.
 */
export function checkComposable({ issuers }: Config): void {
  const problems = issuerConfigProblems(issuers);
  if (problems.length > 0) throw new InputError('the configuration is not valid:', problems);
}
