import { leafHash, sameHash } from '../tlog/hash.ts';
import { type Findings, type Place, rangeText } from './findings.ts';
import type { MissingRanges } from './missing-ranges.ts';
import type { StoredLeaves } from './stored-leaves.ts';
import type { TreeCheck } from './tree-check.ts';

/** What {@link LeafCheck} compares with. */
export interface LeafCheckParts {
  /** Records under the checkpoint. */
  readonly sealed: number;
  readonly stored: StoredLeaves;
  readonly tree: TreeCheck;
  readonly missing: MissingRanges;
  readonly findings: Findings;
}

/** A line that was sealed further on than where it is. What it means, the line after it shows. */
interface Ahead {
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly place: Place;
}

/**
 * Whether each line is the one that was sealed at its place. A line that is not is told apart by the hashes stored of the others: changed, moved,
 * repeated, inserted, or in the place of others that were removed.
 */
export class LeafCheck {
  readonly #parts: LeafCheckParts;
  /** Index that the next line must have. */
  #next = 0;
  /** The line before was not the one that was sealed. */
  #suspect = false;
  #ahead: Ahead | undefined;
  /** Where the line before is. */
  #last: Place = {};

  constructor(parts: LeafCheckParts) {
    this.#parts = parts;
  }

  /** A segment begins. */
  segmentBegins(firstIndex: number, place: Place): void {
    const { sealed } = this.#parts;
    this.#settleAhead((index) => index === firstIndex);
    if (firstIndex > this.#next) this.#absent(Math.min(firstIndex, sealed), place);
    if (firstIndex < Math.min(this.#next, sealed)) {
      if (!this.#suspect)
        this.#fail(`record ${firstIndex} is here, and again in its own segment`, this.#last, firstIndex);
      this.#next = firstIndex;
    }
    this.#suspect = false;
  }

  /** One line; false where it is beyond the checkpoint. `index`: what the line itself says, where it does. */
  line(bytes: Buffer, index: number | undefined, place: Place): boolean {
    if (this.#next >= this.#parts.sealed) return false;
    const leaf = leafHash(bytes);
    this.#settleAhead((each) => this.#is(leaf, each));
    this.#last = place;
    if (this.#next >= this.#parts.sealed) return false;
    const { stored } = this.#parts;
    const due = stored.at(this.#next);
    if (due === undefined) stored.tellMissing(this.#next);
    if (due === undefined || sameHash(due, leaf)) this.#accept(leaf);
    else if (!stored.vouchedFor(this.#next)) this.#accept(leaf);
    else this.#wrong(leaf, index, place);
    return true;
  }

  /** No line follows. */
  end(place: Place): void {
    const { sealed } = this.#parts;
    this.#settleAhead((index) => index === sealed);
    if (this.#next < sealed) this.#absent(sealed, place);
  }

  #accept(leaf: Uint8Array): void {
    this.#suspect = false;
    this.#append(leaf);
    this.#next += 1;
  }

  #append(leaf: Uint8Array): void {
    const { tree } = this.#parts;
    // Lines that come a second time are not part of the tree a second time.
    if (tree.size === this.#next) tree.append(leaf);
  }

  #wrong(leaf: Uint8Array, index: number | undefined, place: Place): void {
    if (index === undefined || !this.#is(leaf, index)) this.#changed(place);
    else if (index > this.#next) this.#ahead = { leaf, index, place };
    else this.#again(index, place);
  }

  /** Whether this is the hash stored for a record. */
  #is(leaf: Uint8Array, index: number): boolean {
    const stored = this.#parts.stored.at(index);
    return stored !== undefined && sameHash(stored, leaf);
  }

  /** Settles what a line that was sealed further on means, by what follows it: it is alone there, or those before it are gone. */
  #settleAhead(follows: (index: number) => boolean): void {
    const ahead = this.#ahead;
    if (ahead === undefined) return;
    this.#ahead = undefined;
    const { index, place } = ahead;
    const goesOn = follows(index + 1);
    if (!goesOn && follows(this.#next)) this.#fail(`record ${index} was put in here`, place, index);
    else if (!goesOn && follows(this.#next + 1)) this.#instead(ahead);
    else {
      this.#absent(index, place);
      this.#accept(ahead.leaf);
    }
  }

  #instead({ index, place }: Ahead): void {
    const at = this.#next;
    this.#fail(`record ${index} is here in the place of record ${at}`, place, at);
    this.#skip();
  }

  #changed(place: Place): void {
    const at = this.#next;
    this.#fail(`this is not the line that was sealed as record ${at}: it was changed, or put in`, place, at);
    this.#skip();
    this.#suspect = true;
  }

  /** Goes on with what was sealed, so that one wrong line does not make all that follow look wrong. */
  #skip(): void {
    const stored = this.#parts.stored.at(this.#next);
    if (stored) this.#append(stored);
    this.#next += 1;
  }

  /** A line that is known, and was due earlier. */
  #again(index: number, place: Place): void {
    if (this.#suspect && index === this.#next - 1) {
      this.#fail(`the line before this one was put in: this is record ${index}`, place, index);
      this.#suspect = false;
    } else this.#fail(`record ${index} is here again, or in the wrong place`, place, index);
  }

  #fail(message: string, place: Place, index: number): void {
    this.#parts.findings.add('integrity', 'failed', message, { ...place, index });
  }

  /** The lines from the one that is due to the one before `end` are not there. */
  #absent(end: number, place: Place): void {
    const { missing, stored, tree } = this.#parts;
    const from = this.#next;
    if (end <= from) return;
    const [were, are] = end === from + 1 ? ['was', 'is'] : ['were', 'are'];
    const what = `${rangeText(from, end)}, which ${were} sealed, ${are} not here`;
    missing.add('integrity', end, what, { ...place, index: from });
    for (; this.#next < end; this.#next++) {
      const leaf = stored.at(this.#next);
      if (leaf === undefined) break;
      this.#append(leaf);
    }
    if (this.#next < end) tree.jumpTo(end);
    this.#next = end;
  }
}
