/**
 * What security events may say about a user or a device, by attribute name. Names in one row are one fact: they are told together, and
 * a later event replaces all of them.
 */
export const EVENT_ATTRIBUTES = {
  user: [['risk'], ['assurance_namespace', 'assurance_level']],
  device: [['compliant'], ['managed'], ['risk']],
} as const satisfies Readonly<Record<'user' | 'device', readonly (readonly string[])[]>>;

/** The rows of {@link EVENT_ATTRIBUTES} for one kind of subject. */
export function factGroups(kind: keyof typeof EVENT_ATTRIBUTES): readonly (readonly string[])[] {
  return EVENT_ATTRIBUTES[kind];
}
