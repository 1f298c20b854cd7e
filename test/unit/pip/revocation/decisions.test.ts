import { expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import { openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { SharedRevocations } from '../../../../src/pip/revocation/revocations.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import { CallScope } from '../../../../src/pdp/call-scope.ts';
import { accessRequest } from '../../../support/requests.ts';
import { policyTexts } from '../../../support/snapshot.ts';
import { PERMIT_ALL, setUp, sourceOf, userIdentity } from '../../pdp/decision-point.ts';
import { memoryLog } from '../fixture.ts';

const POLICY =
  '@id("ok") permit(principal, action, resource) when { context has device && context.device has compliant && context.device.compliant };';
const START = Date.UTC(2026, 0, 1);
const DEVICE = { id: 'mdm/laptop', evidence: 'assertion', issuedAt: START } as const;

async function openRevocations() {
  const clock = { now: () => START, monotonic: () => MACHINE_CLOCK.monotonic() };
  const log = memoryLog();
  const shared = await openEmbeddedState({ clock, log, maxEntries: 100, timeoutMs: 1000 });
  const revocations = new SharedRevocations({
    shared,
    clock,
    log,
    keepMs: 3_600_000,
    eventsMaxAgeMs: 3_600_000,
    maxLagMs: 5000,
    denyAfterMs: 60_000,
  });
  return revocations;
}

/** A decision point with real revocations on a real state, and a source that says that the device is compliant. */
async function deciding(observed: Partial<AttributeAnswer> = {}) {
  const revocations = await openRevocations();
  const lookup = (): AttributeAnswer => ({
    status: 'found',
    attributes: { compliant: true },
    groups: [],
    observedAt: START - 60_000,
    freshUntil: START + 60_000,
    ...observed,
  });
  const posture = sourceOf('device', { compliant: true }, { lookup });
  const { decide } = setUp({
    policies: POLICY,
    user: userIdentity('alice', { issuedAt: START / 1000 - 10 }),
    device: DEVICE,
    sources: [posture, ...revocations.sources],
    revocations,
  });
  return { decide, revocations };
}

const notCompliant = (at: number) =>
  ({
    effect: 'attributes',
    subject: { kind: 'device', id: 'mdm/laptop' },
    attributes: { compliant: false },
    at,
    source: 'mdm',
  }) as const;

test('an event about a device flips the very next decision, though the one before is cached', async () => {
  const { decide, revocations } = await deciding();
  await decide();
  expect(await decide()).toMatchObject({ cache: { hit: true }, decision: { verdict: 'permit' } });
  await revocations.apply([notCompliant(START - 1000)]);
  expect((await decide()).decision).toMatchObject({ verdict: 'deny', reason: 'no_permit' });
  await revocations.apply([{ ...notCompliant(START - 500), attributes: { compliant: true } }]);
  expect((await decide()).decision.verdict).toBe('permit');
});

test('a later observation, whose time the source states, goes before an event', async () => {
  const { decide, revocations } = await deciding();
  await revocations.apply([notCompliant(START - 90_000)]);
  expect((await decide()).decision.verdict).toBe('permit');
});

test('an observation of which nobody says when it was made does not', async () => {
  const { decide, revocations } = await deciding({ observedAt: START, assumed: true });
  await revocations.apply([notCompliant(START - 90_000)]);
  expect((await decide()).decision.verdict).toBe('deny');
});

test('a user who is shut off is denied at the next decision, and permitted when it is lifted', async () => {
  const { decide, revocations } = await deciding();
  await decide();
  const subjects = [{ kind: 'user', id: 'demo/alice' }] as const;
  await revocations.apply([{ effect: 'shut_off', subjects, at: START, source: 'admin', reason: 'INC-7' }]);
  expect((await decide()).decision).toMatchObject({
    reason: 'token_revoked',
    cause: 'revoked',
    detail: 'user demo/alice: shut off since 2026-01-01T00:00:00.000Z, by admin (INC-7)',
  });
  await revocations.apply([{ effect: 'restore', subjects, at: START + 1, source: 'admin' }]);
  expect(await decide()).toMatchObject({ cache: { hit: true }, decision: { verdict: 'permit' } });
});

test('a route that is only observed does not let through who is shut off', async () => {
  const revocations = await openRevocations();
  const bindings = `bindings:
  - id: all
    match: { path: '/{rest}' }
    action: ZeroTrust::Action::"GET"
    resource: { type: ZeroTrust::Endpoint, id: '{rest}', attributes: { path: '{rest}', host: '{rest}' } }
    observe: true
`;
  const texts = {
    ...policyTexts('@id("no") forbid(principal, action, resource);'),
    bindings: [{ file: 'bindings.yaml', text: bindings }],
  };
  const { snapshot } = compileSnapshot(texts, 0);
  const { decide } = setUp({
    user: userIdentity('alice'),
    revocations,
    snapshots: { current: () => snapshot },
  });
  const question = accessRequest({ path: '/x' });
  expect((await decide(question)).decision).toMatchObject({ reason: 'policy_forbids', enforced: false });
  const subjects = [{ kind: 'user', id: 'demo/alice' }] as const;
  await revocations.apply([{ effect: 'shut_off', subjects, at: START, source: 'admin' }]);
  const { decision } = await decide(question);
  expect(decision).toMatchObject({ verdict: 'deny', reason: 'token_revoked' });
  expect(decision).not.toHaveProperty('enforced');
});

test('an explanation of who is shut off is that they are, and so is each answer of a batch', async () => {
  const revocations = await openRevocations();
  const { point, clock } = setUp({ policies: PERMIT_ALL, user: userIdentity('alice'), revocations });
  const subjects = [{ kind: 'user', id: 'demo/alice' }] as const;
  await revocations.apply([{ effect: 'shut_off', subjects, at: START, source: 'admin' }]);
  for (const more of [{ explained: true }, { batch: 'b-1' }] as const) {
    using scope = new CallScope(clock, 50);
    const envelope = {
      id: 'd-1',
      surface: 'check',
      pep: { address: 'test' },
      receivedAt: START,
      startedAt: 0,
    };
    const question = accessRequest();
    const trace = await point.decide({
      envelope: { ...envelope, surface: 'check', ...more },
      question,
      scope,
      decodeUs: 1,
    });
    expect(trace.decision).toMatchObject({ verdict: 'deny', reason: 'token_revoked' });
    expect(trace.snapshot).toBeUndefined();
  }
});
