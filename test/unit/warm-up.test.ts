import { beforeAll, expect, test } from 'vitest';
import type { DecisionPointParts } from '../../src/pdp/decide.ts';
import { createDecisionCache } from '../../src/pdp/decision-cache.ts';
import { isRefusal } from '../../src/pdp/decision.ts';
import { type Issuer, createIssuer } from '../../src/pip/token/issuer.ts';
import { type TokenVerifier, createTokenVerifier } from '../../src/pip/token/token-verifier.ts';
import { createWorkloadAuthenticator } from '../../src/pip/workload/workload.ts';
import { warmUp } from '../../src/warm-up.ts';
import { MACHINE_CLOCK } from '../support/clock.ts';
import { snapshotOf } from '../support/snapshot.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';
import { keySetOf } from './pip/fixture.ts';

const ISS = 'https://id.example.com';
let keys: TestIssuer;
beforeAll(async () => {
  keys = await createTestIssuer({ issuer: ISS, audience: 'pdp' });
});

/** Warms up a verifier of these issuers; says what each of the tokens came to. */
async function refusalsOf(issuers: readonly Issuer[]): Promise<readonly string[]> {
  const keySets = new Map(issuers.map(({ name }) => [name, keySetOf(name, keys)]));
  const verifier = createTokenVerifier(issuers, keySets, MACHINE_CLOCK);
  const refusals = new Set<string>();
  const listening: TokenVerifier = {
    ...verifier,
    async verify(token, use, now, header) {
      const answer = await verifier.verify(token, use, now, header);
      refusals.add(`${use}: ${isRefusal(answer) ? answer.refusal : 'verified'}`);
      return answer;
    },
  };
  await warmUp(partsOf(), listening, issuers);
  return [...refusals];
}

const never = (): never => {
  throw new Error('warming up leaves nothing behind');
};

function partsOf(): DecisionPointParts {
  const snapshot = snapshotOf('@id("all") permit(principal, action, resource);');
  return {
    clock: MACHINE_CLOCK,
    workload: createWorkloadAuthenticator(),
    user: { authenticate: () => Promise.resolve(undefined), missingKeys: () => [] },
    device: { authenticate: () => Promise.resolve(undefined) },
    snapshots: { current: () => snapshot },
    sources: [{ name: 'facts', subject: 'workload', gives: [], onFailure: 'deny', lookup: never }],
    revocations: { refusal: never, revised: never, isCurrent: never },
    cache: createDecisionCache(1024),
    maxAgeMs: 0,
    acceptsTokens: true,
    recorder: { record: never },
    observer: { checked: never },
  };
}

const issuer = (use: Issuer['use'], options: Partial<Parameters<typeof createIssuer>[0]> = {}): Issuer =>
  createIssuer({
    name: `issuer-of-${use}`,
    issuer: ISS,
    use,
    audiences: ['pdp'],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    ...options,
  });

test('warming up takes a token of every use as far as its signature, and leaves nothing behind', async () => {
  const issuers = [issuer('user'), issuer('device'), issuer('workload', { header: 'x-workload-token' })];
  expect(await refusalsOf(issuers)).toEqual([
    'user: token_signature_invalid',
    'device: token_signature_invalid',
    'workload: token_signature_invalid',
  ]);
});

test.each([
  ['that has its issuer in the header', { header: 'x-assertion', registeredIn: 'header' as const }],
  ['without a type', { types: [''] }],
])('warming up knows a token %s', async (_what, options) => {
  expect(await refusalsOf([issuer('user', options)])).toEqual(['user: token_signature_invalid']);
});
