import { InputError } from '../../pdp/errors.ts';
import type { CedarEntity, CedarRequest, CedarValue, EntityUid } from '../../pdp/evaluation.ts';
import { isRecord } from '../../pdp/external-json.ts';

/** A value that a question did not have. */
export interface Change {
  /** `context.device.compliant`, as it was written. */
  readonly path: string;
  readonly value: CedarValue;
}

const PATH = /^(context|principal|resource)((?:\.[A-Za-z]\w*)+)$/;

/** Reads `context.device.score=10`: the value is JSON where it reads as JSON, else a text. Throws `InputError`. */
export function parseChange(text: string): Change {
  const at = text.indexOf('=');
  const path = at < 0 ? text : text.slice(0, at);
  if (at < 0 || !PATH.test(path))
    throw refused(text, 'write context.name=value, principal.name=value or resource.name=value');
  return { path, value: valueOf(text.slice(at + 1)) };
}

function valueOf(text: string): CedarValue {
  try {
    const value: unknown = JSON.parse(text);
    // Cedar knows no null; what else it does not know it refuses by itself.
    return value === null ? text : (value as CedarValue);
  } catch {
    return text;
  }
}

/**
 * A question with other values. A path leads through records, and through references to entities into their attributes: `context.device.managed`.
 * Throws `InputError` where it leads nowhere.
 */
export function changed(question: CedarRequest, changes: readonly Change[]): CedarRequest {
  return changes.reduce((before, change) => changedOnce(before, change), question);
}

function changedOnce(question: CedarRequest, { path, value }: Change): CedarRequest {
  const [root, ...names] = path.split('.');
  const work: Work = { entities: [...question.entities], path, value };
  if (root === 'context') {
    const context = put(question.context, names, work) as CedarRequest['context'];
    return { ...question, context, entities: work.entities };
  }
  putInEntity(root === 'principal' ? question.principal : question.resource, names, work);
  return { ...question, entities: work.entities };
}

interface Work {
  readonly entities: CedarEntity[];
  readonly path: string;
  readonly value: CedarValue;
}

function put(at: CedarValue | undefined, names: readonly string[], work: Work): CedarValue {
  const [name, ...rest] = names;
  if (name === undefined) return work.value;
  const members = at === undefined ? {} : membersOf(at);
  if (!members) throw refused(work.path, `there is no '${name}' in ${JSON.stringify(at)}`);
  const entity = uidIn(members['__entity']);
  if (entity && at !== undefined) {
    putInEntity(entity, names, work);
    return at;
  }
  const before = Object.hasOwn(members, name) ? members[name] : undefined;
  return { ...members, [name]: put(before, rest, work) };
}

type Members = Readonly<Record<string, CedarValue>>;

function membersOf(value: CedarValue): Members | undefined {
  return isRecord(value) ? (value as Members) : undefined;
}

function uidIn(value: CedarValue | undefined): EntityUid | undefined {
  const { type, id } = (value === undefined ? undefined : membersOf(value)) ?? {};
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}

function putInEntity(uid: EntityUid, names: readonly string[], work: Work): void {
  const at = work.entities.findIndex((one) => one.uid.type === uid.type && one.uid.id === uid.id);
  const entity = work.entities[at] ?? { uid, attrs: {}, parents: [] };
  const attrs = put(entity.attrs, names, work) as CedarEntity['attrs'];
  work.entities.splice(at < 0 ? work.entities.length : at, at < 0 ? 0 : 1, { ...entity, attrs });
}

function refused(where: string, message: string): InputError {
  return new InputError('bad usage:', [{ where: `--set ${where}`, message }]);
}
