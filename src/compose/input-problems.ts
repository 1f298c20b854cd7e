import { InputError, type Problem } from '../pdp/errors.ts';

/** The problems that `check` throws of what people wrote, under the setting that leads there; what else it throws is thrown. */
export function inputProblems(where: string, check: () => void): Problem[] {
  try {
    check();
    return [];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.problems.map((problem) => ({ where, message: `${problem.where}: ${problem.message}` }));
  }
}
