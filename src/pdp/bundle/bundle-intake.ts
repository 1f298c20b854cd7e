import { createHash } from 'node:crypto';
import { type OpenedBundle, openBundle, type Trust } from './bundle.ts';
import type { BundleCache } from './bundle-cache.ts';
import { MANIFEST_PATH, refusal } from './policy-path.ts';

/** How bundles are let in. */
export interface IntakeOptions extends Trust {
  readonly cache: BundleCache;
  /** Takes an older revision, or other content under the same one. */
  readonly allowRollback: boolean;
  /** Puts a bundle in force. Throws or rejects where it cannot be, and what was in force then still is. */
  readonly onBundle: (opened: OpenedBundle) => void | Promise<void>;
}

/** What became of an offered bundle. */
export interface Taken {
  readonly opened: OpenedBundle;
  /** `false`: it was in force already. */
  readonly changed: boolean;
  /** Why the cache could not be written. */
  readonly cacheProblem?: string;
}

/** Lets bundles in, one at a time: verified, not older than one that was let in before, and put in force; only then cached. */
export interface BundleIntake {
  /** The bundle in force. */
  readonly active: OpenedBundle | undefined;
  /** Offers the cached bundle; `undefined` where there is none. Rejects where it is refused. Returns when it was fetched, Unix ms. */
  restore(): Promise<number | undefined>;
  /** Offers a fetched bundle. Rejects where it is refused. `fetchedAt` in Unix ms. */
  offer(bytes: Buffer, fetchedAt: number): Promise<Taken>;
}

/** Creates the intake of one source. Calls must not overlap. */
export function createBundleIntake(options: IntakeOptions): BundleIntake {
  const { cache, onBundle, allowRollback } = options;
  let active: OpenedBundle | undefined;
  // Not the same as `active`: a cached bundle that an upgrade made invalid still says how far the revisions had come.
  let newest: OpenedBundle | undefined;
  let cachedHash: string | undefined;
  const activate = async (opened: OpenedBundle): Promise<boolean> => {
    if (active && sameContent(active, opened) && active.revision === opened.revision) return false;
    await onBundle(opened);
    active = newest = opened;
    return true;
  };
  const keep = async (bytes: Buffer, fetchedAt: number): Promise<string | undefined> => {
    const hash = createHash('sha256').update(bytes).digest('hex');
    if (hash === cachedHash) return undefined;
    try {
      await cache.write({ bytes, fetchedAt });
      cachedHash = hash;
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  return {
    get active() {
      return active;
    },
    async restore() {
      const cached = await cache.read();
      if (!cached) return undefined;
      newest = await openBundle(cached.bytes, options);
      await activate(newest);
      return cached.fetchedAt;
    },
    async offer(bytes, fetchedAt) {
      const opened = await openBundle(bytes, options);
      if (newest && !allowRollback) assertNotOlder(opened, newest);
      const changed = await activate(opened);
      const cacheProblem = await keep(bytes, fetchedAt);
      return { opened, changed, ...(cacheProblem === undefined ? {} : { cacheProblem }) };
    },
  };
}

/** Throws `InputError` where an older revision, or other content under the same one, would come after a newer. */
export function assertNotOlder(opened: OpenedBundle, newest: OpenedBundle): void {
  if (opened.revision < newest.revision)
    throw rolledBack(
      `is revision ${opened.revision}, older than revision ${newest.revision} that was taken before`,
    );
  if (opened.revision === newest.revision && !sameContent(opened, newest))
    throw rolledBack(
      `is revision ${opened.revision} like the one taken before, with other content; raise it`,
    );
}

function rolledBack(message: string): Error {
  return refusal({ where: MANIFEST_PATH, message: `${message} (rollback is not allowed)` });
}

function sameContent(a: OpenedBundle, b: OpenedBundle): boolean {
  return a.content === b.content;
}
