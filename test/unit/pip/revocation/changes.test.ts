import { describe, expect, test } from 'vitest';
import type { AttributeRecord } from '../../../../src/pdp/attribute.ts';
import type { SecurityEffect } from '../../../../src/pdp/security-event.ts';
import { EVENT_ATTRIBUTES } from '../../../../src/pip/revocation/event-attributes.ts';
import { SharedRevocations } from '../../../../src/pip/revocation/revocations.ts';
import { START } from '../fixture.ts';
import { START_S, questionOf, setUp } from './fixture.ts';

type Setup = Awaited<ReturnType<typeof setUp>>;
const asker = { signal: AbortSignal.timeout(1000) };

const claims = (changed: AttributeRecord, at = START, groups?: readonly string[]): SecurityEffect => ({
  effect: 'claims',
  subject: { kind: 'user', id: 'idp/alice' },
  claims: changed,
  ...(groups && { groups }),
  at,
  source: 'okta',
});

const facts = (
  kind: 'user' | 'device',
  attributes: AttributeRecord,
  at = START,
  id = kind === 'user' ? 'idp/alice' : 'mdm/laptop',
): SecurityEffect => ({ effect: 'attributes', subject: { kind, id }, attributes, at, source: 'okta' });

function tokenOf({ revocations }: Pick<Setup, 'revocations'>, issuedAt: number) {
  const token = { claims: { role: 'admin', acr: '1' }, groups: ['staff'], issuedAt };
  const { user } = revocations.revised(questionOf({ token }).identities);
  return { claims: user?.token.claims, groups: user?.token.groups };
}

describe('claims that have changed since a token was issued', () => {
  test('are what events say, and the others what the token says', async () => {
    const setup = await setUp();
    await setup.apply(claims({ role: 'user' }), claims({ team: ['a'] }, START + 1, ['interns']));
    expect(tokenOf(setup, START_S - 5)).toEqual({
      claims: { role: 'user', acr: '1', team: ['a'] },
      groups: ['interns'],
    });
    expect(tokenOf(setup, START_S)).toMatchObject({ claims: { role: 'user' } });
  });

  test('are what a newer token says', async () => {
    const setup = await setUp();
    await setup.apply(claims({ role: 'user' }, START, ['interns']));
    expect(tokenOf(setup, START_S + 1)).toEqual({ claims: { role: 'admin', acr: '1' }, groups: ['staff'] });
  });

  test('are those of that user only', async () => {
    const { apply, revocations } = await setUp();
    await apply(claims({ role: 'user' }));
    const { identities } = questionOf({ token: { subject: 'bob' } });
    expect(revocations.revised(identities)).toBe(identities);
    const nobody = questionOf({}).identities;
    expect(revocations.revised(nobody)).toBe(nobody);
  });

  test('an older event that comes late changes nothing', async () => {
    const setup = await setUp();
    await setup.apply(
      claims({ role: 'user' }, START, ['new']),
      claims({ role: 'owner' }, START - 1000, ['old']),
    );
    expect(tokenOf(setup, START_S - 5)).toMatchObject({ claims: { role: 'user' }, groups: ['new'] });
  });

  test('are forgotten when no token can be older, and known to who starts later', async () => {
    const setup = await setUp();
    await setup.apply(claims({ role: 'user' }));
    using later = new SharedRevocations(setup.settings);
    expect(tokenOf({ revocations: later }, START_S - 5)).toMatchObject({ claims: { role: 'user' } });
    setup.clock.advance(3_600_000);
    expect(tokenOf(setup, START_S - 5)).toMatchObject({ claims: { role: 'admin' } });
    await setup.apply(claims({ role: 'x' }, START + 3_600_000));
    expect(tokenOf(setup, START_S - 5)).toMatchObject({ claims: { role: 'x' } });
  });
});

describe('facts that events have told', () => {
  const asked = ({ revocations }: Pick<Setup, 'revocations'>, kind: string, id: string) =>
    revocations.sources
      .filter(({ subject }) => subject === kind)
      .map((source) => [source.name, source.lookup(id, asker)] as const);

  test('are nothing as long as there was no event', async () => {
    const setup = await setUp();
    for (const [, answer] of asked(setup, 'device', 'mdm/laptop'))
      expect(answer).toMatchObject({ status: 'absent', attributes: {} });
  });

  test('are each as old as their own event, whichever came last', async () => {
    const setup = await setUp();
    await setup.apply(facts('device', { compliant: false }), facts('device', { risk: 'high' }, START + 50));
    await setup.apply(facts('device', { compliant: true }, START - 1));
    const answers = new Map(asked(setup, 'device', 'mdm/laptop'));
    expect(answers.get('events.device.compliant')).toEqual({
      status: 'found',
      attributes: { compliant: false },
      groups: [],
      observedAt: START,
      event: true,
      freshUntil: START + 7_200_000,
    });
    expect(answers.get('events.device.risk')).toMatchObject({
      attributes: { risk: 'high' },
      observedAt: START + 50,
    });
    expect(answers.get('events.device.managed')).toMatchObject({ status: 'absent' });
  });

  test('are told together where they are one fact, and replaced together', async () => {
    const setup = await setUp();
    await setup.apply(facts('user', { assurance_namespace: 'nist', assurance_level: '3', risk: 'low' }));
    await setup.apply(facts('user', { assurance_level: '1' }, START + 1));
    const answers = new Map(asked(setup, 'user', 'idp/alice'));
    expect(answers.get('events.user.assurance_namespace')).toMatchObject({
      attributes: { assurance_level: '1' },
    });
    expect(answers.get('events.user.assurance_namespace')).not.toHaveProperty(
      'attributes.assurance_namespace',
    );
    expect(answers.get('events.user.risk')).toMatchObject({ attributes: { risk: 'low' } });
  });

  test('are about that subject only, and end by themselves', async () => {
    const setup = await setUp();
    await setup.apply(facts('device', { compliant: false, vendor: 'dropped' }));
    expect(new Map(asked(setup, 'device', 'mdm/phone')).get('events.device.compliant')).toMatchObject({
      status: 'absent',
    });
    expect(JSON.stringify(asked(setup, 'device', 'mdm/laptop'))).not.toContain('dropped');
    setup.clock.advance(7_200_000);
    expect(new Map(asked(setup, 'device', 'mdm/laptop')).get('events.device.compliant')).toMatchObject({
      status: 'absent',
    });
  });

  test('are known to who starts later', async () => {
    const setup = await setUp();
    await setup.apply(facts('device', { compliant: false }));
    using later = new SharedRevocations(setup.settings);
    expect(
      new Map(asked({ revocations: later }, 'device', 'mdm/laptop')).get('events.device.compliant'),
    ).toMatchObject({ status: 'found' });
  });

  test('come from points with names of their own, which say nothing that is not declared', async () => {
    const { revocations } = await setUp();
    const names = revocations.sources.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(revocations.sources.map(({ gives }) => gives)).toEqual([
      ...EVENT_ATTRIBUTES.user,
      ...EVENT_ATTRIBUTES.device,
    ]);
  });
});
