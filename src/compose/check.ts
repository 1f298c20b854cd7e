import { type DecisionServiceParts, DecisionService } from '../api/decision-service/service.ts';
import type { Access, ApplicationAuthenticator } from '../api/question/access.ts';
import type { QuestionOptions } from '../api/question/question-reader.ts';
import type { Pep } from '../pdp/access-request.ts';
import type { Grant } from '../api/question/grants.ts';
import { Names } from '../api/question/names.ts';
import { loadDecisionServiceTypes } from '../api/protos.ts';
import type { Config } from '../config.ts';
import type { WorkloadIdentity } from '../pdp/identity.ts';
import { parseSpiffeId } from '../pip/spiffe/spiffe-id.ts';
import { createSpiffeMatcher } from '../pip/spiffe/spiffe-matcher.ts';

/** What the decision service shares with the rest of the process. */
export type DecisionServiceShares = Pick<
  DecisionServiceParts,
  'decisionPoint' | 'snapshots' | 'clock' | 'inFlight' | 'onEncoded' | 'onFault'
> & {
  /** See `QuestionOptions`. */
  readonly headerOfToken: (token: string) => string;
  /** See `Access`. */
  readonly applications: ApplicationAuthenticator | undefined;
  /** Whether the gRPC surface is plaintext. */
  readonly plaintext: boolean;
};

/** How questions about entities are read, by the configuration. */
export function questionOptions(
  { check, devices }: Config,
  headerOfToken: QuestionOptions['headerOfToken'],
): QuestionOptions {
  const names = new Names(check.namespace);
  const pips = Object.entries(check.pips);
  return {
    namespace: check.namespace,
    pipSubjects: new Map(pips.map(([type, subjects]) => [names.type(type), subjects])),
    assertionHeader: devices.assertion_header,
    ...(headerOfToken && { headerOfToken }),
    parseSpiffeId: workloadOf,
  };
}

/** Makes `pdp.v1.DecisionService` by the configuration. */
export function createDecisionService(config: Config, shares: DecisionServiceShares): DecisionService {
  const { check, decision, grpc } = config;
  const { plaintext, applications, headerOfToken, ...parts } = shares;
  return new DecisionService({
    ...parts,
    types: loadDecisionServiceTypes(),
    decoding: questionOptions(config, headerOfToken),
    access: accessOf(check, plaintext, applications),
    timeoutMs: decision.timeout_ms,
    batchTimeoutMs: check.batch_timeout_ms,
    maxBatchItems: check.max_batch_items,
    maxRequestBytes: grpc.max_receive_bytes,
  });
}

/** Who may ask, as `check` says it, on a listener that is plaintext or not. */
export function accessOf(
  check: Config['check'],
  plaintext: boolean,
  applications: ApplicationAuthenticator | undefined,
): Access {
  const { allow, applications: named, plaintext: anybody } = check.explain;
  const explains = callersOf(allow, named);
  return {
    plaintext,
    grants: grantsOf(check, new Names(check.namespace)),
    explains: (caller) => explains(caller) || (plaintext && anybody),
    ...(applications && { applications }),
  };
}

function grantsOf({ callers, plaintext_callers: anybody }: Config['check'], names: Names): readonly Grant[] {
  const types = (list: readonly string[]) =>
    new Set(list.map((type) => (type === '*' ? type : names.type(type))));
  const all = [
    ...callers.map(({ allow, applications, ...grant }) => ({
      ...grant,
      callers: callersOf(allow, applications),
    })),
    ...(anybody ? [{ ...anybody, callers: 'plaintext' as const }] : []),
  ];
  return all.map(({ callers: who, subjects, resources, properties, search }) => ({
    callers: who,
    subjects: types(subjects),
    resources: types(resources),
    properties: new Set(properties),
    search: new Set(search),
  }));
}

/** Workloads by their SPIFFE ID, applications by the name that their token gives them. */
function callersOf(patterns: readonly string[], applications: readonly string[]): (caller: Pep) => boolean {
  const matcher = createSpiffeMatcher(patterns);
  const named = new Set(applications);
  return ({ workload, application }) =>
    (workload !== undefined && matcher.matches(workload)) ||
    (application !== undefined && named.has(application.id));
}

function workloadOf(text: string): WorkloadIdentity | undefined {
  const identity = parseSpiffeId(text);
  return 'invalid' in identity ? undefined : identity;
}
