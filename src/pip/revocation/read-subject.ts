import { isRecord } from '../../pdp/external-json.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { SUBJECT_KINDS, type SubjectKind, type SubjectRef } from '../../pdp/subject-key.ts';

/** Reads a SPIFFE ID of a workload. */
type ReadSpiffeId = (text: string) => WorkloadIdentity | { readonly invalid: string };

// oxlint-disable-next-line no-control-regex -- controls are what this keeps out
const NAMED_BY_ISSUER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\/[^\u0000-\u001f\u007f]{1,255}$/;
/** What comes with an id that is copied from a page or a chat, and that nobody sees. */
const UNSEEN = /^[^/]*\/\s|\s$|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0]/u;

const ID_WORDS: Readonly<Record<Exclude<SubjectKind, 'workload'>, string>> = {
  user: 'sub',
  email: 'address',
  session: 'sid',
  token: 'jti',
  device: 'id',
  tenant: 'tenant',
};

/** A subject as people write it, `kind` and `id` of an object; or what is wrong with it. Addresses become lower case. */
export function readSubject(
  value: unknown,
  readSpiffeId: ReadSpiffeId,
): SubjectRef | { readonly problem: string } {
  if (!isRecord(value)) return { problem: 'is not an object' };
  const { kind, id } = value;
  if (!isKind(kind)) return { problem: `needs a 'kind' among ${SUBJECT_KINDS.join(', ')}` };
  if (typeof id !== 'string' || !id.isWellFormed()) return { problem: "needs an 'id', which is text" };
  if (kind === 'workload') {
    const workload = readSpiffeId(id);
    return 'invalid' in workload
      ? { problem: `has an 'id' that is no SPIFFE ID: ${workload.invalid}` }
      : { kind, id };
  }
  if (!NAMED_BY_ISSUER.test(id))
    return { problem: `has an 'id' that is not <issuer name>/<${ID_WORDS[kind]}>` };
  if (UNSEEN.test(id))
    return { problem: "has an 'id' with a space at an end, or a character that nobody sees" };
  // No token has another: it would revoke nobody.
  if (kind === 'user' && !/^[ -~]+$/.test(id))
    return { problem: "has an 'id' with a character that no 'sub' has: it is printable ASCII" };
  if (kind !== 'email') return { kind, id };
  const slash = id.indexOf('/');
  return { kind, id: `${id.slice(0, slash)}${id.slice(slash).toLowerCase()}` };
}

function isKind(value: unknown): value is SubjectKind {
  return SUBJECT_KINDS.includes(value as SubjectKind);
}
