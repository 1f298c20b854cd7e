import {
  type EntrySet,
  type ListReading,
  type ThreatSubject,
  readEntrySet,
} from '../../../../src/pip/threats/entry-set.ts';
import { createSlices } from '../../../../src/pip/threats/slices.ts';

/** Reads a list as the points do, from a file `list.txt`. */
export function setOf(
  subject: ThreatSubject,
  text: string,
  reading: Partial<ListReading> = {},
): Promise<EntrySet> {
  const defaults = { subject, where: 'list.txt', maxEntries: 1_000_000, mayBeEmpty: false };
  return readEntrySet({ ...defaults, ...reading }, text, createSlices());
}
