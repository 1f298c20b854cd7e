import type { AttributeRecord } from '../attribute.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { EntityStore, addWorkload, factsAbout, fitNested, fitRecord, typeName } from '../entities.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { type CedarValue, type EntityUid, uidText } from '../evaluation.ts';
import { externalJsonProblem, toAttributeValue } from '../external-json.ts';
import { type UserIdentity, type WorkloadIdentity, isMutualTls } from '../identity.ts';
import { canonicalIp } from '../ip-address.ts';
import type { RecordShape } from '../policy-snapshot.ts';
import type { Asked, Authentication, Bound, Informed, Information, Received } from '../trace.ts';
import { addAsserted, saidContext, withoutKnown } from './bind-asserted.ts';

type InformedRequest = Received & Authentication & Information;
type InformedQuestion = Asked & Authentication & Information;
type ContextValues = { readonly [name: string]: CedarValue | undefined };

/** What the two kinds of question differ in. */
interface Terms {
  readonly action: EntityUid;
  /** Why there is no such action. */
  readonly unbound: string;
  /** What the context holds beside the parties; wrapped, since what a caller asserts may look like a refusal. */
  context(shape: RecordShape, parties: ContextValues): { readonly values: ContextValues } | Refusal;
  addResource(store: EntityStore): EntityUid;
}

/**
 * Puts the question in Cedar's terms. A question about entities names its action and resource. Those of a request are its binding's,
 * else the default binding's: HTTP method, and the endpoint in its service. Principal = the subject that was asserted, else the user,
 * else the workload, else `Anonymous`; the context carries every verified identity.
 */
export function bind(informed: Informed): Bound | Refusal {
  const { snapshot } = informed;
  const { action, unbound, ...terms } = informed.asked ? questionTerms(informed) : requestTerms(informed);
  const shape = snapshot.contextShape(action);
  if (!shape) return refuse('no_binding', unbound);
  const store = new EntityStore(snapshot);
  const { principal, parties } = addParties(informed, store);
  const circumstances = terms.context(shape, parties);
  if (isRefusal(circumstances)) return circumstances;
  if (!snapshot.appliesTo(action, principal.type)) {
    const reason = principal.type === typeName('Anonymous') ? 'authentication_required' : 'no_permit';
    return refuse(reason, `${uidText(action)} does not apply to a principal of type ${principal.type}`);
  }
  const resource = terms.addResource(store);
  const context = { ...circumstances.values, ...parties };
  return {
    ...informed,
    cedar: {
      principal,
      action,
      resource,
      context: fitRecord(context, shape, snapshot.reads.contextKeys, snapshot.reads),
      entities: store.list(),
    },
    inputsValidUntil: validUntil(informed),
  };
}

function requestTerms(informed: InformedRequest): Terms {
  const { canonical, route } = informed;
  return {
    action: route?.action ?? { type: typeName('Action'), id: canonical.method },
    unbound: `no binding and no default matches ${canonical.method}`,
    context(shape) {
      const metadata = readMetadata(informed, shape);
      return isRefusal(metadata) ? metadata : { values: { ...requestContext(informed), ...metadata } };
    },
    addResource: (store) => (route ? addBound(route, informed, store) : addEndpoint(informed, store)),
  };
}

function questionTerms(informed: InformedQuestion): Terms {
  const { action, context, resource } = informed.asked;
  return {
    action,
    unbound: `the schema has no action ${uidText(action)}, or it applies to nothing`,
    context: (_shape, parties) => saidContext(context, parties),
    addResource: (store) => addAsserted(resource, informed, store),
  };
}

