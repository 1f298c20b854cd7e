import { describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../../../../src/pdp/identity.ts';
import { type Setup, setUp } from '../decision-point.ts';

const OBSERVED_S = Date.UTC(2026, 0, 1) / 1000 - 60;

/** Only what binding proves, observed after a time, and with a score of the vendor's. */
const CAREFUL = `@id("careful") permit (principal, action, resource) when {
  context has device_evidence && context.device_evidence == "bound_assertion" &&
  context has device && context.device has observed_at && context.device.observed_at >= ${OBSERVED_S} &&
  context.device has vendor && context.device.vendor has crowdstrike &&
  context.device.vendor.crowdstrike has zta_score && context.device.vendor.crowdstrike.zta_score > 80
};`;

function deviceWith(parts: Partial<DeviceIdentity> = {}, score: unknown = 87): DeviceIdentity {
  const posture = {
    managed: true,
    observed_at: OBSERVED_S,
    vendor: { crowdstrike: { zta_score: score as number, secret: 'x' }, jamf: { a: true } },
  };
  return {
    id: 'mdm/laptop-1',
    evidence: 'bound_assertion',
    posture,
    observedAt: OBSERVED_S * 1000,
    ...parts,
  };
}

async function decide(device: DeviceIdentity | undefined, setup: Setup = {}) {
  return await setUp({ policies: CAREFUL, ...(device && { device }), ...setup }).decide();
}

describe('a device in policies', () => {
  test('comes with how it was proven, when it was observed and what the vendor said', async () => {
    const { decision, cedar } = await decide(deviceWith());
    expect(decision).toMatchObject({ verdict: 'permit', policies: ['careful'] });
    expect(cedar?.context).toMatchObject({ device_evidence: 'bound_assertion' });
    const entity = cedar?.entities.find(({ uid }) => uid.type === 'ZeroTrust::Device');
    expect(entity).toMatchObject({
      uid: { id: 'mdm/laptop-1' },
      attrs: { observed_at: OBSERVED_S, vendor: { crowdstrike: { zta_score: 87 } } },
    });
    expect(JSON.stringify(entity)).not.toContain('jamf');
    expect(JSON.stringify(entity)).not.toContain('secret');
  });

  test.each(['assertion', 'token_claim'] as const)(
    'that is proven by %s is not taken for a bound one',
    async (evidence) => {
      expect((await decide(deviceWith({ evidence }))).decision).toMatchObject({ reason: 'no_permit' });
    },
  );

  test('has no evidence where there is no device', async () => {
    const { decision, cedar } = await decide(undefined);
    expect(decision.verdict).toBe('deny');
    expect(cedar?.context).not.toHaveProperty('device_evidence');
  });

  test('denies where a vendor says something of another type than the schema declares', async () => {
    expect((await decide(deviceWith({}, '87'))).decision.verdict).toBe('deny');
  });

  test('of one issuer is not that of another', async () => {
    const policies = `@id("one") permit (principal, action, resource) when {
      context has device && context.device == ZeroTrust::Device::"mdm/laptop-1" };`;
    expect((await decide(deviceWith(), { policies })).decision.verdict).toBe('permit');
    expect((await decide(deviceWith({ id: 'lab/laptop-1' }), { policies })).decision.verdict).toBe('deny');
  });
});
