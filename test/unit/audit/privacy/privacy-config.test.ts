import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { AuditPrivacy } from '../../../../src/config/audit-privacy.ts';
import { runPdp } from '../../../support/app.ts';

const page = readFileSync(new URL('../../../../docs/audit-log.md', import.meta.url), 'utf8');

describe('audit.privacy', () => {
  test('is absent as a rule, and hides users and devices where it is there', () => {
    expect(AuditPrivacy.parse({})).toMatchObject({ key_epoch: 1, pseudonymise: ['user', 'device'] });
  });

  test.each(['user', 'device', 'Clinic::Patient', 'A::B::C_1'])('can hide %s', (kind) => {
    expect(AuditPrivacy.safeParse({ pseudonymise: [kind] }).success).toBe(true);
  });

  // Workloads, services and endpoints have fields of their own in the line.
  test.each(['', 'users', 'Patient', 'ZeroTrust::Workload', 'ZeroTrust::User', 'a::', '::a', 'a:b', 'user '])(
    'cannot hide %j',
    (kind) => expect(AuditPrivacy.safeParse({ pseudonymise: [kind] }).success).toBe(false),
  );

  test('is configured as its page shows', async () => {
    const section = page.slice(page.indexOf('## Privacy'));
    const [, example = ''] = /^```yaml\n([^]*?)^```$/m.exec(section) ?? [];
    const folder = mkdtempSync(join(tmpdir(), 'pdp-privacy-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
    const file = join(folder, 'pdp.yaml');
    const config = parse(example) as { policies: object; audit: { privacy: object } };
    const sets = [new URL('../../../../policies/mesh-call', import.meta.url).pathname];
    writeFileSync(file, JSON.stringify({ ...config, policies: { sets } }));
    expect(config.audit.privacy).toHaveProperty('pseudonymise');
    expect(await runPdp('config', 'check', '--config', file)).toMatchObject({ code: 0 });
  });
});
