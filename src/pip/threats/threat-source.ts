import type { AttributeAnswer } from '../../pdp/attribute.ts';
import type { AttributeSource, Clock } from '../../pdp/ports.ts';
import type { ThreatSubject } from './entry-set.ts';
import type { ThreatList } from './threat-list.ts';

/** Settings of {@link createThreatSource}. */
export interface ThreatSourceOptions {
  readonly name: string;
  readonly subject: ThreatSubject;
  /** What it means that one of the lists may not be used. */
  readonly onFailure: 'deny' | 'omit';
  /** Ms for which an answer may be used. */
  readonly freshMs: number;
  /** Of different names. */
  readonly lists: readonly ThreatList[];
  readonly clock: Clock;
}

/** The one attribute that threat lists give: the names of the lists that the subject is on. */
export const THREATS = 'threats';

/**
 * An information point of lists in memory: `threats` is the set of the names of those that the subject is on, empty where it is on none. A lookup
 * throws `PdpError` `attribute_unavailable` where one of the lists may not be used: a list that is not known is not one that does not
 * name the subject.
 */
export function createThreatSource(options: ThreatSourceOptions): AttributeSource {
  const { name, subject, onFailure, clock, freshMs } = options;
  const lists = options.lists.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return {
    name,
    subject,
    onFailure,
    gives: [THREATS],
    lookup(subjectId): AttributeAnswer {
      const threats: string[] = [];
      let observedAt = clock.now();
      let freshUntil = observedAt + freshMs;
      for (const list of lists) {
        const { set, confirmedAt, usableUntil } = list.current();
        observedAt = Math.min(observedAt, confirmedAt);
        freshUntil = Math.min(freshUntil, usableUntil);
        if (set.has(subjectId)) threats.push(list.name);
      }
      return { status: 'found', attributes: { [THREATS]: threats }, groups: [], observedAt, freshUntil };
    },
  };
}
