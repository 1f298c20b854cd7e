import type { PolicyFolders } from './policy-folders.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import { PolicyStore, type PolicyStoreOptions } from './policy-store.ts';
import type { PolicySource } from './ports.ts';

/** How a policy directory is kept. */
export interface PolicyDirectoryOptions extends PolicyStoreOptions {
  readonly folders: PolicyFolders;
  /** How often the folders are looked at, in ms; 0 never. */
  readonly reloadMs: number;
  /** Start without a snapshot where what the folders hold at first is not valid, as if it were a change that is refused. */
  readonly startsEmpty?: boolean;
}

/** Policy sets in folders, as one snapshot that follows their changes. A set that is not valid never replaces one that is. */
export class PolicyDirectory implements PolicySource {
  readonly #folders: PolicyFolders;
  readonly #store: PolicyStore;
  readonly #timer: NodeJS.Timeout | undefined;
  #fingerprint: string;
  #lastSeen: string | undefined;
  #looking: Promise<void> | undefined;

  /** Loads the folders. Throws `InputError` where they are not valid. */
  constructor(options: PolicyDirectoryOptions) {
    this.#folders = options.folders;
    this.#store = new PolicyStore(options);
    this.#fingerprint = options.folders.fingerprint();
    this.#loadFirst(options.startsEmpty ?? false);
    if (options.reloadMs > 0) this.#timer = setInterval(() => this.#poll(), options.reloadMs).unref();
  }

  current(): PolicySnapshot | undefined {
    return this.#store.current();
  }

  get refusal(): string | undefined {
    return this.#store.refusal;
  }

  describe(): Readonly<Record<string, string | number>> {
    return this.#folders.describe();
  }

  /** Looks at the folders and takes their content if it changed and is valid. One look at a time; never rejects. */
  reloadIfChanged(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  #loadFirst(startsEmpty: boolean): void {
    try {
      const found = this.#folders.read();
      this.#store.load(found.texts);
      found.taken();
    } catch (error) {
      if (!startsEmpty) throw error;
      this.#store.refuse(error);
    }
  }

  /** Takes a change only when two looks in a row saw the same: files that are being written may be valid, and lack a forbid. */
  #poll(): void {
    const seen = this.#folders.fingerprint();
    if (seen !== this.#fingerprint && seen === this.#lastSeen) void this.reloadIfChanged();
    this.#lastSeen = seen;
  }

  async #look(): Promise<void> {
    const fingerprint = this.#folders.fingerprint();
    if (fingerprint === this.#fingerprint) return;
    // Remembered even if refused: a bad set is reported once, not on every look.
    this.#fingerprint = fingerprint;
    try {
      const found = this.#folders.read();
      // The store reports what it refuses.
      await this.#store.take(found.texts).then(
        () => found.taken(),
        () => undefined,
      );
    } catch (error) {
      this.#store.refuse(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }
}
