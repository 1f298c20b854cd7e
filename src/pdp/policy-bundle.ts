import { type BundleSource, type BundleSourceOptions, createBundleSource } from './bundle/bundle-source.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import { PolicyStore, type PolicyStoreOptions } from './policy-store.ts';
import type { PolicySource } from './ports.ts';

/** How policies are kept that come as a bundle. */
export interface PolicyBundleOptions
  extends PolicyStoreOptions, Omit<BundleSourceOptions, 'onBundle' | 'onRefused'> {}

/** Policies from a bundle at a URL, as one snapshot. There is none until the first bundle was taken, from the cache or the source. */
export class PolicyBundle implements PolicySource {
  readonly #source: BundleSource;
  readonly #store: PolicyStore;
  readonly #first = Promise.withResolvers<void>();

  /** Throws `InputError` for a URL that is not allowed. */
  constructor(options: PolicyBundleOptions) {
    // The bundle source tells of what is refused, also of what never gets as far as the store.
    const loaded = (outcome: string, snapshot: PolicySnapshot | undefined): void =>
      outcome === 'loaded' ? options.onReload('loaded', snapshot) : undefined;
    this.#store = new PolicyStore({ ...options, onReload: loaded });
    this.#source = createBundleSource({
      ...options,
      onBundle: async ({ texts }) => {
        await this.#store.take(texts);
        this.#first.resolve();
      },
      onRefused: () => options.onReload('refused', this.#store.current()),
    });
  }

  /** Begins to look. Resolves when there is a snapshot, or when the first look brought none. Never rejects. */
  async start(): Promise<void> {
    await Promise.race([this.#source.start(), this.#first.promise]);
  }

  current(): PolicySnapshot | undefined {
    return this.#store.current();
  }

  get refusal(): string | undefined {
    return this.#source.state().lastError;
  }

  reloadIfChanged(): Promise<void> {
    return this.#source.poll();
  }

  describe(): Readonly<Record<string, string | number>> {
    const { revision, fetchedAt } = this.#source.state();
    return {
      source: 'bundle',
      ...(revision !== undefined && { revision }),
      ...(fetchedAt !== undefined && { fetched_at: new Date(fetchedAt).toISOString() }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}
