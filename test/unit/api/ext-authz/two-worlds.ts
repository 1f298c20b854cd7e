import { createRecorder } from '../../../../src/audit/record/recorder.ts';
import type { RecordOptions } from '../../../../src/audit/record/record.ts';
import { createEncoder } from '../../../../src/api/ext-authz/encode.ts';
import { INCIDENTAL_HEADERS } from '../../../../src/api/ext-authz/incidental-headers.ts';
import { type ExtAuthzParts, ExtAuthzService } from '../../../../src/api/ext-authz/service.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { httpStatusOf } from '../../../../src/api/status.ts';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import { type Refusal, refuse } from '../../../../src/pdp/decision.ts';
import type { UserIdentity, Workloads } from '../../../../src/pdp/identity.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { RecentAnswers } from '../../../../src/pdp/recent-answers.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { EXT_AUTHZ_TYPES } from '../../../support/requests.ts';
import { SAMPLE_SCHEMA, policyTexts } from '../../../support/snapshot.ts';
import { recordLine } from '../../audit/trace-fixture.ts';
import { setUp, sourceOf, userIdentity } from '../../pdp/decision-point.ts';

export const START = Date.UTC(2026, 0, 1);

/** What is known of a risk is good for a minute. */
const SCHEMA = SAMPLE_SCHEMA.replace(/(firewall\?: Bool,\s+)/, '$1@max_age("1m") ');
const PERMITS = `
@id("user") permit(principal is ZeroTrust::User, action, resource) when { principal has revoked && !principal.revoked };
@id("mesh") permit(principal is ZeroTrust::Workload, action, resource) when { context has http && context.http.path like "/a*" };`;
const RISK = `
@id("risk") @reason("risky") forbid(principal, action, resource)
when { context has device && context.device has risk && context.device.risk == "high" };
@id("known") permit(principal, action, resource) when { context has device && context.device has risk && context.device.risk == "low" };`;
const binding = (name: string, value: string) => `
bindings:
  - id: bound.${name}
    match: { method: GET, path: '/a', headers: { ${name}: ${value} } }
    action: ZeroTrust::Action::"POST"
    resource: { type: ZeroTrust::Endpoint, id: bound, attributes: { path: bound, host: bound } }
    observe: true
`;

function compiled(policies: string, bindings?: string) {
  const texts = policyTexts(policies, SCHEMA);
  const file = bindings === undefined ? {} : { bindings: [{ file: 'bindings.yaml', text: bindings }] };
  return compileSnapshot({ ...texts, ...file }, 0).snapshot;
}

const NO_POST = '@id("no-post") forbid(principal, action == ZeroTrust::Action::"POST", resource);';

/** Snapshots that differ in what they look at. */
export const SNAPSHOTS = [
  compiled(PERMITS),
  compiled(PERMITS + RISK),
  compiled(PERMITS + NO_POST, binding('user-agent', 'curl')),
  compiled(PERMITS + NO_POST, binding('x-flag', 'on')),
  compiled(
    `${PERMITS} @id("late") forbid(principal, action, resource) when { context has now && context.now > datetime("2026-01-01T00:01:00Z") };`,
  ),
];

/** All that answers rest on, besides the question. Tests change it. */
export interface World {
  now: number;
  snapshot: number;
  user: UserIdentity | Refusal | undefined;
  /** 'down': it fails. */
  directory: AttributeAnswer | 'down';
  event: AttributeAnswer;
  device: AttributeAnswer;
  revoked: boolean;
  current: boolean;
  pep: string;
  /** Whether who authenticates looks at what a fingerprint leaves out. */
  looksAtAgent: boolean;
}

export const answer = (
  attributes: AttributeAnswer['attributes'],
  more: Partial<AttributeAnswer> = {},
): AttributeAnswer => ({
  status: Object.keys(attributes).length > 0 ? 'found' : 'absent',
  attributes,
  groups: [],
  observedAt: START,
  freshUntil: START + 120_000,
  ...more,
});

export const ALICE = userIdentity('alice', { deviceId: 'mdm/laptop' });

export function createWorld(): World {
  return {
    now: START,
    snapshot: 0,
    user: ALICE,
    directory: answer({ revoked: false }),
    event: answer({}),
    device: answer({ risk: 'low' }),
    revoked: false,
    current: true,
    pep: 'envoy',
    looksAtAgent: false,
  };
}

