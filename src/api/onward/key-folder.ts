import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type SigningAlgorithm, type SigningKey, type SigningKeys, readSigningKey } from './signing-key.ts';

/** Settings of {@link openKeyFolder}. */
export interface KeyFolderOptions {
  /** Folder of PKCS #8 PEM files, `*.pem`. */
  readonly folder: string;
  /** What the signer's key must be for; keys of the other algorithm are published and do not sign. */
  readonly algorithm: SigningAlgorithm;
  /** How long a key is published before it signs, in ms. */
  readonly publishAheadMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Ms between looks; default 2000. */
  readonly intervalMs?: number;
}

/** Keys of a folder; a look can be asked for out of turn. */
export interface KeyFolder extends SigningKeys {
  /** Looks once, now. Resolves when the look is done; never rejects. */
  poll(): Promise<void>;
}

/** One file of the folder, as last read. */
interface KeyFile {
  readonly version: string;
  readonly key?: SigningKey;
  /** Unix ms since when verifiers could have seen it. */
  readonly publishedAt: number;
  /** The last look did not find the key any more: it may be half written, and the key of the look before still counts. */
  readonly inDoubt?: boolean;
}

interface PublishedKey {
  readonly key: SigningKey;
  readonly publishedAt: number;
}

const MAX_KEYS = 16;
const MAX_FILE_BYTES = 16_384;

/**
 * Opens a folder of signing keys that replicas share, and follows it. Every key that can be read is published. The newest by name
 * signs as soon as it has been there for `publishAheadMs`, an older one until then. A file that cannot be used, at
 * two looks on end where it could be before, is named in a warning and passed over; a key whose file is gone is neither used nor
 * published any more. Resolves after the first look.
 */
export async function openKeyFolder(options: KeyFolderOptions): Promise<KeyFolder> {
  const folder = new Folder(options);
  await folder.poll();
  const timer = setInterval(() => void folder.poll(), options.intervalMs ?? 2000).unref();
  return {
    poll: () => folder.poll(),
    signer: (now) => folder.signer(now),
    published: () => folder.keys.map(({ key }) => key.jwk),
    get problem() {
      return folder.problem;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

class Folder {
  readonly #options: KeyFolderOptions;
  #files: ReadonlyMap<string, KeyFile> = new Map();
  #keys: readonly PublishedKey[] = [];
  #names = 0;
  #looking: Promise<void> | undefined;
  #looked = false;
  #unreadable: string | undefined;

  constructor(options: KeyFolderOptions) {
    this.#options = options;
  }

  get problem(): string {
    const { algorithm } = this.#options;
    return this.#unreadable === undefined
      ? `the folder of signing keys holds no usable key for ${algorithm}`
      : `the folder of signing keys cannot be read: ${this.#unreadable}`;
  }

  /** The keys, the oldest by name first. */
  get keys(): readonly PublishedKey[] {
    return this.#keys;
  }

  signer(now: number): SigningKey | undefined {
    const { algorithm, publishAheadMs } = this.#options;
    const fitting = this.#keys.filter(({ key }) => key.algorithm === algorithm);
    const known = fitting.findLast(({ publishedAt }) => publishedAt + publishAheadMs <= now);
    // Where all are new, none is better known than the first.
    return (known ?? fitting[0])?.key;
  }

  poll(): Promise<void> {
    return (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
  }

  async #look(): Promise<void> {
    const { folder, log } = this.#options;
    try {
      const names = (await readdir(folder)).filter((name) => name.endsWith('.pem')).sort();
      const files = new Map<string, KeyFile>();
      for (const name of names.slice(-MAX_KEYS)) files.set(name, await this.#read(name));
      if (names.length > MAX_KEYS && names.length !== this.#names)
        log.warn({ folder }, `only the newest ${MAX_KEYS} of ${names.length} signing keys are used`);
      this.#names = names.length;
      this.#files = files;
      this.#keys = distinctKeys(files.values());
      this.#unreadable = undefined;
    } catch (error) {
      // The keys stay: a folder that is swapped is away for a moment.
      const text = messageOf(error);
      if (text !== this.#unreadable)
        log.warn({ folder, problem: text }, 'the folder of signing keys cannot be read');
      this.#unreadable = text;
    }
    this.#looked = true;
  }

  async #read(name: string): Promise<KeyFile> {
    const file = join(this.#options.folder, name);
    const known = this.#files.get(name);
    const now = this.#options.clock.now();
    try {
      const seen = await stat(file);
      const { ino, size, mtimeMs, ctimeMs, mode } = seen;
      const version = `${ino}/${size}/${mtimeMs}/${mode}`;
      if (known?.version === version && !known.inDoubt) return known;
      // Reading anything else may take forever.
      if (!seen.isFile()) return this.#refused(file, known, version, 'is not a file');
      if (size > MAX_FILE_BYTES)
        return this.#refused(file, known, version, `is larger than ${MAX_FILE_BYTES} bytes`);
      const key = readSigningKey(await readFile(file, 'utf8'));
      if ('problem' in key) return this.#refused(file, known, version, key.problem);
      this.#warnOfMode(file, mode);
      const same = known?.key?.jwk.kid === key.jwk.kid;
      // What was there before we were may have been published by other replicas since it was written, or moved there as it is.
      const publishedAt = this.#looked ? now : Math.min(Math.max(mtimeMs, ctimeMs), now);
      return { version, key, publishedAt: same ? known.publishedAt : publishedAt };
    } catch (error) {
      return this.#refused(file, known, messageOf(error), `cannot be read: ${messageOf(error)}`);
    }
  }

  #refused(file: string, known: KeyFile | undefined, version: string, problem: string): KeyFile {
    if (known?.key && !known.inDoubt) return { ...known, version, inDoubt: true };
    if (known?.version !== version || known.inDoubt)
      this.#options.log.warn({ file, problem }, 'a signing key is passed over');
    return { version, publishedAt: this.#options.clock.now() };
  }

  #warnOfMode(file: string, mode: number): void {
    if ((mode & 0o077) === 0) return;
    const text = `0${(mode & 0o777).toString(8)}`;
    this.#options.log.warn({ file, mode: text }, 'a signing key can be read by others than its owner');
  }
}

/** One key under two names was published with the first of them. */
function distinctKeys(files: Iterable<KeyFile>): PublishedKey[] {
  const keys = new Map<string, PublishedKey>();
  for (const { key, publishedAt } of files) {
    if (key && !keys.has(key.jwk.kid)) keys.set(key.jwk.kid, { key, publishedAt });
  }
  return [...keys.values()];
}
