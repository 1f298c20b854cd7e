import { describe, expect, test } from 'vitest';
import { createRecordedEffects } from '../../../src/compose/revocation-admin.ts';
import { PdpError } from '../../../src/pdp/errors.ts';
import type { SecurityEffect } from '../../../src/pdp/security-event.ts';
import type { SharedRevocations } from '../../../src/pip/revocation/revocations.ts';
import { START, memoryLog } from '../pip/fixture.ts';

const ORIGIN = { stream: 'idp', event: 'account-disabled', id: 'set-1' };
const ALICE = { kind: 'user', id: 'idp/alice' } as const;
const SHUT_OFF: SecurityEffect = {
  effect: 'shut_off',
  at: START,
  source: 'idp',
  reason: 'account-disabled',
  subjects: [ALICE],
};
const CLAIMS: SecurityEffect = {
  effect: 'claims',
  at: START,
  source: 'idp',
  reason: 'token-claims-change',
  subject: ALICE,
  claims: { role: 'a role that is nobody’s business' },
  groups: ['a group'],
};

function setUp(fails: { readonly record?: boolean; readonly apply?: boolean } = {}) {
  const done: unknown[] = [];
  const log = memoryLog();
  const writer = {
    appendControl: async (kind: string, fields: object) => {
      if (fails.record) throw new Error('ENOSPC');
      done.push({ kind, ...fields });
    },
  };
  const revocations = {
    apply: async () => {
      if (fails.apply) throw new PdpError('state_unavailable', 'the test says so');
      done.push('in force');
    },
  } as unknown as SharedRevocations;
  return { done, log, effects: createRecordedEffects({ revocations, writer, log }) };
}

describe('what a security event brings about', () => {
  test('is recorded with its stream, its type, its id and whom it is about, and then put in force', async () => {
    const { effects, done, log } = setUp();
    await effects.apply([SHUT_OFF], ORIGIN);
    expect(done).toEqual([
      {
        kind: 'security_event',
        stream: 'idp',
        event: 'account-disabled',
        jti: 'set-1',
        effect: 'shut_off',
        subjects: 'user idp/alice',
        at: new Date(START).toISOString(),
      },
      'in force',
    ]);
    expect(log.entries).toEqual([]);
  });

  test('is recorded without the values of claims', async () => {
    const { effects, done } = setUp();
    await effects.apply([CLAIMS], ORIGIN);
    expect(done[0]).toMatchObject({ kind: 'security_event', claims: 'role groups' });
    expect(JSON.stringify(done)).not.toMatch(/business|a group/);
  });

  test('is not put in force where it cannot be recorded', async () => {
    const { effects, done } = setUp({ record: true });
    await expect(effects.apply([SHUT_OFF], ORIGIN)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect(done).toEqual([]);
  });

  test('and may not be in force after all is recorded as that, without a log line for each time it is sent', async () => {
    const { effects, done, log } = setUp({ apply: true });
    await expect(effects.apply([SHUT_OFF], ORIGIN)).rejects.toMatchObject({ reason: 'state_unavailable' });
    expect(done).toMatchObject([
      { kind: 'security_event' },
      { kind: 'security_event_unconfirmed', jti: 'set-1', problem: 'the test says so' },
    ]);
    expect(log.entries).toEqual([]);
  });
});
