import { isRecord } from '../../pdp/external-json.ts';
import { type SubjectKind, type SubjectRef, subjectKey } from '../../pdp/subject-key.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';

type Identifier = Readonly<Record<string, unknown>>;

/** Members of a complex subject (SSF 1.0 §3.3) that are names of parties here. */
export type PartyMember = 'user' | 'device' | 'session' | 'tenant';

/** Whose names a stream uses: issuers of ours, by what they are names of. */
export interface SubjectNames {
  /** Names of our issuers for the `iss` of an identifier; none: it is nobody of ours. */
  issuersOf(iss: string, member: PartyMember): readonly string[];
  /** The same for identifiers that name no issuer. */
  issuersFor(member: PartyMember): readonly string[];
  /** Whether it may name workloads, by their SPIFFE IDs. */
  readonly workloads: boolean;
  /** Members that must be understood for an event to be taken (`critical_subject_members`, SSF 1.0 §7.1). */
  readonly critical: () => ReadonlySet<string>;
}

/** Whom an event is about. */
export interface EventSubject {
  /** One of these is meant, we do not know which: names of the same party. In each, all subjects together. */
  readonly alternatives: readonly (readonly SubjectRef[])[];
  /** Members that were not understood: the event is about less than `alternatives` say. */
  readonly ignored: readonly string[];
}

/** What becomes of a subject: `discard`: it is nobody that we could know; `malformed`: it is no subject. */
export type SubjectReading =
  { readonly subject: EventSubject } | { readonly discard: string } | { readonly malformed: string };

const MEMBERS: readonly PartyMember[] = ['user', 'device', 'session', 'tenant'];
const MAX_ALTERNATIVES = 32;
const MAX_ALIASES = 16;
const MAX_ID_BYTES = 255;

/** An identifier that its format does not allow. */
class MalformedSubject extends Error {}

/**
 * Reads a subject: an identifier (RFC 9493, SSF 1.0 §3.5), which is that of a party of the kind `usual`, or a complex subject (SSF 1.0 §3.3).
 * Members that are not there stand for anything. A member that is not understood is `ignored` where another is, and where it is not critical.
 */
export function readSubject(value: Identifier, usual: PartyMember, names: SubjectNames): SubjectReading {
  try {
    return value['format'] === 'complex' ? readComplex(value, names) : readSimple(value, usual, names);
  } catch (error) {
    if (error instanceof MalformedSubject) return { malformed: error.message };
    throw error;
  }
}

function readSimple(value: Identifier, member: PartyMember, names: SubjectNames): SubjectReading {
  const refs = refsOf(value, member, names);
  if (refs.length === 0) return { discard: 'the subject is not known here' };
  return { subject: { alternatives: refs.map((ref) => [ref]), ignored: [] } };
}

function readComplex(value: Identifier, names: SubjectNames): SubjectReading {
  const critical = names.critical();
  const ignored: string[] = [];
  let alternatives: readonly (readonly SubjectRef[])[] = [[]];
  for (const [name, identifier] of Object.entries(value)) {
    if (name === 'format') continue;
    const refs = refsOfMember(name, identifier, names);
    if (refs.length > 0) {
      alternatives = alternatives.flatMap((one) => refs.map((ref) => [...one, ref]));
      if (alternatives.length > MAX_ALTERNATIVES)
        throw new MalformedSubject('the subject has too many names');
    } else if (critical.has(name)) return { discard: 'a critical member of the subject is not understood' };
    else ignored.push(name);
  }
  if (alternatives.every((one) => one.length === 0))
    return { discard: 'no member of the subject is understood' };
  return { subject: { alternatives, ignored } };
}

function refsOfMember(name: string, identifier: unknown, names: SubjectNames): readonly SubjectRef[] {
  const member = MEMBERS.find((known) => known === name);
  if (member === undefined) return [];
  if (!isRecord(identifier)) throw new MalformedSubject(`the member ${member} is not an identifier`);
  if (identifier['format'] === 'complex')
    throw new MalformedSubject(`the member ${member} is a complex subject`);
  return refsOf(identifier, member, names);
}

