import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { watchSealing } from '../../../src/telemetry/audit.ts';

describe('the metrics of sealing', () => {
  it('tell at each scrape how far it is, how far behind, and how often it was started again', async () => {
    const registry = new Registry();
    const sealer = { size: 10, sealing: true, restarts: 0, lag: () => ({ records: 3, ms: 1500 }) };
    watchSealing(sealer, [registry]);
    const text = await registry.metrics();
    expect(text).toContain('pdp_audit_sealed_records 10');
    expect(text).toContain('pdp_audit_unsealed_records 3');
    expect(text).toContain('pdp_audit_checkpoint_age_seconds 1.5');
    expect(text).toContain('pdp_audit_sealing 1');
    Object.assign(sealer, { sealing: false, restarts: 2 });
    expect(await registry.metrics()).toMatch(/pdp_audit_sealing 0[^]*pdp_audit_sealer_restarts_total 2/);
  });
});
