import { fitRecord, typeName } from '../../pdp/entities.ts';
import type { CedarRequest, CedarValue, EntityUid } from '../../pdp/evaluation.ts';
import { IP_FACTS } from '../../pdp/facts/ip-facts.ts';
import type { RecordShape } from '../../pdp/policy-snapshot.ts';
import type { Comparison } from './comparison.ts';
import type { Lack } from './lack.ts';
import type { Recorded } from './recorded.ts';
import { type Unknown, unknownContext } from './unknown.ts';

type Context = CedarRequest['context'];

/** The context of a question that is asked anew, and what of it is not in the log. */
export interface Circumstances {
  readonly context: Context;
  readonly unknowns: readonly Unknown[];
}

/** What circumstances are put together from. */
export interface CircumstanceParts {
  readonly comparison: Comparison;
  readonly recorded: Recorded;
  readonly question: CedarRequest;
  /** The action that it is about now, with the context that the new schema declares for it. */
  readonly action: EntityUid;
  readonly shape: RecordShape;
  /** What information points say now of the address; absent: what was recorded stands. */
  readonly ipFacts?: { readonly values: Context };
}

/**
 * The context as the new snapshot would have seen it: what was recorded, what the record tells otherwise (who took part, when, and by
 * which route), and for the rest of what it reads, that it is not known.
 */
export function circumstancesOf(parts: CircumstanceParts): Circumstances {
  const { comparison, question, shape, ipFacts } = parts;
  const { reads } = comparison.next;
  const { [IP_FACTS]: ipFactsThen, ...others } = question.context;
  const values: { [name: string]: CedarValue } = {
    ...others,
    ...(ipFacts?.values ?? (ipFactsThen !== undefined && { [IP_FACTS]: ipFactsThen })),
  };
  const told = toldBy(parts.recorded, question);
  const unknowns: Unknown[] = [];
  for (const lack of comparison.contextLacks(question.action, parts.action)) {
    const [name = ''] = lack.path;
    if (name === IP_FACTS && ipFacts) continue;
    if (isHeld(lack, values)) unknowns.push(...unknownOf(lack));
    else if (lack.path.length === 1 && !lack.ageing && !lack.ofMembers)
      unknowns.push(...fill(name, told, lack, values));
  }
  return { context: fitRecord(values, shape, reads.contextKeys, reads), unknowns };
}

/** Of what is not itself a key, only where what it is a part of is there. */
function isHeld({ path, ageing, ofMembers }: Lack, values: Context): boolean {
  if (path.length === 1 && !ofMembers)
    return ageing !== undefined && path[0] !== undefined && path[0] in values;
  let at: CedarValue | undefined = values;
  for (const name of ofMembers ? path : path.slice(0, -1))
    at = typeof at === 'object' && Object.hasOwn(at, name) ? (at as Context)[name] : undefined;
  return at !== undefined;
}

function unknownOf({ path, required }: Lack): readonly Unknown[] {
  return [unknownContext(path, required)];
}

function fill(
  name: string,
  told: Told,
  lack: Lack,
  values: { [name: string]: CedarValue },
): readonly Unknown[] {
  const known = told.get(name);
  if (known === undefined) return told.isWhole ? [] : unknownOf(lack);
  if (known === NOT_TOLD) return unknownOf(lack);
  if (known.value !== undefined) values[name] = known.value;
  return known.without.map((part) => unknownContext([name, part], false));
}

const NOT_TOLD = 'not told';

/** `value` absent: it was not there. `without`: parts of it that the record does not tell. */
interface Known {
  readonly value: CedarValue | undefined;
  readonly without: readonly string[];
}

interface Told {
  /** `undefined`: a key that we never set ourselves. */
  get(name: string): Known | typeof NOT_TOLD | undefined;
  /** Whether nobody but us sets keys: of a question about entities, the caller does. */
  readonly isWhole: boolean;
}

/** What the record tells of the keys that the context of every question has (`bind`). */
function toldBy(recorded: Recorded, { principal }: CedarRequest): Told {
  const { http, user, source, origin, device, mtls, timestamp } = recorded;
  const asserted = (type: string) => (principal.type === typeName(type) ? principal.id : undefined);
  const keys = new Map<string, Known | typeof NOT_TOLD>([
    ['mtls', mtls === undefined ? NOT_TOLD : whole(mtls)],
    ['now', whole(timestamp)],
    ['user', reference('User', user?.id ?? asserted('User'))],
    ['source', reference('Workload', source?.id ?? asserted('Workload'))],
    ['source_evidence', whole(source?.evidence)],
    ['origin', reference('Workload', origin?.id)],
    ['origin_evidence', whole(origin?.evidence)],
    ['device', reference('Device', device?.id)],
    ['device_evidence', whole(device?.evidence)],
    ['token', user ? NOT_TOLD : whole(undefined)],
    ['pep', recorded.pep === undefined ? whole(undefined) : NOT_TOLD],
    ['claimed_sources', NOT_TOLD],
    [IP_FACTS, NOT_TOLD],
  ]);
  if (!http) return { get: (name) => keys.get(name), isWhole: false };
  // The scheme is not recorded; it stands for whatever it was, for policies that do not read it.
  keys.set('http', { value: { ...http, scheme: '' }, without: ['scheme'] });
  for (const name of ['ip', 'sni', 'extensions', 'metadata']) keys.set(name, NOT_TOLD);
  return { get: (name) => keys.get(name), isWhole: true };
}

function whole(value: CedarValue | undefined): Known {
  return { value, without: [] };
}

function reference(type: string, id: string | undefined): Known {
  return whole(id === undefined ? undefined : { __entity: { type: typeName(type), id } });
}