/** The names of ours for one identifier; none where it is not understood. Each once. */
function refsOf(value: Identifier, member: PartyMember, names: SubjectNames): readonly SubjectRef[] {
  if (value['format'] !== 'aliases') return unique(readIdentifier(value, member, names));
  const { identifiers } = value;
  if (!Array.isArray(identifiers) || identifiers.length === 0 || identifiers.length > MAX_ALIASES)
    throw new MalformedSubject(`identifiers is not an array of 1 to ${MAX_ALIASES}`);
  return unique(
    identifiers.flatMap((identifier) => {
      // RFC 9493 §3.2.8: an alias is never of the format aliases, so that nothing nests.
      if (!isRecord(identifier) || identifier['format'] === 'aliases' || identifier['format'] === 'complex')
        throw new MalformedSubject('an alias is not a simple identifier');
      return readIdentifier(identifier, member, names);
    }),
  );
}

function unique(refs: readonly SubjectRef[]): readonly SubjectRef[] {
  return [...new Map(refs.map((ref) => [subjectKey(ref), ref])).values()];
}

const KIND_OF: Readonly<Record<PartyMember, SubjectKind>> = {
  user: 'user',
  device: 'device',
  session: 'session',
  tenant: 'tenant',
};

function readIdentifier(value: Identifier, member: PartyMember, names: SubjectNames): readonly SubjectRef[] {
  const named = (kind: SubjectKind, issuers: readonly string[], id: string): readonly SubjectRef[] =>
    issuers.map((issuer) => ({ kind, id: `${issuer}/${id}` }));
  const kind = KIND_OF[member];
  switch (text(value, 'format')) {
    case 'iss_sub':
      return named(kind, names.issuersOf(text(value, 'iss'), member), text(value, 'sub'));
    case 'jwt_id':
      return named('token', names.issuersOf(text(value, 'iss'), 'user'), text(value, 'jti'));
    case 'opaque':
      return named(kind, names.issuersFor(member), text(value, 'id'));
    case 'email':
      return member === 'user' ? named('email', names.issuersFor('user'), addressIn(value, 'email')) : [];
    case 'account':
      return member === 'user' ? named('email', names.issuersFor('user'), accountIn(value)) : [];
    case 'uri':
      return uriRefs(text(value, 'uri'), names.workloads, (id) => named(kind, names.issuersFor(member), id));
    // Nobody here has such names: phone_number, did, ip-addresses, saml_assertion_id, and what is not known at all.
    default:
      return [];
  }
}

function text(value: Identifier, member: string): string {
  const found = value[member];
  // oxlint-disable-next-line no-control-regex -- controls are what this keeps out
  if (typeof found === 'string' && /^[^\u0000-\u001f\u007f]+$/.test(found) && fits(found)) return found;
  throw new MalformedSubject(`${member} is not a string of 1 to ${MAX_ID_BYTES} bytes`);
}

function fits(id: string): boolean {
  return Buffer.byteLength(id) <= MAX_ID_BYTES;
}

/** The one spelling of an address here: providers treat the part before the `@` alike in any case. */
function addressIn(value: Identifier, member: string): string {
  const address = text(value, member).toLowerCase();
  if (/^[^@\s]+@[^@\s]+$/.test(address) && fits(address)) return address;
  throw new MalformedSubject(`${member} is not an address`);
}

/** RFC 9493 §3.2.1: `acct:user@host` (RFC 7565), which is the user's address as far as anybody here knows. */
function accountIn(value: Identifier): string {
  const uri = text(value, 'uri');
  if (!/^acct:/i.test(uri)) throw new MalformedSubject('uri is not an acct URI');
  return addressIn({ uri: uri.slice('acct:'.length) }, 'uri');
}

function uriRefs(
  uri: string,
  workloads: boolean,
  other: (id: string) => readonly SubjectRef[],
): readonly SubjectRef[] {
  if (!/^spiffe:/i.test(uri)) return other(uri);
  if (!workloads) return [];
  if ('invalid' in parseSpiffeId(uri)) throw new MalformedSubject('uri is not a SPIFFE ID');
  return [{ kind: 'workload', id: uri }];
}
