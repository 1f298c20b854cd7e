import type { AttributeRecord } from '../attribute.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { EntityStore, addEndpoint, addWorkload, fitNamed, fitRecord, typeName } from '../entities.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { type CedarValue, type EntityUid, uidText } from '../evaluation.ts';
import { externalJsonProblem, toAttributeValue } from '../external-json.ts';
import { IP_FACTS } from '../facts/ip-facts.ts';
import { Knowledge } from '../facts/knowledge.ts';
import { addressOf } from '../facts/subjects.ts';
import { type DeviceIdentity, type UserIdentity, type WorkloadIdentity, isMutualTls } from '../identity.ts';
import type { RecordShape } from '../policy-snapshot.ts';
import { actionOf } from '../route.ts';
import type { Asked, Authentication, Bound, Informed, Information, Received } from '../trace.ts';
import { type Parts, addAsserted, saidContext, withoutKnown } from './bind-asserted.ts';

type InformedRequest = Received & Authentication & Information;
type InformedQuestion = Asked & Authentication & Information;
type ContextValues = { readonly [name: string]: CedarValue | undefined };

/** What the two kinds of question differ in. */
interface Terms {
  /** Why there is no such action. */
  readonly unbound: string;
  /** What the context holds beside the parties; wrapped, since what a caller asserts may look like a refusal. */
  context(shape: RecordShape, parties: ContextValues): { readonly values: ContextValues } | Refusal;
  addResource(): EntityUid;
}

/**
 * Puts the question in Cedar's terms. A question about entities names its action and resource. Those of a request are its binding's,
 * else the default binding's: HTTP method, and the endpoint in its service. Principal = the subject that was asserted, else the user,
 * else the workload, else `Anonymous`; the context carries every verified identity.
 */
export function bind(informed: Informed): Bound | Refusal {
  const { snapshot } = informed;
  const parts: Parts = { store: new EntityStore(snapshot), knowledge: new Knowledge(informed) };
  const action = actionOf(informed, informed.route);
  const terms = informed.asked ? questionTerms(informed, parts) : requestTerms(informed, parts);
  const shape = snapshot.contextShape(action);
  if (!shape) return refuse('no_binding', terms.unbound);
  const { principal, parties } = addParties(informed, shape, parts);
  const circumstances = terms.context(shape, parties);
  if (isRefusal(circumstances)) return circumstances;
  if (!snapshot.appliesTo(action, principal.type)) {
    const reason = principal.type === typeName('Anonymous') ? 'authentication_required' : 'no_permit';
    return refuse(reason, `${uidText(action)} does not apply to a principal of type ${principal.type}`);
  }
  const resource = terms.addResource();
  const context = fitRecord(
    { ...circumstances.values, ...parties },
    shape,
    snapshot.reads.contextKeys,
    snapshot.reads,
  );
  const { refusal } = parts.knowledge;
  if (refusal) return refusal;
  const postureLeftOut = parts.knowledge.postureLeftOut();
  return {
    ...informed,
    facts: parts.knowledge.facts(),
    ...(postureLeftOut && { postureLeftOut }),
    cedar: { principal, action, resource, context, entities: parts.store.list() },
    inputsValidUntil: Math.min(parts.knowledge.validUntil, validUntil(informed)),
  };
}

function requestTerms(informed: InformedRequest, parts: Parts): Terms {
  const { canonical, identities, route } = informed;
  return {
    unbound: `no binding and no default matches ${canonical.method}`,
    context(shape) {
      const metadata = readMetadata(informed, shape);
      return isRefusal(metadata) ? metadata : { values: { ...requestContext(informed), ...metadata } };
    },
    addResource: () =>
      route
        ? addBound(route, informed, parts)
        : addEndpoint(parts.store, { ...canonical, service: identities.destination?.id ?? canonical.host }),
  };
}

function questionTerms(informed: InformedQuestion, parts: Parts): Terms {
  const { action, context, resource } = informed.asked;
  return {
    unbound: `the schema has no action ${uidText(action)}, or it applies to nothing`,
    context: (_shape, parties) => saidContext(context, parties),
    addResource: () => addAsserted(resource, informed, parts),
  };
}

/** Adds who takes part. Every key that the verified parties may have in the context is there, if only as undefined. */
function addParties(
  informed: Informed,
  shape: RecordShape,
  parts: Parts,
): { principal: EntityUid; parties: ContextValues } {
  const { identities, asked } = informed;
  const { store } = parts;
  const { source: workload } = identities;
  const proven = workload && addKnownWorkload(workload, parts);
  const device = identities.device && addDevice(identities.device, parts);
  const verified = identities.user && addUser(identities.user, parts);
  const asserted = asked?.subject && addAsserted(asked.subject, informed, parts);
  const assertedAs = (type: string) => (asserted?.type === typeName(type) ? asserted : undefined);
  const user = verified ?? assertedAs('User');
  const source = proven ?? assertedAs('Workload');
  const principal =
    asserted ?? user ?? source ?? store.add({ type: typeName('Anonymous'), id: 'anonymous' }, {}, []);
  const parties: ContextValues = {
    mtls: isMutualTls(workload),
    source: source && { __entity: source },
    source_evidence: workload?.evidence,
    ...addFurtherWorkloads(informed, parts),
    user: user && { __entity: user },
    device: device && { __entity: device },
    device_evidence: identities.device?.evidence,
    token: identities.user && tokenRecord(identities.user),
    [IP_FACTS]: ipFacts(informed, shape, parts),
    now: new Date(informed.receivedAt).toISOString(),
  };
  return { principal, parties };
}

