import type { SubjectRef } from '../../pdp/subject-key.ts';
import { uidText } from '../../pdp/evaluation.ts';
import { uidOf } from '../read/question.ts';
import type { Blob } from '../record/blob.ts';
import type { ControlFields, ControlKind } from '../record/control-record.ts';
import { type Pseudonyms, kindOfType } from './pseudonyms.ts';
import { createSaltedBlobs } from './salted-blobs.ts';

/** A control record without names. */
export interface PrivateControl {
  readonly fields: ControlFields;
  readonly blobs: readonly Blob[];
}

/** Takes people's names out of a control record; `about`: whom it is about. */
export type ControlPrivacy = (
  kind: ControlKind,
  fields: ControlFields,
  about: readonly SubjectRef[],
) => PrivateControl;

/**
 * How a text in a control record is written: as it is, as the pseudonym of a user, as that of the entity that it names, as a keyed hash; `workload`: as it
 * is where it is a SPIFFE ID, else withheld.
 */
type Rule = 'clear' | 'user' | 'entity' | 'hash' | 'workload';

const REVOCATION: Rules = rules('effect at until claims source stream event');
const GRANT: Rules = rules('grant change scope state expires_at granted_at', 'by actor user');

/** By kind, the texts that may be in a line; others are withheld. A kind that is not named here never holds a name. */
const RULES: Readonly<Partial<Record<ControlKind, Rules>>> = {
  revocation_changed: { ...REVOCATION, by: 'workload' },
  revocation_change_unconfirmed: { ...REVOCATION, by: 'workload' },
  security_event: REVOCATION,
  security_event_unconfirmed: REVOCATION,
  grant_changed: GRANT,
  grant_change_unconfirmed: GRANT,
  search: {
    ...rules('id found snapshot looked_at trace_id span_id', 'caller'),
    subject: 'entity',
    action: 'clear',
    resource: 'entity',
  },
  // What was asked for may name anybody, and nobody could find it to erase it.
  log_read: { ...rules('verb id note_id', 'os_user'), filter: 'hash' },
};

type Rules = Readonly<Record<string, Rule>>;

function rules(clear: string, users = ''): Rules {
  const named = (names: string, rule: Rule) =>
    names
      .split(' ')
      .filter((name) => name !== '')
      .map((name) => [name, rule] as const);
  return Object.fromEntries([...named(clear, 'clear'), ...named(users, 'user')]);
}

/** Makes what takes names out of control records. */
export function createControlPrivacy(pseudonyms: Pseudonyms): ControlPrivacy {
  const blobs = createSaltedBlobs(() => 0);
  return (kind, fields, about) => {
    const ruled = RULES[kind];
    if (!ruled) return { fields, blobs: [] };
    const { line, withheld, subjects } = split(fields, ruled, pseudonyms);
    for (const ref of about) if (pseudonyms.hides(ref.kind)) subjects.add(pseudonyms.of(ref.kind, ref.id));
    if (about.length > 0) line['subjects'] = wordsOf(about, pseudonyms);
    const blob =
      Object.keys(withheld).length === 0
        ? undefined
        : blobs.once('withheld', JSON.stringify(withheld), subjects);
    return {
      fields: { ...line, pseudonyms: pseudonyms.epoch, withheld: blob?.digest },
      blobs: blob ? [blob] : [],
    };
  };
}

function split(fields: ControlFields, ruled: Rules, pseudonyms: Pseudonyms) {
  const line: Record<string, string | number | boolean | undefined> = {};
  const withheld: Record<string, string> = {};
  const subjects = new Set<string>();
  for (const [name, value] of Object.entries(fields)) {
    const said = typeof value === 'string' ? textOf(value, ruled[name], pseudonyms, subjects) : value;
    if (said === undefined && typeof value === 'string') withheld[name] = value;
    else line[name] = said;
  }
  return { line, withheld, subjects };
}

/** `undefined`: the text is withheld. */
function textOf(
  text: string,
  rule: Rule | undefined,
  pseudonyms: Pseudonyms,
  subjects: Set<string>,
): string | undefined {
  if (rule === 'clear' || text === '') return text;
  if (rule === 'workload') return text.startsWith('spiffe://') ? text : undefined;
  if (rule === 'hash') return pseudonyms.of('text', text);
  const uid = rule === 'entity' ? uidOf(text) : undefined;
  const kind = rule === 'user' ? 'user' : kindOfType(uid?.type ?? text);
  // A search names only the type of what it looks for.
  const name = rule === 'user' ? text : uid?.id;
  if (name === undefined) return rule === 'entity' ? text : undefined;
  if (!pseudonyms.hides(kind) || name.startsWith('spiffe://')) return text;
  const pseudonym = pseudonyms.of(kind, name);
  subjects.add(pseudonym);
  return uid ? uidText({ type: uid.type, id: pseudonym }) : pseudonym;
}

function wordsOf(about: readonly SubjectRef[], pseudonyms: Pseudonyms): string {
  const words = about.map(
    ({ kind, id }) => `${kind} ${pseudonyms.hides(kind) ? pseudonyms.of(kind, id) : id}`,
  );
  return words.join(' with ');
}
