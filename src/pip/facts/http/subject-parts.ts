/** What a template may hold of a subject: its whole id, or the two parts of `<issuer name>/<name>` (users, devices). */
export const PLACEHOLDERS = ['id', 'issuer', 'name'] as const;

/** One of {@link PLACEHOLDERS}. */
export type Placeholder = (typeof PLACEHOLDERS)[number];

/** The parts of one subject's id; `issuer` and `name` where it has them. */
export type SubjectParts = Readonly<Partial<Record<Placeholder, string>>>;

/** Splits an id at its first slash: names of issuers have none. */
export function subjectParts(id: string): SubjectParts {
  const slash = id.indexOf('/');
  return slash < 1 ? { id } : { id, issuer: id.slice(0, slash), name: id.slice(slash + 1) };
}