/** Adds who takes part. Every key that the verified parties may have in the context is there, if only as undefined. */
function addParties(
  informed: Informed,
  store: EntityStore,
): { principal: EntityUid; parties: ContextValues } {
  const { identities, facts, asked } = informed;
  const { source: workload } = identities;
  const proven = workload && addWorkload(store, workload, factsAbout(facts, 'workload', workload.id));
  const device = identities.device && addDevice(informed, store);
  const verified = identities.user && addUser(identities.user, informed, store);
  const asserted = asked?.subject && addAsserted(asked.subject, informed, store);
  const assertedAs = (type: string) => (asserted?.type === typeName(type) ? asserted : undefined);
  const user = verified ?? assertedAs('User');
  const source = proven ?? assertedAs('Workload');
  const principal =
    asserted ?? user ?? source ?? store.add({ type: typeName('Anonymous'), id: 'anonymous' }, {}, []);
  const parties: ContextValues = {
    mtls: isMutualTls(workload),
    source: source && { __entity: source },
    source_evidence: workload?.evidence,
    ...addFurtherWorkloads(informed, store),
    user: user && { __entity: user },
    device: device && { __entity: device },
    device_evidence: identities.device?.evidence,
    token: identities.user && tokenRecord(identities.user),
    now: new Date(informed.receivedAt).toISOString(),
  };
  return { principal, parties };
}

/** The workloads that only some policies ask for: where none does, their entities would but make equal questions differ. */
function addFurtherWorkloads(
  { identities, pep, facts, snapshot }: Informed,
  store: EntityStore,
): ContextValues {
  const { contextKeys } = snapshot.reads;
  const add = (key: string, workload: WorkloadIdentity | undefined) =>
    workload && contextKeys.has(key)
      ? { __entity: addWorkload(store, workload, factsAbout(facts, 'workload', workload.id)) }
      : undefined;
  return {
    origin: add('origin', identities.origin),
    origin_evidence: identities.origin?.evidence,
    pep: add('pep', pep.workload),
    claimed_sources: identities.claimedSources,
  };
}

function requestContext({ request, canonical }: InformedRequest): ContextValues {
  return {
    http: {
      method: canonical.method,
      path: canonical.path,
      host: canonical.host,
      scheme: request.http.scheme.toLowerCase(),
    },
    ip: request.source.ip === undefined ? undefined : canonicalIp(request.source.ip),
    sni: request.sni === '' ? undefined : request.sni,
    extensions: Object.fromEntries(request.contextExtensions),
  };
}

function addUser(user: UserIdentity, { facts }: Informed, store: EntityStore): EntityUid {
  const { attributes, groups } = factsAbout(facts, 'user', user.id);
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
  const id = informed.identities.device?.id ?? '';
  const { groups } = factsAbout(informed.facts, 'device', id);
  return store.add({ type: typeName('Device'), id }, devicePosture(informed), groups);
}

/** What was observed last goes before what was observed earlier: an assertion may be old by the time it is shown. */
function devicePosture({ identities, facts }: Informed): AttributeRecord {
  const { posture = {}, observedAt = 0 } = identities.device ?? {};
  const layers = facts
    .filter(({ subject, subjectId }) => subject === 'device' && subjectId === identities.device?.id)
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
    bound: token.confirmation !== undefined,
    ...(token.clientId !== undefined && { client_id: token.clientId }),
    ...(token.actors?.[0] !== undefined && { actor: token.actors[0], actors: [...token.actors] }),
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
  const about = [...facts, ...omissions].filter(
    ({ subject, subjectId }) => subject === pip && subjectId === uid.id,
  );
  const fixed = snapshot.staticEntity(uidText(uid));
  const said = withoutKnown(resource.attributes, fixed, about);
  const found = pip === undefined ? {} : factsAbout(facts, pip, uid.id).attributes;
  return store.add(uid, { ...said, ...found }, fixed ? [] : resource.parents);
}

function addEndpoint({ identities, canonical }: InformedRequest, store: EntityStore): EntityUid {
  const service = identities.destination?.id ?? canonical.host;
  const serviceUid = store.add({ type: typeName('Service'), id: service }, { host: canonical.host }, []);
  // Neither half can hold a space, so no two pairs share an id.
  const uid = { type: typeName('Endpoint'), id: `${service} ${canonical.path}` };
  return store.add(uid, { path: canonical.path, host: canonical.host }, [serviceUid]);
}

/** The PEP's filter metadata by namespace, only where the schema asks for it: other filters and clients have written it. */
function readMetadata({ request, snapshot }: InformedRequest, shape: RecordShape): ContextValues | Refusal {
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
  for (const workload of [identities.source, identities.origin])
    if (workload?.provenUntil !== undefined) ends.push(workload.provenUntil);
  if (identities.device?.freshUntil !== undefined) ends.push(identities.device.freshUntil);
  return Math.min(Number.POSITIVE_INFINITY, ...ends);
}
