import { isRecord } from '../../pdp/external-json.ts';
import { GRANT_STATES, type GrantFilter, type GrantState, type GrantWish } from '../../pdp/grant.ts';

/** What is wrong with what was sent, in words for whoever sent it. */
export interface Unreadable {
  readonly problem: string;
}

type Fields = Readonly<Record<string, unknown>>;
type Kind = 'string' | 'boolean' | 'number' | 'string?' | 'boolean?';

/** Reads the body of a request for a grant. */
export function readWish(body: unknown): GrantWish | Unreadable {
  const fields = readFields(body, {
    scope: 'string',
    duration_s: 'number',
    justification: 'string',
    ticket: 'string?',
    break_glass: 'boolean?',
  });
  if ('problem' in fields) return fields as Unreadable;
  const { scope, duration_s: durationS, justification, ticket, break_glass: breakGlass = false } = fields;
  return {
    scope: scope as string,
    durationS: durationS as number,
    justification: justification as string,
    breakGlass: breakGlass as boolean,
    ...(ticket !== undefined && { ticket: ticket as string }),
  };
}

/** Reads a body that may hold a reason, or where `needed` must. */
export function readReason(body: unknown, needed: boolean): { readonly reason?: string } | Unreadable {
  return readFields(body ?? {}, { reason: needed ? 'string' : 'string?' });
}

/** Reads a body that holds nothing. */
export function readNothing(body: unknown): object | Unreadable {
  return readFields(body ?? {}, {});
}

/** Reads the query of a list. */
export function readFilter(query: unknown): GrantFilter | Unreadable {
  const fields = readFields(query, { all: 'string?', user: 'string?', state: 'string?' });
  if ('problem' in fields) return fields as Unreadable;
  const { all = 'false', user, state } = fields as Readonly<Record<string, string | undefined>>;
  if (all !== 'true' && all !== 'false') return { problem: "'all' must be true or false" };
  if (state !== undefined && !isState(state))
    return { problem: `'state' must be one of ${GRANT_STATES.join(', ')}` };
  return {
    all: all === 'true' || user !== undefined,
    ...(user !== undefined && { user }),
    ...(state !== undefined && { state }),
  };
}

function isState(text: string): text is GrantState {
  return (GRANT_STATES as readonly string[]).includes(text);
}

function readFields(value: unknown, kinds: Readonly<Record<string, Kind>>): Fields | Unreadable {
  if (!isRecord(value)) return { problem: 'the body must be a JSON object' };
  const unknown = Object.keys(value).find((name) => !Object.hasOwn(kinds, name));
  if (unknown !== undefined) {
    const known = Object.keys(kinds).join(', ');
    return { problem: known === '' ? 'nothing is expected here' : `only these are expected: ${known}` };
  }
  for (const [name, kind] of Object.entries(kinds)) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (given === undefined && kind.endsWith('?')) continue;
    const type = kind.replace('?', '');
    if (given === undefined) return { problem: `'${name}' is missing` };
    if (typeof given !== type) return { problem: `'${name}' must be a ${type}` };
  }
  return value;
}
