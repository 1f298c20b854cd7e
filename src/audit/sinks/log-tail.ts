import { readdirSync } from 'node:fs';
import type { Committed } from '../log/commit-position.ts';
import { type Segment, segmentsOf } from '../log/segments.ts';
import { type SegmentReader, openSegmentReader } from './segment-reader.ts';
import type { LogLine } from './sink.ts';

/** How much is taken at once. */
export interface TakeLimits {
  readonly maxRecords: number;
  /** Line feeds included; one line is taken even where it is longer. */
  readonly maxBytes: number;
}

/** Records that are no longer there: their segments were removed. */
export interface LostRange {
  readonly first: number;
  readonly last: number;
}

/** What was taken. */
export interface Taken {
  /** Consecutive. */
  readonly lines: readonly LogLine[];
  /** Instead of lines: what is missing from the asked index on. */
  readonly lost?: LostRange;
}

interface OpenedSegment {
  readonly firstIndex: number;
  readonly reader: SegmentReader;
  /** Lines before the one that is wanted. */
  skip: number;
  /** Once it is closed: first index of the segment after it. */
  bound: number | undefined;
}

/**
 * Reads the final lines of a log that is being written, from any index on. What was taken last is remembered, so that going on from there
 * reads nothing twice.
 */
export class LogTail implements AsyncDisposable {
  readonly #dir: string;
  readonly #committed: () => Committed;
  /** Index of the line at `#at`. */
  #index = -1;
  #lines: readonly Buffer[] = [];
  #at = 0;
  #segment: OpenedSegment | undefined;
  /** First index of the last segment that was read to its end. */
  #finished = -1;

  constructor(dir: string, committed: () => Committed) {
    this.#dir = dir;
    this.#committed = committed;
  }

  /** The lines from an index on that are final by now, or what is missing of them. Throws the system's error; may be called again. */
  async take(from: number, limits: TakeLimits): Promise<Taken> {
    try {
      if (from !== this.#index) await this.#moveTo(from);
      return await this.#take(limits);
    } catch (error) {
      await this.#moveTo(-1).catch(() => undefined);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#moveTo(-1).catch(() => undefined);
  }

  async #moveTo(index: number): Promise<void> {
    this.#index = index;
    this.#hold([]);
    this.#finished = -1;
    await this.#close();
  }

  #hold(lines: readonly Buffer[]): void {
    this.#lines = lines;
    this.#at = 0;
  }

  async #close(): Promise<void> {
    const segment = this.#segment;
    this.#segment = undefined;
    await segment?.reader.close();
  }

  async #take({ maxRecords, maxBytes }: TakeLimits): Promise<Taken> {
    const lines: LogLine[] = [];
    let bytes = 0;
    while (lines.length < maxRecords) {
      const lost = this.#at === this.#lines.length ? await this.#fill() : undefined;
      if (lost !== undefined) return lines.length === 0 ? this.#passOver(lost) : { lines };
      const line = this.#lines[this.#at];
      if (line === undefined) break;
      bytes += line.length + 1;
      if (lines.length > 0 && bytes > maxBytes) break;
      lines.push({ index: this.#index, bytes: line });
      this.#index += 1;
      this.#at += 1;
    }
    return { lines };
  }

  #passOver(lost: LostRange): Taken {
    this.#index = lost.last + 1;
    return { lines: [], lost };
  }

  /** Reads on, over the ends of segments; gives what is missing where a segment begins later than it should. */
  async #fill(): Promise<LostRange | undefined> {
    for (;;) {
      const reach = this.#committed();
      if (this.#index >= reach.nextIndex) return undefined;
      const segment = this.#segment;
      if (segment === undefined) {
        const found = await this.#open();
        if (found !== true) return found;
        continue;
      }
      if (await this.#read(segment, reach)) return undefined;
      if (segment.firstIndex === reach.segment) return undefined;
      this.#finished = segment.firstIndex;
      await this.#close();
    }
  }

  /** Opens the segment that holds the index; otherwise tells what is missing, or nothing where there is nothing after it yet. */
  async #open(): Promise<true | LostRange | undefined> {
    const segments = this.#segments().filter(({ firstIndex }) => firstIndex > this.#finished);
    const holding = segments.findLast(({ firstIndex }) => firstIndex <= this.#index);
    if (holding === undefined) {
      const [next] = segments;
      return next && { first: this.#index, last: next.firstIndex - 1 };
    }
    const { firstIndex } = holding;
    const reader = await this.#reader(holding);
    this.#segment = { firstIndex, reader, skip: this.#index - firstIndex, bound: undefined };
    return true;
  }

  /** A segment may be compressed between the look for it and its opening. */
  async #reader(segment: Segment): Promise<SegmentReader> {
    try {
      return await openSegmentReader(segment.path, segment.compressed);
    } catch (error) {
      const now = this.#segments().find(({ firstIndex }) => firstIndex === segment.firstIndex);
      if (now === undefined || now.path === segment.path) throw error;
      return await openSegmentReader(now.path, now.compressed);
    }
  }

  /** Takes the next lines of a segment over; false: it has no more for now. */
  async #read(segment: OpenedSegment, reach: Committed): Promise<boolean> {
    const isOpen = segment.firstIndex === reach.segment;
    if (!isOpen)
      segment.bound ??= this.#segments().find((other) => other.firstIndex > segment.firstIndex)?.firstIndex;
    for (;;) {
      const lines = await segment.reader.next(isOpen ? reach.lineBytes : undefined);
      if (lines.length === 0) return false;
      const wanted = lines.slice(segment.skip, segment.skip + this.#room(segment, reach));
      segment.skip = Math.max(0, segment.skip - lines.length);
      this.#hold(wanted);
      if (wanted.length > 0) return true;
      // What a failed write left behind its last record is none of the log's.
      if (segment.skip === 0 && this.#room(segment, reach) <= 0) return false;
    }
  }

  /** Lines that a segment can still hold. */
  #room({ bound }: OpenedSegment, { nextIndex }: Committed): number {
    return Math.max(0, Math.min(bound ?? nextIndex, nextIndex) - this.#index);
  }

  #segments(): readonly Segment[] {
    return segmentsOf(this.#dir, readdirSync(this.#dir));
  }
}
