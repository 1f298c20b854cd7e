import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readdirSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type EpochCertificate, openEpochCertificate, signEpochCertificate } from '../tlog/epoch.ts';
import {
  type SigningKey,
  type VerifierKey,
  generateSigningKey,
  signingKeyFromPem,
  signingKeyPem,
  verifierKeyText,
} from '../tlog/note-key.ts';
import { type LogIdentity, signerOf, verifierOf } from './log-identity.ts';
import { type SealFs, makeFolder, writeDurably } from './seal-fs.ts';

const NOTE_NAME = /^epoch-([1-9][0-9]{0,8})\.note$/;
const PEM_NAME = /^epoch-([1-9][0-9]{0,8})\.pem$/;

/** What {@link EpochKeys} needs. */
export interface EpochKeysOptions extends LogIdentity {
  /** Life of an epoch in ms. */
  readonly epochMs: number;
  readonly fs: SealFs;
}

interface Epoch {
  readonly certificate: EpochCertificate;
  readonly key: SigningKey;
}

/** The short-lived keys that sign the checkpoints of a log, each vouched for by its identity key. */
export class EpochKeys {
  readonly verifier: VerifierKey;
  readonly #options: EpochKeysOptions;
  readonly #certificates: EpochCertificate[];
  readonly #folder: string;
  #running: Epoch | undefined;
  #previous: Epoch | undefined;

  /** Reads the keys that are there. Throws {@link SealRefused} and `InputError`. */
  constructor(options: EpochKeysOptions) {
    this.#options = options;
    this.#folder = join(options.dir, 'keys');
    makeFolder(options.fs, this.#folder);
    this.verifier = verifierOf(options, options.fs);
    this.#certificates = this.#readCertificates();
    const held = this.#certificates.flatMap((certificate) => this.#held(certificate)).slice(-2);
    this.#running = held.at(-1);
    this.#previous = held.at(-2);
  }

  /** Every epoch of the log, oldest first. */
  get certificates(): readonly EpochCertificate[] {
    return this.#certificates;
  }

  /** The epoch that signs. */
  get running(): EpochCertificate | undefined {
    return this.#running?.certificate;
  }

  /**
   * Begins a new epoch where there is none, or the running one is about to end. Returns it where it did. Throws what kept it from doing so; the
   * running epoch then goes on while it lasts.
   */
  rotateIfDue(now: number): EpochCertificate | undefined {
    const { running } = this;
    if (running !== undefined && running.notBefore <= now && now < running.notAfter - overlapOf(running))
      return undefined;
    const { dir, origin, epochMs, fs } = this.#options;
    const identity = signerOf(this.#options, this.verifier);
    const number = this.#lastNumber() + 1;
    const key = generateSigningKey(origin);
    const certificate = { origin, number, key, notBefore: now, notAfter: now + epochMs };
    const note = signEpochCertificate(certificate, identity);
    writeDurably(fs, [
      { path: pemPath(dir, number), bytes: Buffer.from(signingKeyPem(key)) },
      { path: notePath(dir, number), bytes: Buffer.from(note), mode: 0o644 },
    ]);
    this.#certificates.push(certificate);
    this.#previous = this.#running;
    this.#running = { certificate, key };
    return certificate;
  }

  /** The keys that sign a checkpoint of this time: after a rotation also the one before, which thereby passes on the log. */
  signersAt(time: number): readonly SigningKey[] {
    const running = this.#running;
    if (running === undefined || time < running.certificate.notBefore || time > running.certificate.notAfter)
      return [];
    return this.#previous === undefined ? [running.key] : [this.#previous.key, running.key];
  }

  /** A checkpoint of the running epoch is published: every other private key is erased. Throws the system's error. */
  erasePast(): void {
    const running = this.running?.number;
    for (const name of readdirSync(this.#folder)) {
      const number = PEM_NAME.exec(name)?.[1];
      if (number !== undefined && Number(number) !== running) this.#erase(join(this.#folder, name));
    }
    this.#previous = undefined;
  }

  /** What has no name any more may still be on the medium, unless it was written over. */
  #erase(path: string): void {
    // Written over is only what is in the folder itself: never what a link in it leads to.
    if (lstatSync(path).isFile()) overwrite(path);
    this.#options.fs.remove(path);
    this.#options.fs.syncFolder(this.#folder);
  }

  #readCertificates(): EpochCertificate[] {
    const numbers = this.#numbers(NOTE_NAME);
    return numbers.flatMap((number) => {
      try {
        const note = readFileSync(notePath(this.#options.dir, number));
        const certificate = openEpochCertificate(note, this.verifier);
        return certificate.number === number ? [certificate] : [];
      } catch {
        // It vouches for nothing then: checkpoints that need it are refused.
        return [];
      }
    });
  }

  /** A number is not used twice, whatever became of its files. */
  #lastNumber(): number {
    return Math.max(0, ...this.#numbers(NOTE_NAME), ...this.#numbers(PEM_NAME));
  }

  #numbers(pattern: RegExp): number[] {
    const numbers = readdirSync(this.#folder).map((name) => Number(pattern.exec(name)?.[1]));
    return numbers.filter((number) => number > 0).sort((a, b) => a - b);
  }

  #held(certificate: EpochCertificate): Epoch[] {
    const { dir, origin } = this.#options;
    const path = pemPath(dir, certificate.number);
    if (!existsSync(path)) return [];
    try {
      const key = signingKeyFromPem(origin, readFileSync(path));
      return verifierKeyText(key) === verifierKeyText(certificate.key) ? [{ certificate, key }] : [];
    } catch {
      // Another epoch begins instead.
      return [];
    }
  }
}

function overwrite(path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    writeSync(fd, randomBytes(fstatSync(fd).size), 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** How long before its end an epoch hands over, in ms: both keys vouch for the checkpoint of that moment. */
function overlapOf({ notBefore, notAfter }: EpochCertificate): number {
  return Math.min(60_000, (notAfter - notBefore) / 10);
}

function pemPath(dir: string, number: number): string {
  return join(dir, 'keys', `epoch-${number}.pem`);
}

function notePath(dir: string, number: number): string {
  return join(dir, 'keys', `epoch-${number}.note`);
}
