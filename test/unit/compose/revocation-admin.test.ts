import { expect, test } from 'vitest';
import type { PageCursor } from '../../../src/api/ops/revocations.ts';
import { createRevocationAdmin } from '../../../src/compose/revocation-admin.ts';
import type { SubjectRef } from '../../../src/pdp/subject-key.ts';
import { START } from '../pip/fixture.ts';
import { ref, setUp, shutOff, voidBefore } from '../pip/revocation/fixture.ts';

const ALICE = ref('user', 'idp/alice');

async function admin() {
  const parts = await setUp();
  const { revocations, clock, log } = parts;
  const records: string[] = [];
  const writer = { appendControl: async (kind: string) => void records.push(kind) };
  return { ...parts, records, admin: createRevocationAdmin({ revocations, clock, log, writer }) };
}

interface Page {
  readonly in_force: number;
  readonly revocations: readonly { readonly subjects: readonly SubjectRef[] }[];
  readonly next?: string;
}

test('thousands that happened at once are listed page by page, each once', async () => {
  const { apply, admin: it } = await admin();
  const ids = Array.from({ length: 2500 }, (_, index) => `idp/user~${index}`);
  for (let from = 0; from < ids.length; from += 500)
    await apply(...ids.slice(from, from + 500).map((id) => shutOff([ref('user', id)])));
  const seen: string[] = [];
  for (let after: PageCursor | undefined, more = true; more;) {
    const page = it.list(1000, after) as Page;
    expect(page.in_force).toBe(2500);
    seen.push(...page.revocations.flatMap(({ subjects }) => subjects.map(({ id }) => id)));
    const [, at = '', key = ''] = /^(\d+)~(.+)$/s.exec(page.next ?? '') ?? [];
    after = { at: Number(at), key };
    more = page.next !== undefined;
  }
  expect(seen.length).toBe(2500);
  expect(new Set(seen)).toEqual(new Set(ids));
});

test('what an event has shut off an administrator lifts, and what is void is not lifted', async () => {
  const { apply, admin: it, reason, records } = await admin();
  const lift = () => it.change({ action: 'restore', subjects: [ALICE], reason: 'x' }, 'me');
  await apply(voidBefore([ALICE]), shutOff([ALICE], START + 30_000));
  expect(await lift()).toMatchObject({ in_force: [{ effect: 'revoked' }] });
  expect(reason({ token: {} })).toBe('token_revoked');
  await expect(lift()).rejects.toThrow(/is not shut off: what is void stays void/);
  expect(records).toEqual(['revocation_changed']);
});

test('as long as nothing was ever read, nobody is said not to be shut off', async () => {
  const { admin: it, setLag, records } = await admin();
  setLag(Number.POSITIVE_INFINITY);
  await expect(it.change({ action: 'restore', subjects: [ALICE], reason: 'x' }, 'me')).rejects.toMatchObject({
    reason: 'state_unavailable',
  });
  expect(records).toEqual([]);
});
