import { InputError, PdpError, type Problem } from '../../pdp/errors.ts';
import { printable } from '../printable.ts';
import { patternProblem } from '../spiffe/spiffe-matcher.ts';
import { type IdSet, IdSetBuilder } from './id-set.ts';
import { IpRangesBuilder } from './ip-ranges.ts';
import { readIp, readIpRange } from './ip-text.ts';
import { entriesOf } from './list-text.ts';
import type { Slices } from './slices.ts';

/** What a list can be about. */
export type ThreatSubject = 'ip' | 'workload' | 'user' | 'device';

/** One version of a list. */
export interface EntrySet {
  /** Entries as they were written: some may cover others. */
  readonly entries: number;
  /** Bytes of memory that it takes. */
  readonly bytes: number;
  /** Whether the list names the subject, which for `ip` must be an address: `PdpError` `attribute_unavailable` where it is none. */
  has(subjectId: string): boolean;
}

/** How a list is read. */
export interface ListReading {
  readonly subject: ThreatSubject;
  /** File or URL, for problems. */
  readonly where: string;
  readonly maxEntries: number;
  /** A list that has lost its entries looks like one that names nobody: unless this is set, it is refused. */
  readonly mayBeEmpty: boolean;
}

const MAX_PROBLEMS = 20;
const MAX_ID_BYTES = 2_048;

/** Reads the text of a list. Rejects with `InputError` with the first 20 problems; then nothing of it may be used. */
export async function readEntrySet(reading: ListReading, text: string, slices: Slices): Promise<EntrySet> {
  const { where, maxEntries } = reading;
  const builder = BUILDERS[reading.subject]();
  const problems: Problem[] = [];
  let entries = 0;
  for (const { line, text: entry, problem } of entriesOf(text)) {
    entries += 1;
    if (entries % 256 === 0) await slices.rest();
    const isBeyond = entries > maxEntries;
    const message = problem ?? (isBeyond ? `is beyond max_entries (${maxEntries})` : builder.add(entry));
    if (message !== undefined) problems.push({ where, line, message: `${printable(entry)} ${message}` });
    if (problems.length === MAX_PROBLEMS || isBeyond) break;
  }
  if (entries === 0 && !reading.mayBeEmpty)
    problems.push({ where, message: 'holds no entry; set may_be_empty where that is meant' });
  if (problems.length > 0) throw new InputError('the list is not right', problems);
  return { entries, ...(await builder.build(slices)) };
}

interface Builder {
  /** Why the entry is none, in words; `undefined` where it was added. */
  add(entry: string): string | undefined;
  build(slices: Slices): Promise<Omit<EntrySet, 'entries'>>;
}

const BUILDERS: { readonly [subject in ThreatSubject]: () => Builder } = {
  ip: ipBuilder,
  workload: workloadBuilder,
  user: idBuilder,
  device: idBuilder,
};

function ipBuilder(): Builder {
  const v4 = new IpRangesBuilder(1);
  const v6 = new IpRangesBuilder(4);
  return {
    add(entry) {
      const range = readIpRange(entry);
      if ('problem' in range) return range.problem;
      (range.first.length === 1 ? v4 : v6).add(range);
      return undefined;
    },
    async build(slices) {
      const ranges4 = await v4.build(slices);
      const ranges6 = await v6.build(slices);
      const has = (subjectId: string): boolean => {
        const address = readIp(subjectId);
        if (address === undefined)
          throw new PdpError('attribute_unavailable', 'the subject is not an IP address');
        return (address.length === 1 ? ranges4 : ranges6).has(address);
      };
      return { bytes: ranges4.bytes + ranges6.bytes, has };
    },
  };
}

function idBuilder(): Builder {
  const ids = new IdSetBuilder();
  return {
    add(entry) {
      const problem = idProblem(entry);
      if (problem === undefined) ids.add(entry);
      return problem;
    },
    build: (slices) => ids.build(slices),
  };
}

/** A pattern is kept as what stands before its `*`, which ends with `/` as no SPIFFE ID does: IDs and patterns share one set. */
function workloadBuilder(): Builder {
  const builder = new IdSetBuilder();
  let longest = 0;
  return {
    add(entry) {
      const problem = patternProblem(entry);
      if (problem !== undefined) return problem;
      const isPattern = entry.endsWith('/*');
      builder.add(isPattern ? entry.slice(0, -1) : entry);
      if (isPattern) longest = Math.max(longest, entry.length - 1);
      return undefined;
    },
    async build(slices) {
      const ids = await builder.build(slices);
      return { bytes: ids.bytes, has: (id) => ids.has(id) || isBelow(ids, id, longest) };
    },
  };
}

/** Whether a pattern of at most `longest` characters names the workload. */
function isBelow(ids: IdSet, id: string, longest: number): boolean {
  let slash = id.indexOf('/', 'spiffe://'.length);
  while (slash !== -1 && slash < longest) {
    if (ids.has(id.slice(0, slash + 1))) return true;
    slash = id.indexOf('/', slash + 1);
  }
  return false;
}

function idProblem(id: string): string | undefined {
  if (id === '') return 'is an empty id';
  if (!id.isWellFormed() || /\p{Cc}/u.test(id)) return 'is an id with a control character';
  return Buffer.byteLength(id) > MAX_ID_BYTES ? `is an id longer than ${MAX_ID_BYTES} bytes` : undefined;
}
