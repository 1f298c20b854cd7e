import { type CompiledSnapshot, compileSnapshot } from './compile-snapshot.ts';
import type { Log } from './log.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import { policyFingerprint, readPolicyTexts } from './policy-source.ts';
import type { Clock, PolicySnapshotSource } from './ports.ts';

/** How a policy directory is kept. */
export interface PolicyDirectoryOptions {
  readonly folders: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** How often the folders are looked at, in ms; 0 never. */
  readonly reloadMs: number;
  /** Told of each change that was taken or refused. */
  onReload(outcome: 'loaded' | 'refused', snapshot: PolicySnapshot): void;
}

/** Policy sets in folders, as one snapshot that follows their changes. A set that is not valid never replaces one that is. */
export class PolicyDirectory implements PolicySnapshotSource, Disposable {
  readonly #options: PolicyDirectoryOptions;
  readonly #timer: NodeJS.Timeout | undefined;
  #current: PolicySnapshot;
  #fingerprint: string;
  /** Why the newest change was refused; absent while what is on disk is what is served. */
  refusal: string | undefined;

  /** Loads the folders. Throws `InputError` where they are not valid. */
  constructor(options: PolicyDirectoryOptions) {
    this.#options = options;
    this.#fingerprint = policyFingerprint(options.folders);
    this.#current = this.#compile().snapshot;
    if (options.reloadMs > 0)
      this.#timer = setInterval(() => this.reloadIfChanged(), options.reloadMs).unref();
  }

  current(): PolicySnapshot {
    return this.#current;
  }

  /** Looks at the folders and takes their content if it changed and is valid; the swap is one assignment. */
  reloadIfChanged(): void {
    const { folders, log } = this.#options;
    const fingerprint = policyFingerprint(folders);
    if (fingerprint === this.#fingerprint) return;
    // Remembered even if refused: a bad set is reported once, not on every look.
    this.#fingerprint = fingerprint;
    const before = this.#current.digest;
    try {
      this.#current = this.#compile().snapshot;
      this.refusal = undefined;
      log.info(
        { digest: this.#current.digest, before, policies: this.#current.policyIds.length },
        'policy snapshot activated',
      );
      this.#options.onReload('loaded', this.#current);
    } catch (error) {
      this.refusal = (error as Error).message;
      log.error(
        { digest: before },
        `changed policies are refused, the active snapshot stays: ${this.refusal}`,
      );
      this.#options.onReload('refused', this.#current);
    }
  }

  #compile(): CompiledSnapshot {
    const { folders, clock, log } = this.#options;
    const compiled = compileSnapshot(readPolicyTexts(folders), clock.now());
    for (const { where, line, column, message } of compiled.warnings)
      log.warn({ where, line, column }, `policy warning: ${message}`);
    return compiled;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
