import { LRUCache } from 'lru-cache';
import { compileSnapshot } from '../../pdp/compile-snapshot.ts';
import type { PolicyTexts } from '../../pdp/policy-source.ts';
import type { LineSource } from '../read/line-reader.ts';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import { blobReferences, questionReferences } from '../read/references.ts';
import { policyTextsOf } from '../read/question.ts';
import { payloadDigest } from '../record/blob.ts';
import type { Findings, Place } from './findings.ts';
import { linesOf } from '../read/segment-source.ts';

const SPACE = 0x20;
/** Erasures that are remembered: more than people can ask for. */
const MAX_ERASURES = 1_000_000;

/** What is known of one erasure. */
interface Erasure {
  /** Where the first blob is that it erased. */
  readonly place: Place;
  /** Blobs that it erased. */
  blobs: number;
}

/**
 * What the lines of a segment refer to: whether it is there, and is what its digest says. Memory: the digests of one segment.
 */
export class BlobCheck {
  readonly #findings: Findings;
  /** Hashes of the texts of policy sets that were compiled, by the digest that they came to. */
  readonly #policies = new LRUCache<string, string>({ max: 1000 });
  readonly #erasures = new Map<string, Erasure>();
  /** Blobs that each recorded erasure says it erased; -1: it never said. */
  readonly #recorded = new Map<string, number>();
  #present = new Set<string>();
  #told = new Set<string>();
  /** What questions refer to that have a blob of their own. */
  #nested = new Map<string, readonly string[]>();
  /** Blobs that were looked at. */
  blobs = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Reads a segment's pack. To be called before its lines come; `growing`: its end may be unfinished. */
  async pack(source: LineSource | undefined, name: string, growing: boolean): Promise<void> {
    this.#present = new Set();
    this.#told = new Set();
    this.#nested = new Map();
    if (source === undefined) return;
    let number = 0;
    for await (const { lines, torn } of linesOf(source)) {
      for (const line of lines) {
        number += 1;
        if (!torn) this.#blob(line, { file: name, line: number });
        else
          this.#findings.add('integrity', growing ? 'note' : 'failed', 'the last blob is not finished', {
            file: name,
            line: number,
          });
      }
    }
  }

  /** Looks for what a record refers to. */
  record(record: LogRecord, place: Place): void {
    for (const digest of blobReferences(record)) this.#need(digest, place);
  }

  /** Takes what a record of kind `erased` says, of which somebody has vouched for that the log has it. */
  erasure({ erasure, blobs }: LogRecord): void {
    if (typeof erasure !== 'string') return;
    const count = Number.isSafeInteger(blobs) ? Number(blobs) : undefined;
    this.#recorded.set(erasure, Math.max(count ?? -1, this.#recorded.get(erasure) ?? -1));
  }

  /** Judges what was erased: a record of the log itself must say so. `waiting`: erasures of which a record is not signed yet, or not even written. */
  settle(waiting: ReadonlySet<string>): void {
    for (const [erasure, { place, blobs }] of this.#erasures) {
      const recorded = this.#recorded.get(erasure);
      if (recorded !== undefined) this.#compareCount(erasure, blobs, recorded, place);
      else if (waiting.has(erasure))
        this.#findings.add(
          'integrity',
          'unchecked',
          `the erasure ${erasure} waits to be recorded and signed: until then nobody vouches for it`,
          place,
        );
      else
        this.#findings.add(
          'integrity',
          'failed',
          `a blob was erased, and no record of the log says so (erasure ${erasure})`,
          place,
        );
    }
  }

  /** An erasure that is in the log is no licence to erase anything else in its name. */
  #compareCount(erasure: string, blobs: number, recorded: number, place: Place): void {
    if (recorded < 0)
      this.#findings.add(
        'integrity',
        'note',
        `the erasure ${erasure} was begun and never finished: how much it erased (${blobs} blobs) is not recorded`,
        place,
      );
    else if (blobs > recorded)
      this.#findings.add(
        'integrity',
        'failed',
        `${blobs} blobs were erased where the log says ${recorded} (erasure ${erasure})`,
        place,
      );
  }

  #need(digest: string, place: Place): void {
    for (const entity of this.#nested.get(digest) ?? []) this.#need(entity, place);
    if (this.#present.has(digest) || this.#told.has(digest)) return;
    this.#told.add(digest);
    this.#findings.add('completeness', 'failed', `what the record refers to is missing: ${digest}`, place);
  }

  #blob(line: Buffer, place: Place): void {
    this.blobs += 1;
    const space = line.indexOf(SPACE);
    const digest = line.toString('latin1', 0, Math.max(0, space));
    const problem = space < 1 ? 'no blob' : this.#difference(digest, line.subarray(space + 1), place);
    if (problem === undefined) {
      const nested = questionReferences(line.subarray(space + 1));
      if (nested.length > 0) this.#nested.set(digest, nested);
      this.#present.add(digest);
    } else this.#findings.add('integrity', 'failed', `${problem} (${digest.slice(0, 80)})`, place);
  }

  /** What is wrong with a blob; `undefined`: nothing. */
  #difference(digest: string, payload: Buffer, place: Place): string | undefined {
    if (payloadDigest(payload) === digest) return undefined;
    const blob = parseRecord(payload);
    const isPolicies = digest.startsWith('sha256:');
    if (blob?.['kind'] === 'erased')
      return isPolicies
        ? 'a policy set was erased: that never happens'
        : this.#erasure(blob['erasure'], place);
    if (!isPolicies) return 'the blob is not what its digest says';
    return blob?.['kind'] === 'policies' ? this.#policySet(digest, payload) : 'the blob is no policy set';
  }

  #erasure(erasure: unknown, place: Place): string | undefined {
    if (typeof erasure !== 'string' || erasure === '' || erasure.length > 64)
      return 'the blob was erased by nobody';
    const known = this.#erasures.get(erasure);
    if (known) known.blobs += 1;
    else if (this.#erasures.size >= MAX_ERASURES) return 'more erasures than can be compared';
    else this.#erasures.set(erasure, { place, blobs: 1 });
    return undefined;
  }

  #policySet(digest: string, payload: Buffer): string | undefined {
    const hash = payloadDigest(payload);
    let found = this.#policies.get(hash);
    if (found === undefined) {
      found = snapshotDigest(payload) ?? '';
      this.#policies.set(hash, found);
    }
    return found === digest ? undefined : 'the policies are not those that their digest says';
  }
}

/** The digest of the snapshot that a blob of kind `policies` makes; `undefined`: it makes none. */
export function snapshotDigest(payload: Buffer): string | undefined {
  const texts = policyTextsOf(payload);
  if (texts === undefined) return undefined;
  try {
    return compileSnapshot(texts as PolicyTexts, 0).snapshot.digest;
  } catch {
    return undefined;
  }
}
