import { typeName } from '../../pdp/entities.ts';
import { type EntityUid, uidText } from '../../pdp/evaluation.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import type { RecordFields } from '../record/record-privacy.ts';
import { type Pseudonyms, kindOfType } from './pseudonyms.ts';

/** What a rule looks at beside the member itself. */
export interface RuleParts {
  readonly trace: DecisionTrace;
  readonly pseudonyms: Pseudonyms;
}

/** A member as the line has it, and what of it is withheld; neither: nothing is said. */
interface Ruled {
  readonly clear?: unknown;
  readonly withheld?: unknown;
}

type Rule = (value: unknown, parts: RuleParts) => Ruled;

const clear: Rule = (value) => ({ clear: value });
const withheld: Rule = (value) => ({ withheld: value });

/** What is ours, the deployment's, or of a closed set: nobody's name. */
const IMPERSONAL = (
  'decision_id timestamp decision enforced shadow_of explained batch reason message cause policies policy_errors stage surface ' +
  'source_identity origin_identity destination_identity mtls action binding question entities pip accepts_tokens snapshot engine ' +
  'cache http_status trace_id span_id cluster region latency_us truncated'
).split(' ');

/** Every member that may be in a line, in any form. What is not named here is withheld. */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...IMPERSONAL.map((name) => [name, clear] as const),
  // Names of properties are anybody's words where the question was refused.
  ['asserted', (value, { trace }) => (trace.cedar ? { clear: value } : { withheld: value })],
  // What could not be brought into its canonical form may be any text.
  ['method', (value, { trace }) => (trace.canonical ? { clear: value } : { withheld: value })],
  ['host', (value, { trace }) => (trace.canonical ? { clear: value } : { withheld: value })],
  ['user', (value, parts) => named('user', provenOf(parts.trace)?.user?.id, value, parts)],
  ['device', deviceRule],
  ['token', tokenRule],
  ['principal', (value, parts) => uidRule(parts.trace.cedar?.principal, value, parts)],
  ['resource', (value, parts) => uidRule(parts.trace.cedar?.resource, value, parts)],
  // A certificate or a token may be a person's own.
  ['source_certificate', (value, parts) => named('certificate', String(value), value, parts)],
  ['evidence', (value, parts) => named('evidence', String(value), value, parts)],
  ['pep', pepRule],
]);

/** Splits the members of a record into those that the line has and those that it does not. */
export function clearOf(
  fields: RecordFields,
  parts: RuleParts,
): { readonly clear: RecordFields; readonly withheld: RecordFields } {
  const said: Record<string, unknown> = {};
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const ruled = (RULES.get(name) ?? withheld)(value, parts);
    if (ruled.clear !== undefined) said[name] = ruled.clear;
    if (ruled.withheld !== undefined) kept[name] = ruled.withheld;
  }
  return { clear: said, withheld: kept };
}

function provenOf({ identities, refused }: DecisionTrace) {
  return identities ?? refused?.proven;
}

/** Fingerprints lead to whoever holds the thing, whatever kinds are hidden. */
const ALWAYS: ReadonlySet<string> = new Set(['certificate', 'evidence']);

/** `id` is the whole one, where the member holds it cut. */
function named(kind: string, id: string | undefined, value: unknown, { pseudonyms }: RuleParts): Ruled {
  if (id === undefined) return { withheld: value };
  return { clear: ALWAYS.has(kind) || pseudonyms.hides(kind) ? pseudonyms.of(kind, id) : value };
}

function deviceRule(value: unknown, parts: RuleParts): Ruled {
  if (!isRecord(value)) return { withheld: value };
  return {
    clear: { ...value, id: named('device', provenOf(parts.trace)?.device?.id, value['id'], parts).clear },
  };
}

function tokenRule(value: unknown, { trace, pseudonyms }: RuleParts): Ruled {
  const token = provenOf(trace)?.user?.token;
  if (!isRecord(value)) return { withheld: value };
  if (!token || !pseudonyms.hides('user')) return { clear: value };
  const { issuer, tokenId, actors } = token;
  return {
    clear: {
      ...value,
      // `user` says who, in one word with the issuer.
      sub: undefined,
      jti: tokenId === undefined ? undefined : pseudonyms.of('token', `${issuer}/${tokenId}`),
      act: actors?.slice(0, 8).map((actor) => pseudonyms.of('user', actor)),
    },
  };
}

const ENDPOINT = typeName('Endpoint');

function uidRule(uid: EntityUid | undefined, value: unknown, { pseudonyms }: RuleParts): Ruled {
  if (!uid) return { withheld: value };
  const kind = kindOfType(uid.type);
  // An endpoint is a path, and a path may name anybody.
  if (uid.type !== ENDPOINT && !pseudonyms.hides(kind)) return { clear: value };
  return { clear: uidText({ type: uid.type, id: pseudonyms.of(kind, uid.id) }) };
}

/** A workload or an application; its network address may be a person's. */
function pepRule(value: unknown): Ruled {
  if (!isRecord(value)) return { withheld: value };
  const { address, ...who } = value;
  const said = Object.values(who).some((member) => member !== undefined);
  return { ...(said && { clear: who }), ...(address !== undefined && { withheld: { address } }) };
}
