import { decodeCheckRequest } from '../../../src/api/ext-authz/decode.ts';
import { isRefusal } from '../../../src/pdp/decision.ts';
import { EXT_AUTHZ_TYPES, LEDGER_API, PAYMENT_API } from '../../support/requests.ts';
import { setUp } from '../../unit/pdp/decision-point.ts';
import { mutateMessage } from '../engine/mutate-message.ts';
import { type FuzzTarget, must } from '../engine/target.ts';
import { CHECK_REQUEST_WORDS, checkRequestSeeds } from './check-request.ts';

const POLICIES = `
  @id("entries") permit(
    principal == ZeroTrust::Workload::"${PAYMENT_API}", action == ZeroTrust::Action::"POST", resource
  ) when { resource in ZeroTrust::Service::"${LEDGER_API}" };`;
const SCHEMELESS = PAYMENT_API.slice('spiffe://'.length);

/** Bytes that a PEP sends, through the whole decision point with a policy in force. */
export function decisionTarget(): FuzzTarget {
  const { decide } = setUp({
    policies: POLICIES,
    recorder: { record: () => Promise.resolve() },
    observer: { checked: () => undefined },
  });
  return {
    name: 'decision',
    promise:
      'Every question is answered, and the one permit there is goes to the payment API, posting to the ledger.',
    covers: [
      'src/pdp/decide.ts',
      ...['authenticate', 'gather', 'bind', 'evaluate', 'conclude'].map(
        (name) => `src/pdp/stages/${name}.ts`,
      ),
      'src/pdp/canonical.ts',
      'src/pdp/entities.ts',
      'src/pdp/route.ts',
      'src/pip/workload/workload.ts',
      'src/pip/workload/principal.ts',
    ],
    seeds: checkRequestSeeds(),
    dictionary: CHECK_REQUEST_WORDS,
    maxBytes: 2048,
    mutate: mutateMessage,
    async run(input) {
      const request = decodeCheckRequest(input, EXT_AUTHZ_TYPES.CheckRequest);
      const { decision } = await decide(request);
      must(decision.verdict === 'permit' || decision.verdict === 'deny', 'there is no verdict');
      if (decision.verdict === 'deny') {
        must(
          decision.reason !== 'internal' && decision.reason !== 'engine_fault',
          `a fault: ${decision.detail ?? ''}`,
        );
        return decision.reason;
      }
      must(!isRefusal(request), 'what cannot be decoded is permitted');
      must(decision.policies.join() === 'entries', `permitted by '${decision.policies.join()}'`);
      must(
        [PAYMENT_API, SCHEMELESS].includes(request.source.principal),
        `'${request.source.principal}' is permitted`,
      );
      must(request.http.method === 'POST', `'${request.http.method}' is permitted`);
      return 'permitted';
    },
  };
}
