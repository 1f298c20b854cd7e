import { messageOf } from '../../pdp/errors.ts';
import type { LogSegment } from '../read/log-folder.ts';
import { tileFiles } from '../read/tile-files.ts';
import { EMPTY_ROOT } from '../tlog/hash.ts';
import { AccessLogCheck } from './access-log.ts';
import { BlobCheck } from './blob-check.ts';
import type { Place } from './findings.ts';
import { LeafCheck } from './leaf-check.ts';
import { type Checks, type Known, LineChecks } from './line-checks.ts';
import { MissingRanges } from './missing-ranges.ts';
import { RecordCheck } from './record-check.ts';
import type { VerifyReport } from './report.ts';
import { RunCheck } from './run-check.ts';
import {
  FolderChanged,
  isAbsence,
  isRefusal,
  isThere,
  isTwice,
  linesOf,
  segmentSource,
} from '../read/segment-source.ts';
import { StoredLeaves } from './stored-leaves.ts';
import { TreeCheck } from './tree-check.ts';
import type { VerifyOptions } from './verify.ts';
import { headNow, isIn } from './signed-since.ts';
import { waitingErasures } from './waiting-erasures.ts';

const PROGRESS_EVERY = 16_384;
/** Records that are so much younger than the newest checkpoint, in ms, are not just waiting for the next one. */
const LATE_MS = 60_000;

/** What a verification has counted. */
type Counts = Omit<
  VerifyReport,
  'integrity' | 'completeness' | 'segments' | 'sealed' | 'evidence' | 'problems' | 'problemCount'
>;

/** One pass over the lines of a log, each of which goes to every check. */
export class LogVerification {
  readonly #dir: string;
  readonly #known: Known;
  readonly #options: VerifyOptions;
  readonly #sealed: number;
  readonly #tree: TreeCheck;
  readonly #checks: Checks;
  readonly #lines: LineChecks;
  #lastFile: Place = {};

