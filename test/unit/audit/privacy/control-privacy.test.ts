import { describe, expect, test } from 'vitest';
import { createControlPrivacy } from '../../../../src/audit/privacy/control-privacy.ts';
import type { ControlFields, ControlKind } from '../../../../src/audit/record/control-record.ts';
import type { SubjectRef } from '../../../../src/pdp/subject-key.ts';
import { pseudonymsOf } from './privacy-fixture.ts';

const pseudonyms = pseudonymsOf();
const hide = createControlPrivacy(pseudonyms);
const alice = pseudonyms.of('user', 'staff/alice');

function said(kind: ControlKind, fields: ControlFields, about: readonly SubjectRef[] = []) {
  const { fields: line, blobs } = hide(kind, fields, about);
  const [blob] = blobs.map((one) => JSON.parse(one.payload()) as Record<string, unknown>);
  return { line, blob, text: JSON.stringify(line) };
}

describe('a control record with pseudonyms', () => {
  test('of a revocation says its subjects by pseudonym, and keeps the reason where it can be erased', () => {
    const about = [
      { kind: 'user', id: 'staff/alice' },
      { kind: 'session', id: 'staff/s-1' },
      { kind: 'workload', id: 'spiffe://td/w' },
    ] as const;
    const fields = {
      effect: 'shut_off',
      subjects: 'user staff/alice …',
      at: 't',
      by: 'spiffe://td/admin',
      reason: 'alice left',
    };
    const { line, blob, text } = said('revocation_changed', fields, about);
    expect(text).not.toContain('alice');
    const session = pseudonyms.of('session', 'staff/s-1');
    expect(line).toMatchObject({
      effect: 'shut_off',
      subjects: `user ${alice} with session ${session} with workload spiffe://td/w`,
      by: 'spiffe://td/admin',
      pseudonyms: 3,
    });
    expect(blob).toMatchObject({
      kind: 'withheld',
      subjects: [alice, session].sort(),
      value: { reason: 'alice left' },
    });
  });

  test('of a revocation by token says not from where', () => {
    const { line, blob } = said('revocation_changed', {
      effect: 'restore',
      by: 'the admin token at 10.0.0.7:4711',
    });
    expect(line).not.toHaveProperty('by');
    expect(blob).toMatchObject({ value: { by: 'the admin token at 10.0.0.7:4711' } });
  });

  test('of a grant says who by pseudonym, and withholds why', () => {
    const fields = {
      grant: 'g-1',
      change: 'approved',
      by: 'staff/bob',
      user: 'staff/alice',
      break_glass: false,
      justification: 'for alice',
      ticket: 'T-1',
    };
    const { line, blob, text } = said('grant_changed', fields);
    expect(text).not.toMatch(/alice|bob|T-1/);
    expect(line).toMatchObject({
      grant: 'g-1',
      user: alice,
      by: pseudonyms.of('user', 'staff/bob'),
      break_glass: false,
    });
    expect(blob).toMatchObject({
      subjects: expect.arrayContaining([alice]),
      value: { justification: 'for alice', ticket: 'T-1' },
    });
  });

  test('of a search hides the users and endpoints that it was about, and not what it looked for', () => {
    const search = {
      id: 'd-1',
      caller: 'spiffe://td/app',
      subject: 'ZeroTrust::User::"staff/alice"',
      action: 'A::"view"',
      resource: 'Clinic::Patient',
      results: 3,
      request_id: 'alice',
    };
    const { line, text } = said('search', search);
    expect(text).not.toContain('alice');
    expect(line).toMatchObject({
      caller: 'spiffe://td/app',
      subject: `ZeroTrust::User::"${alice}"`,
      action: 'A::"view"',
      resource: 'Clinic::Patient',
      results: 3,
    });
  });

  test('of a security event keeps what is not known to name nobody apart', () => {
    const { line, blob } = said(
      'security_event',
      { stream: 's', jti: 'j-1', effect: 'attributes', attributes: '{"x":1}' },
      [{ kind: 'device', id: 'd' }],
    );
    expect(line).toMatchObject({
      stream: 's',
      effect: 'attributes',
      subjects: `device ${pseudonyms.of('device', 'd')}`,
    });
    expect(blob).toMatchObject({
      value: { jti: 'j-1', attributes: '{"x":1}' },
      subjects: [pseudonyms.of('device', 'd')],
    });
  });

  test('of a reading says which note it was and hashes what was asked for', () => {
    const { line, text } = said('log_read', {
      verb: 'audit query',
      os_user: 'alice',
      filter: 'user=staff/alice',
      records: 2,
      note_id: 'n',
    });
    expect(text).not.toContain('alice');
    expect(line).toMatchObject({
      verb: 'audit query',
      note_id: 'n',
      records: 2,
      filter: pseudonyms.of('text', 'user=staff/alice'),
    });
  });

  test('of the log itself is as it was', () => {
    const fields = { uptime_s: 1, lost: 0 };
    expect(hide('heartbeat', fields, [])).toEqual({ fields, blobs: [] });
    const erased = { erasure: 'e', subject: alice, reason: 'T-9' };
    expect(hide('erased', erased, []).fields).toEqual(erased);
  });
});