/** The workloads that only some policies ask for: where none does, their entities would but make equal questions differ. */
function addFurtherWorkloads({ identities, pep, snapshot }: Informed, parts: Parts): ContextValues {
  const { contextKeys } = snapshot.reads;
  const add = (key: string, workload: WorkloadIdentity | undefined) =>
    workload && contextKeys.has(key) ? { __entity: addKnownWorkload(workload, parts) } : undefined;
  return {
    origin: add('origin', identities.origin),
    origin_evidence: identities.origin?.evidence,
    pep: add('pep', pep.workload),
    claimed_sources: identities.claimedSources,
  };
}

function addKnownWorkload(workload: WorkloadIdentity, { store, knowledge }: Parts): EntityUid {
  const known = knowledge.about(['workload'], { type: typeName('Workload'), id: workload.id });
  return addWorkload(store, workload, known);
}

/** What information points know of the address that policies see as `context.ip`. */
function ipFacts(informed: Informed, shape: RecordShape, { knowledge }: Parts): AttributeRecord | undefined {
  const { contextKeys, wholeAttributes, attributes } = informed.snapshot.reads;
  const type = contextKeys.has(IP_FACTS) ? shape.fields.get(IP_FACTS)?.type : undefined;
  const address = type?.kind === 'record' ? addressOf(informed) : undefined;
  if (type?.kind !== 'record' || address === undefined) return undefined;
  return knowledge.ofAddress(address, type.shape, wholeAttributes.has(IP_FACTS) ? 'all' : attributes);
}

function requestContext({ request, canonical }: InformedRequest): ContextValues {
  return {
    http: {
      method: canonical.method,
      path: canonical.path,
      host: canonical.host,
      scheme: request.http.scheme.toLowerCase(),
    },
    ip: addressOf({ request }),
    sni: request.sni === '' ? undefined : request.sni,
    extensions: Object.fromEntries(request.contextExtensions),
  };
}

function addUser(user: UserIdentity, { store, knowledge }: Parts): EntityUid {
  const uid = { type: typeName('User'), id: user.id };
  const { attributes, groups } = knowledge.about(['user'], uid);
  const { token } = user;
  // Issuers name their groups as they like; only together with the issuer's name is a name unique.
  const tokenGroups = token.groups.map((group) => ({
    type: typeName('Group'),
    id: `${token.issuer}/${group}`,
  }));
  return store.add(uid, { ...attributes, issuer: token.issuer, subject: token.subject }, [
    ...groups,
    ...tokenGroups,
  ]);
}

function addDevice({ id }: DeviceIdentity, { store, knowledge }: Parts): EntityUid {
  const uid = { type: typeName('Device'), id };
  const { attributes, groups } = knowledge.about(['device'], uid, true);
  return store.add(uid, attributes, groups);
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
  { store, knowledge }: Parts,
): EntityUid {
  const { pip, uid } = resource;
  const about = [...facts, ...omissions].filter(
    ({ subject, subjectId }) => subject === pip && subjectId === uid.id,
  );
  const fixed = snapshot.staticEntity(uidText(uid));
  const said = withoutKnown(resource.attributes, fixed, about);
  const found = pip === undefined ? {} : knowledge.about([pip], uid).attributes;
  return store.add(uid, { ...said, ...found }, fixed ? [] : resource.parents);
}

/** The PEP's filter metadata by namespace, only where the schema asks for it: other filters and clients have written it. */
function readMetadata({ request, snapshot }: InformedRequest, shape: RecordShape): ContextValues | Refusal {
  const { reads } = snapshot;
  const declared = shape.fields.get('metadata')?.type;
  if (declared?.kind !== 'record' || !reads.contextKeys.has('metadata')) return {};
  const json = Object.fromEntries(request.metadata);
  const problem = externalJsonProblem(json);
  if (problem !== undefined) return refuse('attribute_refused', `the metadata context ${problem}`);
  // Reduced first: a fraction in a claim that no policy reads is nobody's problem.
  const metadata = toAttributeValue(fitNamed('metadata', json as AttributeRecord, declared, reads));
  return metadata === undefined
    ? refuse('attribute_refused', 'the metadata context holds what Cedar has no value for')
    : { metadata };
}

function validUntil({ identities, facts, silentUntil }: Informed): number {
  const ends = facts.map((fact) => fact.freshUntil);
  if (identities.user) ends.push(identities.user.token.expiresAt * 1000);
  for (const workload of [identities.source, identities.origin])
    if (workload?.provenUntil !== undefined) ends.push(workload.provenUntil);
  if (identities.device?.freshUntil !== undefined) ends.push(identities.device.freshUntil);
  return Math.min(silentUntil, ...ends);
}
