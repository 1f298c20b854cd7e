/** Kinds of subjects that can be revoked, and that security events are about. */
export const SUBJECT_KINDS = ['user', 'email', 'session', 'token', 'device', 'workload', 'tenant'] as const;

/** One of {@link SUBJECT_KINDS}. */
export type SubjectKind = (typeof SUBJECT_KINDS)[number];

/** One subject by name. */
export interface SubjectRef {
  readonly kind: SubjectKind;
  /**
   * `user`: `<issuer name>/<sub>`; `email`: `<issuer name>/<address in lower case>`; `session`: `<issuer name>/<sid>`; `token`:
   * `<issuer name>/<jti>`; `device`: `<issuer name>/<id>`; `workload`: the SPIFFE ID; `tenant`: `<issuer name>/<tenant>`.
   */
  readonly id: string;
}

/** The key of one subject: typed, and with the length of the id before it, so that no two subjects share one. */
export function subjectKey({ kind, id }: SubjectRef): string {
  return `${kind}:${Buffer.byteLength(id)}:${id}`;
}

/** The key of several subjects together, whatever their order. */
export function subjectsKey(subjects: readonly SubjectRef[]): string {
  return [...new Set(subjects.map(subjectKey))].sort().join('&');
}
