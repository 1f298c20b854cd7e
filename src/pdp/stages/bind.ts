import type { AttributeRecord } from '../attribute.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { EntityStore, addWorkload, factsAbout, fitNested, fitRecord, typeName } from '../entities.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { type CedarValue, type EntityUid, uidText } from '../evaluation.ts';
import { externalJsonProblem, toAttributeValue } from '../external-json.ts';
import type { UserIdentity } from '../identity.ts';
import { canonicalIp } from '../ip-address.ts';
import type { RecordShape } from '../policy-snapshot.ts';
import type { Bound, Informed } from '../trace.ts';

type ContextValues = { readonly [name: string]: CedarValue | undefined };

/**
 * Puts the question in Cedar's terms. Action and resource are those of the binding that the request met, else of the default
 * binding: HTTP method, and the endpoint in its service. Principal = the user, else the workload, else `Anonymous`; the context
 * carries every verified identity.
 */
export function bind(informed: Informed): Bound | Refusal {
  const { canonical, snapshot, route } = informed;
  const action: EntityUid = route?.action ?? { type: typeName('Action'), id: canonical.method };
  const shape = snapshot.contextShape(action);
  if (!shape) return refuse('no_binding', `no binding and no default matches ${canonical.method}`);
  const metadata = readMetadata(informed, shape);
  if (isRefusal(metadata)) return metadata;
  const store = new EntityStore(snapshot);
  const { principal, context } = addParties(informed, store);
  if (!snapshot.appliesTo(action, principal.type)) {
    const reason = principal.type === typeName('Anonymous') ? 'authentication_required' : 'no_permit';
    return refuse(reason, `${uidText(action)} does not apply to a principal of type ${principal.type}`);
  }
  const resource = route ? addBound(route, informed, store) : addEndpoint(informed, store);
  return {
    ...informed,
    cedar: {
      principal,
      action,
      resource,
      context: fitRecord({ ...context, ...metadata }, shape, snapshot.reads.contextKeys, snapshot.reads),
      entities: store.list(),
    },
    inputsValidUntil: validUntil(informed),
  };
}

function addParties(
  informed: Informed,
  store: EntityStore,
): { principal: EntityUid; context: ContextValues } {
  const { identities, facts, request, canonical } = informed;
  const source = identities.source && addWorkload(store, identities.source, factsAbout(facts, 'workload'));
  const user = identities.user && addUser(identities.user, informed, store);
  const device = identities.device && addDevice(informed, store);
  const principal = user ?? source ?? store.add({ type: typeName('Anonymous'), id: 'anonymous' }, {}, []);
  const ip = request.source.ip === undefined ? undefined : canonicalIp(request.source.ip);
  const context: ContextValues = {
    mtls: identities.source !== undefined,
    source: source && { __entity: source },
    user: user && { __entity: user },
    device: device && { __entity: device },
    token: identities.user && tokenRecord(identities.user),
    http: {
      method: canonical.method,
      path: canonical.path,
      host: canonical.host,
      scheme: request.http.scheme.toLowerCase(),
    },
    ip,
    sni: request.sni === '' ? undefined : request.sni,
    now: new Date(informed.receivedAt).toISOString(),
    extensions: Object.fromEntries(request.contextExtensions),
  };
  return { principal, context };
}

function addUser(user: UserIdentity, { facts }: Informed, store: EntityStore): EntityUid {
  const { attributes, groups } = factsAbout(facts, 'user');
  const { token } = user;
  // Issuers name their groups as they like; only together with the issuer's name is a name unique.
  const tokenGroups = token.groups.map((group) => ({
    type: typeName('Group'),
    id: `${token.issuer}/${group}`,
  }));
  const uid = { type: typeName('User'), id: user.id };
  return store.add(uid, { ...attributes, issuer: token.issuer, subject: token.subject }, [
    ...groups,
    ...tokenGroups,
  ]);
}

function addDevice(informed: Informed, store: EntityStore): EntityUid {
  const { groups } = factsAbout(informed.facts, 'device');
  const id = informed.identities.device?.id ?? '';
  return store.add({ type: typeName('Device'), id }, devicePosture(informed), groups);
}

/** What was observed last goes before what was observed earlier: an assertion may be old by the time it is shown. */
function devicePosture({ identities, facts }: Informed): AttributeRecord {
  const { posture = {}, observedAt = 0 } = identities.device ?? {};
  const layers = facts
    .filter(({ subject }) => subject === 'device')
    .map((fact) => ({ at: fact.observedAt, attributes: fact.attributes }));
  layers.push({ at: observedAt, attributes: posture });
  return Object.assign(
    {},
    ...layers.sort((a, b) => a.at - b.at).map(({ attributes }) => attributes),
  ) as AttributeRecord;
}

function tokenRecord({ token }: UserIdentity): CedarValue {
  return {
    ...token.claims,
    issuer: token.issuer,
    audience: [...token.audiences],
    expires_at: token.expiresAt,
  };
}

/**
 * What an information point or the policy set knows about the object goes before what the request says about it: a path is the
 * client's word. What an information point should know is not taken from the path even where it does not answer.
 */
function addBound(
  { resource }: BindingMatch,
  { facts, omissions, snapshot }: Informed,
  store: EntityStore,
): EntityUid {
  const { pip, uid } = resource;
  const asked = [...facts, ...omissions].filter(({ subject }) => subject === pip);
  const fixed = snapshot.staticEntity(uidText(uid));
  const known = new Set([...Object.keys(fixed?.attrs ?? {}), ...asked.flatMap(({ gives }) => gives)]);
  const said = Object.entries(resource.attributes).filter(([name]) => !known.has(name));
  const found = pip === undefined ? {} : factsAbout(facts, pip).attributes;
  return store.add(uid, { ...Object.fromEntries(said), ...found }, fixed ? [] : resource.parents);
}

function addEndpoint({ identities, canonical }: Informed, store: EntityStore): EntityUid {
  const service = identities.destination?.id ?? canonical.host;
  const serviceUid = store.add({ type: typeName('Service'), id: service }, { host: canonical.host }, []);
  // Neither half can hold a space, so no two pairs share an id.
  const uid = { type: typeName('Endpoint'), id: `${service} ${canonical.path}` };
  return store.add(uid, { path: canonical.path, host: canonical.host }, [serviceUid]);
}

/** The PEP's filter metadata by namespace, only where the schema asks for it: other filters and clients have written it. */
function readMetadata({ request, snapshot }: Informed, shape: RecordShape): ContextValues | Refusal {
  const { reads } = snapshot;
  const declared = shape.fields.get('metadata')?.record;
  if (!declared || !reads.contextKeys.has('metadata')) return {};
  const json = Object.fromEntries(request.metadata);
  const problem = externalJsonProblem(json);
  if (problem !== undefined) return refuse('attribute_refused', `the metadata context ${problem}`);
  // Reduced first: a fraction in a claim that no policy reads is nobody's problem.
  const metadata = toAttributeValue(fitNested('metadata', json as AttributeRecord, declared, reads));
  return metadata === undefined
    ? refuse('attribute_refused', 'the metadata context holds what Cedar has no value for')
    : { metadata };
}

function validUntil({ identities, facts }: Informed): number {
  const ends = facts.map((fact) => fact.freshUntil);
  if (identities.user) ends.push(identities.user.token.expiresAt * 1000);
  if (identities.device?.freshUntil !== undefined) ends.push(identities.device.freshUntil);
  return Math.min(Number.POSITIVE_INFINITY, ...ends);
}
