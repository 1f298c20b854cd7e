import { PdpError } from './errors.ts';
import type { Log } from './log.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { PolicySnapshotSource, PolicySource } from './ports.ts';
import { readSlotState, writeSlotState } from './slot-state.ts';

/** The two places that a snapshot can come from. */
export type SlotName = 'sets' | 'candidate';

/** A snapshot that has come into force, and how. */
export interface Activation {
  readonly digest: string;
  /** Digest of what was in force before; absent where nothing was. */
  readonly before?: string;
  readonly slot: SlotName;
  readonly by: 'start' | 'reload' | 'promote' | 'rollback';
  /** How many policies it has. */
  readonly policies: number;
}

/** What is in force, what waits beside it, and how it came to be so. */
export interface PolicySlotsOptions {
  readonly sets: PolicySource;
  /** Absent: there is no candidate, and nothing to promote. */
  readonly candidate?: PolicySource;
  /** Remembers across restarts which slot is enforced. */
  readonly stateFile: string;
  readonly log: Log;
  /** Told of each snapshot that comes into force, in the turn in which it does. Must not throw. */
  onActivated(activation: Activation): void;
}

/**
 * Which snapshot is enforced and which one is only evaluated beside it. Promotion swaps the two in one assignment; rolling back swaps
 * them again. What was enforced stays loaded as the new candidate, so that the way back is always open.
 */
export class PolicySlots implements PolicySnapshotSource {
  readonly #options: PolicySlotsOptions;
  #enforced: SlotName;
  /** Digest in force. */
  #active: string | undefined;
  /** Digest that the newest promotion put out of force; absent: there is nothing to roll back to. */
  #previous: string | undefined;

  constructor(options: PolicySlotsOptions) {
    this.#options = options;
    this.#enforced = this.#remembered();
    this.#activated('start');
  }

  /** The slot in force. */
  get enforced(): SlotName {
    return this.#enforced;
  }

  /** The snapshot in force. */
  current(): PolicySnapshot | undefined {
    return this.source(this.#enforced)?.current();
  }

  /** The snapshot that is evaluated in shadow. */
  readonly candidate: PolicySnapshotSource = {
    current: () => this.source(other(this.#enforced))?.current(),
  };

  /** Digest that {@link rollback} would put in force. */
  get previous(): string | undefined {
    return this.#previous;
  }

  /** Where the policies of a slot come from; `undefined`: the slot is not configured. */
  source(name: SlotName): PolicySource | undefined {
    return name === 'sets' ? this.#options.sets : this.#options.candidate;
  }

  /** Takes note that a source holds another snapshot: in the slot in force, it is in force from now on. */
  reloaded(name: SlotName): void {
    const snapshot = this.current();
    if (name !== this.#enforced || !snapshot || snapshot.digest === this.#active) return;
    this.#activated(this.#active === undefined ? 'start' : 'reload');
    if (name !== 'candidate') return;
    try {
      this.#write(name, snapshot.digest, this.#previous);
    } catch (error) {
      this.#options.log.error({ err: error }, 'a restart will not know of the policies that are in force');
    }
  }

  /** Looks for changes in both slots. Never rejects. */
  async reloadIfChanged(): Promise<void> {
    await Promise.all([this.#options.sets.reloadIfChanged(), this.#options.candidate?.reloadIfChanged()]);
  }

  /**
   * Puts the candidate in force. `digest`: only if that is still the candidate, so that nobody promotes what they did not look at.
   * Throws `PdpError`: `policies_unavailable` where there is no such candidate, `internal` where it cannot be remembered.
   */
  promote(digest?: string): Activation {
    const next = this.candidate.current();
    if (!next) throw new PdpError('policies_unavailable', 'there is no candidate to promote');
    if (digest !== undefined && digest !== next.digest)
      throw new PdpError('policies_unavailable', `the candidate is ${next.digest}, not ${digest}`);
    if (next.digest === this.#active)
      throw new PdpError('policies_unavailable', 'the candidate is what is in force already');
    return this.#swap('promote', next, this.#active);
  }

  /**
   * Puts back in force what the newest promotion put out of it, as long as it is still loaded. Throws `PdpError`:
   * `policies_unavailable` where there is nothing to roll back to, `internal` where it cannot be remembered.
   */
  rollback(digest?: string): Activation {
    const next = this.candidate.current();
    const previous = this.#previous;
    if (previous === undefined)
      throw new PdpError('policies_unavailable', 'there is nothing to roll back to: nothing was promoted');
    if (next?.digest !== previous) {
      const words = `what was in force before the promotion, ${previous}, is not loaded any more; promote what is`;
      throw new PdpError('policies_unavailable', words);
    }
    if (digest !== undefined && digest !== previous)
      throw new PdpError('policies_unavailable', `what was in force before is ${previous}, not ${digest}`);
    return this.#swap('rollback', next, undefined);
  }

  #swap(by: 'promote' | 'rollback', next: PolicySnapshot, previous: string | undefined): Activation {
    const slot = other(this.#enforced);
    try {
      this.#write(slot, next.digest, previous);
    } catch (error) {
      throw new PdpError('internal', `nothing was changed, it cannot be remembered: ${String(error)}`);
    }
    this.#enforced = slot;
    this.#previous = previous;
    return this.#activated(by) as Activation;
  }

  #activated(by: Activation['by']): Activation | undefined {
    const snapshot = this.current();
    if (!snapshot) return undefined;
    const { digest, policyIds, bindings } = snapshot;
    const before = this.#active === undefined ? {} : { before: this.#active };
    this.#active = digest;
    const activation = { digest, ...before, slot: this.#enforced, by, policies: policyIds.length };
    this.#options.log.info(activation, 'policies are in force');
    if (bindings.observed.length > 0)
      this.#options.log.warn(
        { routes: bindings.observed },
        `${bindings.observed.length} routes are in OBSERVE mode: their denies are logged and let through`,
      );
    this.#options.onActivated(activation);
    return activation;
  }

  /** A promotion outlives a restart, but only for the very policies that were promoted. */
  #remembered(): SlotName {
    const { stateFile, log } = this.#options;
    const state = readSlotState(stateFile, log);
    if (!state) return 'sets';
    const digest = this.source(state.enforced)?.current()?.digest;
    if (digest === state.digest) {
      this.#previous = state.previous;
      return state.enforced;
    }
    if (state.enforced === 'candidate') {
      const words = 'the promoted candidate is not there any more: the policy sets are in force';
      log.warn({ promoted: state.digest, candidate: digest }, words);
    }
    return 'sets';
  }

  #write(enforced: SlotName, digest: string, previous: string | undefined): void {
    writeSlotState(this.#options.stateFile, {
      enforced,
      digest,
      ...(previous !== undefined && { previous }),
    });
  }
}

function other(name: SlotName): SlotName {
  return name === 'sets' ? 'candidate' : 'sets';
}
