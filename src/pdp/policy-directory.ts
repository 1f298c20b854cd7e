import type { PolicySnapshot } from './policy-snapshot.ts';
import { policyFingerprint, readPolicyTexts } from './policy-source.ts';
import { PolicyStore, type PolicyStoreOptions } from './policy-store.ts';
import type { PolicySnapshotSource } from './ports.ts';

/** How a policy directory is kept. */
export interface PolicyDirectoryOptions extends PolicyStoreOptions {
  readonly folders: readonly string[];
  /** How often the folders are looked at, in ms; 0 never. */
  readonly reloadMs: number;
}

/** Policy sets in folders, as one snapshot that follows their changes. A set that is not valid never replaces one that is. */
export class PolicyDirectory implements PolicySnapshotSource, Disposable {
  readonly #folders: readonly string[];
  readonly #store: PolicyStore;
  readonly #timer: NodeJS.Timeout | undefined;
  #fingerprint: string;
  #lastSeen: string | undefined;
  #looking: Promise<void> | undefined;

  /** Loads the folders. Throws `InputError` where they are not valid. */
  constructor(options: PolicyDirectoryOptions) {
    this.#folders = options.folders;
    this.#store = new PolicyStore(options);
    this.#fingerprint = policyFingerprint(options.folders);
    this.#store.load(readPolicyTexts(options.folders));
    if (options.reloadMs > 0) this.#timer = setInterval(() => this.#poll(), options.reloadMs).unref();
  }

  current(): PolicySnapshot {
    const snapshot = this.#store.current();
    if (!snapshot) throw new TypeError('a policy directory is made with a snapshot');
    return snapshot;
  }

  /** Why the newest change was refused; absent while what is on disk is what is served. */
  get refusal(): string | undefined {
    return this.#store.refusal;
  }

  /** Looks at the folders and takes their content if it changed and is valid. One look at a time; never rejects. */
  reloadIfChanged(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** Takes a change only when two looks in a row saw the same: files that are being written may be valid, and lack a forbid. */
  #poll(): void {
    const seen = policyFingerprint(this.#folders);
    if (seen !== this.#fingerprint && seen === this.#lastSeen) void this.reloadIfChanged();
    this.#lastSeen = seen;
  }

  async #look(): Promise<void> {
    const fingerprint = policyFingerprint(this.#folders);
    if (fingerprint === this.#fingerprint) return;
    // Remembered even if refused: a bad set is reported once, not on every look.
    this.#fingerprint = fingerprint;
    try {
      const texts = readPolicyTexts(this.#folders);
      // The store reports what it refuses.
      await this.#store.take(texts).catch(() => undefined);
    } catch (error) {
      this.#store.refuse(error);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
