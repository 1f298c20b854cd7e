import { describe, expect, test } from 'vitest';
import type { ControlFields } from '../../../src/audit/record/control-record.ts';
import { createGrantJournal } from '../../../src/compose/grants.ts';
import type { GrantChange } from '../../../src/pip/grants/grant-book.ts';
import { memoryLog } from '../pip/fixture.ts';

const CHANGE: GrantChange = {
  change: 'broke_glass',
  by: 'staff/kim',
  grant: {
    id: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a',
    user: 'staff/kim',
    scope: 'orders',
    breakGlass: true,
    justification: 'INC-1300: site down',
    requestedAt: Date.UTC(2026, 10, 22, 12),
    approveBefore: Date.UTC(2026, 10, 23, 12),
    durationMs: 600_000,
    approvalsNeeded: 1,
    approvals: [],
    state: 'approved',
    grantedAt: Date.UTC(2026, 10, 22, 12),
    expiresAt: Date.UTC(2026, 10, 22, 12, 10),
  },
};

function journalOn(append: (kind: string, fields: ControlFields) => Promise<void>) {
  const log = memoryLog();
  const counted: string[] = [];
  const metrics = {
    grantChanged: (change: string, scope: string) => void counted.push(`${change} ${scope}`),
  };
  return { log, counted, journal: createGrantJournal({ writer: { appendControl: append }, log, metrics }) };
}

describe('the journal of grants', () => {
  test('writes down who got what, why, and until when', async () => {
    const records: object[] = [];
    const { journal } = journalOn(async (kind, fields) => void records.push({ kind, ...fields }));
    await journal.record(CHANGE);
    expect(records).toEqual([
      {
        kind: 'grant_changed',
        grant: CHANGE.grant.id,
        change: 'broke_glass',
        by: 'staff/kim',
        user: 'staff/kim',
        scope: 'orders',
        state: 'approved',
        expires_at: '2026-11-22T12:10:00.000Z',
        break_glass: true,
        duration_s: 600,
        justification: 'INC-1300: site down',
        granted_at: '2026-11-22T12:00:00.000Z',
      },
    ]);
  });

  test('refuses a change that it cannot write down', async () => {
    const { journal } = journalOn(() => Promise.reject(new Error('the disk is full')));
    await expect(journal.record(CHANGE)).rejects.toMatchObject({
      reason: 'audit_unavailable',
      message: 'nothing was changed: the decision log cannot be written: the disk is full',
    });
  });

  test('shouts where glass is broken, counts it, and tells nobody why outside of the decision log', () => {
    const { journal, log, counted } = journalOn(async () => undefined);
    journal.changed(CHANGE);
    journal.changed({ ...CHANGE, change: 'revoked' });
    expect(log.entries.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'warn: GLASS WAS BROKEN: a grant without approval',
      'info: a grant has changed',
    ]);
    expect(counted).toEqual(['broke_glass orders', 'revoked orders']);
    expect(log.text()).not.toContain('site down');
  });

  test('says of a change that was recorded and may not have been made that it may not have been', async () => {
    const records: string[] = [];
    const { journal, log } = journalOn(async (kind) => void records.push(kind));
    journal.unconfirmed(CHANGE, new Error('Redis is gone'));
    expect(records).toEqual(['grant_change_unconfirmed']);
    expect(log.entries).toMatchObject([{ level: 'error', fields: { problem: 'Redis is gone' } }]);
  });
});