const OPTIONS: RecordOptions = { log: 'test', engine: 'test', acceptsTokens: true, httpStatus: httpStatusOf };
const ENCODING = { realm: 'test', faultsAsError: false };

function workloadsOf(world: World) {
  const real = createWorkloadAuthenticator();
  return {
    authenticate: (...asked: Parameters<typeof real.authenticate>) => {
      const agent = world.looksAtAgent ? asked[0].request.http.headers.values('user-agent')[0] : undefined;
      return agent === 'evil'
        ? refuse('workload_evidence_invalid', 'evil')
        : (real.authenticate(...asked) as Workloads | Refusal);
    },
  };
}

function sourcesOf(world: World): readonly AttributeSource[] {
  const event = sourceOf(
    'user',
    { revoked: true },
    { name: 'events', quiet: true, lookup: () => world.event },
  );
  const lookup = (): AttributeAnswer => {
    if (world.directory === 'down') throw new Error('down');
    return world.directory;
  };
  const directory = sourceOf('user', { revoked: true }, { name: 'directory', onFailure: 'omit', lookup });
  const device = sourceOf(
    'device',
    { risk: 'low' },
    { name: 'devices', onFailure: 'omit', lookup: () => world.device },
  );
  return [event, directory, device];
}

/** A service in a world, with or without memory of recent answers, and what it has recorded. */
export function serviceIn(world: World, remembers: boolean, parts: Partial<ExtAuthzParts> = {}) {
  const clock = { now: () => world.now, monotonic: () => 1000 };
  const lines: string[] = [];
  const writer = {
    log: 'test',
    append: (makeLine: (index: number) => string) => {
      lines.push(makeLine(0));
      return Promise.resolve();
    },
  };
  const recorder = createRecorder({ ...OPTIONS, writer, onFailure: 'deny' });
  const traces: DecisionTrace[] = [];
  const { point } = setUp({
    clock,
    workload: workloadsOf(world),
    user: () => Promise.resolve(world.user),
    device: () => Promise.resolve({ id: 'mdm/laptop', evidence: 'token_claim' }),
    snapshots: { current: () => SNAPSHOTS[world.snapshot] },
    sources: sourcesOf(world),
    revocations: {
      refusal: () => (world.revoked ? refuse('identity_revoked', 'revoked') : undefined),
      revised: (identities) => identities,
      isCurrent: () => world.current,
    },
    recorder: {
      record: (trace) => {
        traces.push(trace);
        return recorder.record(trace);
      },
    },
    ...(remembers && { recentAnswers: new RecentAnswers(1024 * 1024, INCIDENTAL_HEADERS) }),
  });
  const service = new ExtAuthzService({
    decisionPoint: point,
    clock,
    types: EXT_AUTHZ_TYPES,
    encoding: ENCODING,
    plaintext: false,
    timeoutMs: 1000,
    inFlight: new InFlight(10),
    maxRequestBytes: 64 * 1024,
    onEncoded: () => undefined,
    onFault: (error) => {
      throw error;
    },
    ...parts,
  });
  const ask = async (message: Buffer, headers: Readonly<Record<string, string>> = {}) => {
    const bytes = await service.unary.answer({
      message,
      headers,
      connection: { address: '10.1.1.1:4711', peer: peerOf(world.pep) },
      deadline: Number.POSITIVE_INFINITY,
      onCancelled: () => undefined,
    });
    const [trace, line = ''] = [traces.at(-1), lines.at(-1)];
    if (!trace) throw new Error('nothing was recorded');
    return { bytes, trace, line };
  };
  return { ask, traces, lines };
}

function peerOf(name: string) {
  const identity = parseSpiffeId(`spiffe://prod.example.com/ns/mesh/sa/${name}`);
  if ('invalid' in identity) throw new Error(identity.invalid);
  return { svid: { identity, notAfter: START + 1e9, fingerprint: '', issuer: '' }, allowed: true };
}

const encode = createEncoder(EXT_AUTHZ_TYPES.CheckResponse, ENCODING);

/** The line and the bytes of an answer, each made whole. */
export function madeWhole(trace: DecisionTrace): { readonly bytes: Buffer; readonly line: string } {
  return { bytes: encode(trace.id, trace.decision), line: recordLine(trace, OPTIONS) };
}
