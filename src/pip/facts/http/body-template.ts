import { PLACEHOLDERS, type Placeholder, type SubjectParts } from './subject-parts.ts';

/** A JSON value whose strings may be placeholders. */
export type BodyTemplate =
  string | number | boolean | null | readonly BodyTemplate[] | { readonly [name: string]: BodyTemplate };

/** Which placeholders a body holds. Only whole strings are placeholders: text around one is text. */
export function placeholdersOf(template: BodyTemplate): ReadonlySet<Placeholder> {
  if (typeof template === 'string') return new Set(placeholderOf(template) ?? []);
  if (typeof template !== 'object' || template === null) return new Set();
  return new Set(Object.values(template).flatMap((part: BodyTemplate) => [...placeholdersOf(part)]));
}

/** The body for a subject as JSON text; `undefined` where its id lacks a part that the body needs. */
export function bodyFor(template: BodyTemplate, parts: SubjectParts): string | undefined {
  for (const placeholder of placeholdersOf(template)) if (parts[placeholder] === undefined) return undefined;
  return JSON.stringify(template, (_key, value: unknown) => {
    const [placeholder] = (typeof value === 'string' && placeholderOf(value)) || [];
    return placeholder === undefined ? value : parts[placeholder];
  });
}

function placeholderOf(text: string): readonly [Placeholder] | undefined {
  const placeholder = PLACEHOLDERS.find((name) => text === `{${name}}`);
  return placeholder && [placeholder];
}
