import type { Question, World } from './world.ts';

/** A dependency in good order, with the faults that a test can make of it. */
export interface Stage extends AsyncDisposable {
  /** Configuration of the decision point beside the ground's. */
  readonly config: object;
  /** Permitted because of what the dependency says. */
  readonly good: Question;
  /** Forbidden because of what the dependency says. */
  readonly bad: Question;
  /** Asked in place of `bad` where everything is to deny. */
  readonly doubtful?: Question;
  /** Done once the decision point runs. */
  readonly begin?: (world: World) => Promise<void>;
  /** By what is in `Row.made`. */
  readonly faults: { readonly [made: string]: () => unknown };
  /** Whether a fault that changes no decision was noticed. */
  readonly noticed?: (world: World) => boolean | Promise<boolean>;
}