  constructor(dir: string, known: Known, options: VerifyOptions) {
    const { heads, findings } = known;
    const head = heads.newest ?? { size: 0, root: EMPTY_ROOT };
    const tiles = tileFiles(dir);
    const missing = new MissingRanges(findings);
    const stored = new StoredLeaves(head, tiles, findings);
    this.#dir = dir;
    this.#known = known;
    this.#options = options;
    this.#sealed = head.size;
    this.#tree = new TreeCheck(tiles, heads.expected(), findings);
    this.#checks = {
      leaves: new LeafCheck({ sealed: head.size, stored, tree: this.#tree, missing, findings }),
      records: new RecordCheck(findings, missing),
      runs: new RunCheck(findings),
      blobs: new BlobCheck(findings),
      missing,
      accessLog: options.accessLog === undefined ? undefined : new AccessLogCheck(findings),
    };
    this.#lines = new LineChecks(this.#checks, known);
  }

  /** To be called once, first. */
  async begin(): Promise<void> {
    await this.#tree.begin();
  }

  /** Reads one segment, in the order of the log. */
  async segment(segment: LogSegment, last: boolean): Promise<void> {
    const { name, firstIndex, lines, pack } = segmentSource(segment);
    this.#lastFile = { file: name };
    const { records, leaves, blobs } = this.#checks;
    if (isTwice(segment))
      this.#known.findings.add(
        'completeness',
        'note',
        'it is there twice, plain and compressed: only the plain one was looked at',
        this.#lastFile,
      );
    records.segmentBegins(firstIndex, this.#lastFile);
    if (this.#sealed > 0) leaves.segmentBegins(firstIndex, this.#lastFile);
    await this.#reading(`${name} (its blobs)`, () => blobs.pack(pack, packFile(name), last));
    await this.#reading(name, async () => {
      let number = 0;
      for await (const chunk of linesOf(lines))
        for (const line of chunk.lines) {
          const place = { file: name, line: (number += 1) };
          if (chunk.torn) this.#lines.torn(last, place);
          else this.#lines.line(line, place);
          if (number % PROGRESS_EVERY === 0) this.#progress();
          if (this.#tree.headDue) await this.#tree.compareHeads();
        }
    });
    // Its tiles go right after it.
    if (!isThere(lines)) this.#vanished();
  }

  /** What cannot be read or decompressed is damaged; what follows is still looked at. */
  async #reading(file: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (isAbsence(error)) return this.#vanished();
      if (isRefusal(error)) throw error;
      this.#known.findings.add('integrity', 'failed', `it cannot be read to its end (${messageOf(error)})`, {
        file,
      });
    }
  }

  /** Retention may have come first: then the folder is looked at anew. At last, it is judged with all that is missing. */
  #vanished(): void {
    if (this.#options.mayChange === true) throw new FolderChanged();
  }

  #progress(): void {
    this.#options.onProgress?.(this.#lines.lines, this.#known.heads.newest?.size);
  }

  /** No segment follows. */
  async end(): Promise<void> {
    const { leaves, records, missing, blobs, accessLog } = this.#checks;
    if (this.#sealed > 0) leaves.end(this.#lastFile);
    records.end(this.#sealed, this.#lastFile);
    if (this.#sealed > 0) this.#tree.compareEdge();
    await this.#tree.compareHeads();
    this.#allSealed();
    this.#sameLog();
    const waiting = this.#takeSignedSince();
    missing.settle();
    blobs.settle(new Set([...waiting, ...waitingErasures(this.#dir)]));
    if (this.#options.accessLog !== undefined) await accessLog?.reconcile(this.#options.accessLog);
    this.#progress();
  }

  /** Who closes a log in good order signs all of it. */
  #allSealed(): void {
    const { findings, alive } = this.#known;
    const { unsealed } = this.#lines;
    if (unsealed === 0 || this.#sealed === 0 || alive || !this.#checks.runs.closed) return;
    findings.add(
      'integrity',
      'failed',
      `${unsealed} records at the end were never sealed, though the log was closed in good order`,
    );
  }

  /**
   * What was signed while the lines were read: records that excuse something count if they are in it, each under a proof of its own. What nobody has signed
   * for longer than the sealer ever takes is told. Gives the erasures that are in the log and not signed.
   */
  #takeSignedSince(): readonly string[] {
    const { heads, findings } = this.#known;
    if (heads.newest === undefined) return [];
    const { claims, youngest, unsealed } = this.#lines;
    const head = headNow(this.#dir, heads);
    const late = youngest - head.time;
    if (unsealed > 0 && late > LATE_MS)
      findings.add(
        'integrity',
        'unchecked',
        `records up to ${Math.round(late / 1000)} s younger than the newest checkpoint were signed by nobody: the sealer was not at work, or they were put in`,
        { index: head.size },
      );
    const proven = claims.filter((claim) => isIn(this.#dir, claim, head));
    for (const { record } of proven) this.#lines.excuse(record);
    return claims.flatMap(({ record }) => (typeof record['erasure'] === 'string' ? [record['erasure']] : []));
  }

  /** A key vouches for one log, by its name. */
  #sameLog(): void {
    const { newest } = this.#known.heads;
    const { log } = this.#checks.records;
    if (newest && log !== undefined && log !== newest.origin)
      this.#known.findings.add(
        'integrity',
        'failed',
        `the records are those of '${log}', and the checkpoint is that of '${newest.origin}'`,
      );
  }

  /** What was counted. */
  report(): Counts {
    const { records, blobs, runs, accessLog } = this.#checks;
    const { log } = records;
    return {
      ...(log !== undefined && { log }),
      records: records.records,
      byKind: records.byKind,
      ...records.range,
      blobs: blobs.blobs,
      unsealed: this.#lines.unsealed,
      checkpoints: this.#tree.compared,
      lost: runs.lost,
      reconciled: accessLog?.compared ?? 0,
    };
  }
}

function packFile(segment: string): string {
  return segment.replace(/\.ndjson(?:\.gz)?$/, '.blobs');
}
