import type { LogRecord } from '../read/decision-record.ts';
import type { EpochCertificate } from '../tlog/epoch.ts';
import { verifierKeyText } from '../tlog/note-key.ts';
import type { Announce } from './seal-messages.ts';

/** Has each new epoch recorded in the log once, however often it takes. */
export class EpochNews {
  readonly #announce: Announce;
  readonly #recorded = new Set<unknown>();
  #pending: EpochCertificate | undefined;

  constructor(announce: Announce) {
    this.#announce = announce;
  }

  /** An epoch has begun, or is not known to be recorded. */
  began(epoch: EpochCertificate | undefined): void {
    this.#pending = epoch;
  }

  /** A record about one that is in the log. */
  found({ epoch }: LogRecord): void {
    this.#recorded.add(epoch);
  }

  /** Has it recorded where it is not yet. */
  tell(): void {
    const epoch = this.#pending;
    this.#pending = undefined;
    if (epoch === undefined || this.#recorded.has(epoch.number)) return;
    const fields = {
      epoch: epoch.number,
      vkey: verifierKeyText(epoch.key),
      valid_until: new Date(epoch.notAfter).toISOString(),
    };
    this.#announce('key_rotated', fields).catch(() => {
      this.#pending ??= epoch;
    });
  }
}
