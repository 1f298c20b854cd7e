import type { FetchedFacts } from './fact-source.ts';

/** What a document says of its subject, or what is wrong with it: words that name places in it and never values. */
export type FactReading =
  Pick<FetchedFacts, 'status' | 'attributes' | 'groups' | 'observedAt'> | { readonly problem: string };

/** Reads a parsed document. */
export type ReadFacts = (json: unknown) => FactReading;

/** The reading of a source that does not know the subject. */
export const ABSENT = { status: 'absent', attributes: {}, groups: [] } as const satisfies FetchedFacts;
