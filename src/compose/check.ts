import { type DecisionServiceParts, DecisionService } from '../api/decision-service/service.ts';
import type { Grant } from '../api/decision-service/grants.ts';
import { Names } from '../api/decision-service/names.ts';
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
  /** See `DecodeOptions`. */
  readonly headerOfToken: (token: string) => string;
  /** Whether the gRPC surface is plaintext. */
  readonly plaintext: boolean;
};

/** Makes `pdp.v1.DecisionService` by the configuration. */
export function createDecisionService(config: Config, shares: DecisionServiceShares): DecisionService {
  const { check, decision, devices, grpc } = config;
  const { plaintext, headerOfToken, ...parts } = shares;
  const names = new Names(check.namespace);
  const pips = Object.entries(check.pips);
  return new DecisionService({
    ...parts,
    types: loadDecisionServiceTypes(),
    decoding: {
      namespace: check.namespace,
      pipSubjects: new Map(pips.map(([type, subjects]) => [names.type(type), subjects])),
      assertionHeader: devices.assertion_header,
      headerOfToken,
      parseSpiffeId: workloadOf,
    },
    access: { plaintext, grants: grantsOf(check, names), explains: explainsOf(check, plaintext) },
    timeoutMs: decision.timeout_ms,
    batchTimeoutMs: check.batch_timeout_ms,
    maxBatchItems: check.max_batch_items,
    maxRequestBytes: grpc.max_receive_bytes,
  });
}

function grantsOf({ callers, plaintext_callers: anybody }: Config['check'], names: Names): readonly Grant[] {
  const types = (list: readonly string[]) => new Set(list.map((type) => names.type(type)));
  const all = [
    ...callers.map(({ allow, ...grant }) => ({ ...grant, callers: matching(allow) })),
    ...(anybody ? [{ ...anybody, callers: 'plaintext' as const }] : []),
  ];
  return all.map(({ callers: who, subjects, resources, properties }) => ({
    callers: who,
    subjects: types(subjects),
    resources: types(resources),
    properties: new Set(properties),
  }));
}

function explainsOf({ explain }: Config['check'], plaintext: boolean) {
  const named = matching(explain.allow);
  return (caller: WorkloadIdentity | undefined) => (caller ? named(caller) : plaintext && explain.plaintext);
}

function matching(patterns: readonly string[]): (caller: WorkloadIdentity) => boolean {
  const matcher = createSpiffeMatcher(patterns);
  return (caller) => matcher.matches(caller);
}

function workloadOf(text: string): WorkloadIdentity | undefined {
  const identity = parseSpiffeId(text);
  return 'invalid' in identity ? undefined : identity;
}
