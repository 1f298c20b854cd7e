import { setImmediate as nextTurn } from 'node:timers/promises';
import { compileOffThread } from './compile-off-thread.ts';
import { type CompiledSnapshot, compileSnapshot } from './compile-snapshot.ts';
import { InputError, messageOf } from './errors.ts';
import type { Log } from './log.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { PolicyTexts } from './policy-source.ts';
import type { Clock, PolicySnapshotSource } from './ports.ts';

/** What a policy store tells of. */
export interface PolicyStoreOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each change that was taken or refused. Must not throw. */
  onReload(outcome: 'loaded' | 'refused', snapshot: PolicySnapshot | undefined): void;
}

/** Holds the newest good snapshot of one source. Texts that are not valid never replace one that is. */
export class PolicyStore implements PolicySnapshotSource {
  readonly #options: PolicyStoreOptions;
  #current: PolicySnapshot | undefined;
  /** Why the newest change was refused; absent while what the source has is what is held. */
  refusal: string | undefined;

  constructor(options: PolicyStoreOptions) {
    this.#options = options;
  }

  current(): PolicySnapshot | undefined {
    return this.#current;
  }

  /** Takes the first texts, on this thread: nothing is being served yet. Throws `InputError` where they are not valid. */
  load(texts: PolicyTexts): void {
    this.#hold(compileSnapshot(texts, this.#options.clock.now()));
  }

  /**
   * Takes new texts: compiled off this thread, swapped in one assignment. Rejects with `InputError` where they are not valid; what was
   * held stays.
   */
  async take(texts: PolicyTexts): Promise<void> {
    const { clock, log } = this.#options;
    const previous = this.#current;
    const before = previous?.digest;
    try {
      const compiled = await compileOffThread(texts, clock.now());
      // Nobody rolls out nothing: an emptied file is a slip, and would deny everything from one moment to the next.
      if (compiled.snapshot.policyIds.length === 0) throw new InputError('there is not one policy left', []);
      this.refusal = undefined;
      if (compiled.snapshot.digest === before) return;
      await prepared(compiled.snapshot, previous);
      this.#hold(compiled);
    } catch (error) {
      this.refuse(error);
      throw error;
    }
    log.info(
      { digest: this.#current?.digest, before, policies: this.#current?.policyIds.length },
      'policy snapshot loaded',
    );
    const lost = previous && this.#current ? lostGuards(previous, this.#current) : [];
    if (lost.length > 0)
      log.warn(
        { digest: this.#current?.digest, before, lost },
        'forbids or bindings are gone with this snapshot',
      );
    this.#options.onReload('loaded', this.#current);
  }

  /** Notes that what the source has now cannot be taken, and why. */
  refuse(error: unknown): void {
    const { log } = this.#options;
    this.refusal = messageOf(error);
    const what = this.#current ? 'changed policies are refused, the active snapshot stays' : 'no policies';
    log.error({ digest: this.#current?.digest }, `${what}: ${this.refusal}`);
    this.#options.onReload('refused', this.#current);
  }

  #hold({ snapshot, warnings }: CompiledSnapshot): void {
    for (const { where, line, column, message } of warnings) {
      this.#options.log.warn({ where, line, column }, `policy warning: ${message}`);
    }
    this.#current = snapshot;
    this.refusal = undefined;
  }
}

/** What was asked for last will be asked for again: no request is to wait for the parsing of policies. Each in a turn of its own. */
async function prepared(snapshot: PolicySnapshot, previous: PolicySnapshot | undefined): Promise<void> {
  for (const question of previous?.typicalQuestions() ?? []) {
    snapshot.prepare(question);
    await nextTurn();
  }
}

const MAX_LOST = 20;

/** Ids of forbids and bindings that one snapshot has and the next has not: what a file that was lost takes with it. */
function lostGuards(before: PolicySnapshot, after: PolicySnapshot): string[] {
  const [policies, bindings] = [new Set(after.policyIds), new Set(after.bindings.ids)];
  const forbids = before.policyIds.filter((id) => before.notes(id).effect === 'forbid' && !policies.has(id));
  return [...forbids, ...before.bindings.ids.filter((id) => !bindings.has(id))].slice(0, MAX_LOST);
}
