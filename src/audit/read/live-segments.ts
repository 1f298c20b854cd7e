import { type LogSegment, logSegments } from './log-folder.ts';
import { isAbsence } from './segment-source.ts';

/** How often a folder is listed again for one segment: the oldest go first, so that a few times are enough. */
const MAX_ATTEMPTS = 20;

/** The segments of a log that may be in use: listed again where one that was listed is not there any more. */
export class LiveSegments {
  readonly #dir: string;
  #listed: readonly LogSegment[];

  /** Throws `InputError` where there is no log. */
  constructor(dir: string) {
    this.#dir = dir;
    this.#listed = logSegments(dir);
  }

  /**
   * Has the segment with this first index read, at its position among all of them. `read` is begun again where it throws the system's error for a file that
   * is not there; a segment that retention has removed is passed over. Throws what `read` throws.
   */
  async read(
    firstIndex: number,
    read: (segments: readonly LogSegment[], at: number) => Promise<void>,
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const at = this.#listed.findIndex((segment) => segment.firstIndex === firstIndex);
      if (at === -1) return;
      try {
        return await read(this.#listed, at);
      } catch (error) {
        if (!isAbsence(error) || attempt === MAX_ATTEMPTS) throw error;
        this.#listed = logSegments(this.#dir);
      }
    }
  }
}
