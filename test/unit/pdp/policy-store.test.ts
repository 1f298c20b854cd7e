import { describe, expect, test } from 'vitest';
import type { CedarRequest } from '../../../src/pdp/evaluation.ts';
import type { Log } from '../../../src/pdp/log.ts';
import { PolicyStore } from '../../../src/pdp/policy-store.ts';
import { policyTexts } from '../../support/snapshot.ts';

const SCHEMA = `
  entity Group;
  entity User in [Group] = { level?: Long };
  entity Doc;
  action view appliesTo { principal: [User], resource: [Doc], context: { secret: String } };`;

function policiesFor(groups: number, more = ''): string {
  const policies = Array.from(
    { length: groups },
    (_, n) => `@id("p${n}") permit(principal in Group::"g${n}", action, resource);`,
  );
  return [...policies, more].join('\n');
}

function question(group: string): CedarRequest {
  const principal = { type: 'User', id: `of-${group}` };
  return {
    principal,
    action: { type: 'Action', id: 'view' },
    resource: { type: 'Doc', id: 'd' },
    context: { secret: 'not to be kept' },
    entities: [{ uid: principal, attrs: { level: 1 }, parents: [{ type: 'Group', id: group }] }],
  };
}

function openStore(): PolicyStore {
  const log: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  return new PolicyStore({ clock: { now: () => 0, monotonic: () => 0 }, log, onReload: () => undefined });
}

function asked(store: PolicyStore): readonly string[] {
  const questions = store.current()?.typicalQuestions() ?? [];
  return questions.map(({ principal }) => principal.id).toSorted();
}

describe('a changed policy set', () => {
  test('holds the policies for what was asked of the one before, ahead of the first question', async () => {
    const store = openStore();
    store.load(policyTexts(policiesFor(3), SCHEMA));
    for (const group of ['g0', 'g1', 'g0']) store.current()?.evaluate(question(group));
    expect(asked(store)).toEqual(['of-g0', 'of-g1']);

    const added = '@id("late") forbid(principal in Group::"g1", action, resource);';
    await store.take(policyTexts(policiesFor(3, added), SCHEMA));
    expect(asked(store)).toEqual(['of-g0', 'of-g1']);
    expect(store.current()?.evaluate(question('g0'))).toMatchObject({ verdict: 'permit' });
    expect(store.current()?.evaluate(question('g1'))).toEqual({
      verdict: 'deny',
      policies: ['late'],
      errors: [],
    });
  });

  test('is prepared for no more than the last 64 kinds of questions, of which it keeps no facts', async () => {
    const store = openStore();
    store.load(policyTexts(policiesFor(80), SCHEMA));
    for (let n = 0; n < 80; n++) store.current()?.evaluate(question(`g${n}`));
    await store.take(policyTexts(policiesFor(81), SCHEMA));
    const kept = store.current()?.typicalQuestions() ?? [];
    expect(kept).toHaveLength(64);
    expect(JSON.stringify(kept)).not.toMatch(/of-g15"|not to be kept|level/);
    expect(JSON.stringify(kept)).toMatch(/of-g16"/);
  });

  test('is taken where a question of before is none any more', async () => {
    const store = openStore();
    store.load(policyTexts(policiesFor(1), SCHEMA));
    store.current()?.evaluate(question('g0'));
    const other = 'entity Thing; action use appliesTo { principal: [Thing], resource: [Thing] };';
    await store.take(policyTexts('@id("p") permit(principal, action, resource);', other));
    const thing = { type: 'Thing', id: 't' };
    const use = {
      principal: thing,
      action: { type: 'Action', id: 'use' },
      resource: thing,
      context: {},
      entities: [],
    };
    expect(store.current()?.evaluate(use)).toEqual({ verdict: 'permit', policies: ['p'], errors: [] });
  });
});
