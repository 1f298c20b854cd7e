import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { EntityUid } from '../../pdp/evaluation.ts';

const TYPE = /^(?:[A-Za-z_][A-Za-z0-9_]*::)*[A-Za-z_][A-Za-z0-9_]*$/;
const QUALIFIED_ACTION = /^((?:[A-Za-z_][A-Za-z0-9_]*::)*Action)::("(?:[^"\\]|\\.)*")$/s;
/** Longest type or id that is asked about, in UTF-16 units: what a record holds whole. */
const MAX_NAME_LENGTH = 1024;

/** Resolves the names that callers use; those without `::` are of the `namespace`, '' being the one without a name. */
export class Names {
  readonly #prefix: string;

  constructor(namespace: string) {
    this.#prefix = namespace === '' ? '' : `${namespace}::`;
  }

  /** An entity type in full. */
  type(name: string): string {
    return name.includes('::') ? name : `${this.#prefix}${name}`;
  }

  /** The entity that `what` names; `request_malformed` where it names none. */
  entity(what: string, type: string, id: string): EntityUid | Refusal {
    if (!TYPE.test(type) || type.length > MAX_NAME_LENGTH)
      return refuse('request_malformed', `${what}.type is not the name of an entity type`);
    return checkedId(`${what}.id`, { type: this.type(type), id });
  }

  /** The action of a name: `Type::Action::"id"`, or an id. `request_malformed` where it is none. */
  action(name: string): EntityUid | Refusal {
    const [, type, quoted] = QUALIFIED_ACTION.exec(name) ?? [];
    if (type === undefined || quoted === undefined)
      return checkedId('action.name', { type: `${this.#prefix}Action`, id: name });
    const id = unquoted(quoted);
    return id === undefined
      ? refuse('request_malformed', 'action.name holds an escape that JSON strings do not have')
      : checkedId('action.name', { type, id });
  }
}

function checkedId(what: string, uid: EntityUid): EntityUid | Refusal {
  if (uid.id === '') return refuse('request_malformed', `${what} is missing`);
  if (uid.id.length > MAX_NAME_LENGTH)
    return refuse('request_malformed', `${what} is longer than ${MAX_NAME_LENGTH} characters`);
  return uid;
}

function unquoted(text: string): string | undefined {
  try {
    return String(JSON.parse(text));
  } catch {
    return undefined;
  }
}
