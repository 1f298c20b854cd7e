import type { SecurityEffect } from '../../../src/pdp/security-event.ts';
import type { SubjectRef } from '../../../src/pdp/subject-key.ts';
import { createChangedClaims } from '../../../src/pip/ssf/changed-claims.ts';
import { effectsOf } from '../../../src/pip/ssf/event-effects.ts';
import { readSetClaims } from '../../../src/pip/ssf/set-claims.ts';
import { createSubjectNames } from '../../../src/pip/ssf/subject-names.ts';
import { createIssuer } from '../../../src/pip/token/issuer.ts';
import { type FuzzTarget, bytesOf, must, utf8 } from '../engine/target.ts';

const ISS = 'https://a';
const NOW = 1_800_000_000_000;
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';
const USER = { format: 'iss_sub', iss: ISS, sub: 'u' };
const OPAQUE = { format: 'opaque', id: 'o' };

const issuers = () => [
  createIssuer({
    name: 'idp',
    issuer: ISS,
    use: 'user',
    audiences: ['a'],
    algorithms: ['ES256'],
    types: ['jwt'],
    claims: { groups: 'g', deviceId: 'd', attributes: { r: { claim: '/r/s', type: 'string' } } },
  }),
];

const payload = (type: string, event: object, subject: object) =>
  JSON.stringify({ iat: NOW / 1000, jti: 'j', sub_id: subject, events: { [type]: event } });

/** What a transmitter says in a SET whose signature is right: claims, subject and event. */
export function securityEventTarget(): FuzzTarget {
  const rules = { issuer: ISS, audiences: ['a'], maxAgeSeconds: 3600, skewSeconds: 30 };
  const known = issuers();
  const names = createSubjectNames({
    issuer: ISS,
    issuers: known,
    byIss: new Map(),
    defaults: {},
    workloads: true,
    critical: () => new Set(['application']),
  });
  const choices = { credentialChangeVoids: true, highRiskVoids: ['session'] } as const;
  const effects = { stream: 's', names, choices, changedClaims: createChangedClaims(known) };
  return {
    name: 'security-event',
    promise:
      'An event acts on names of our issuers alone, never ahead of time, and lets nobody in but whom it names whole.',
    covers: [
      'set-claims.ts',
      'subject-identifiers.ts',
      'subject-names.ts',
      'event-effects.ts',
      'changed-claims.ts',
      'events/caep.ts',
      'events/risc.ts',
    ].map((name) => `src/pip/ssf/${name}`),
    seeds: [
      payload(
        `${CAEP}session-revoked`,
        { event_timestamp: 1 },
        { format: 'complex', user: USER, session: OPAQUE },
      ),
      payload(`${CAEP}token-claims-change`, { claims: { g: ['x'], r: { s: 'y' } } }, USER),
      payload(
        `${CAEP}device-compliance-change`,
        { current_status: 'compliant' },
        { format: 'complex', device: USER, group: OPAQUE },
      ),
      payload(
        `${CAEP}risk-level-change`,
        { principal: 'USER', current_level: 'LOW', previous_level: 'HIGH' },
        USER,
      ),
      payload(
        `${CAEP}assurance-level-change`,
        { namespace: 'n', current_level: 'l', change_direction: 'increase' },
        USER,
      ),
      payload(
        `${CAEP}credential-change`,
        { credential_type: 'pin', change_type: 'update' },
        { format: 'jwt_id', iss: ISS, jti: 'j' },
      ),
      payload(`${RISC}account-enabled`, {}, { format: 'complex', user: USER, x: OPAQUE }),
      payload(
        `${RISC}account-disabled`,
        {},
        { format: 'aliases', identifiers: [USER, { format: 'email', email: 'A@b' }] },
      ),
      payload(`${RISC}identifier-changed`, {}, { format: 'account', uri: 'acct:a@b' }),
      payload('urn:x', {}, { format: 'uri', uri: 'spiffe://a/b' }),
    ].map(bytesOf),
    dictionary: [
      '"format":"complex"',
      '"format":"aliases"',
      '"format":"opaque"',
      '"user":',
      '"device":',
      '"session":',
      '"tenant":',
      '"application":',
      '"group":',
      '"identifiers":[]',
      '"event_timestamp":9999999999',
      'account-enabled',
      'account-disabled',
      'session-revoked',
      '"compliant"',
      '"not-compliant"',
      '"HIGH"',
      '"LOW"',
      '"__proto__":{}',
      'null',
      '{}',
      '[]',
      '1e400',
      '-1',
    ],
    maxBytes: 2048,
    run(input) {
      const claims = parsed(utf8(input));
      if (!claims) return 'no object';
      const set = readSetClaims(rules, claims, NOW);
      if ('err' in set) return set.description;
      if ('unavailable' in set) return 'not yet';
      const reading = effectsOf(set, effects, NOW);
      if (reading.outcome !== 'effects') return reading.outcome;
      must(reading.effects.length > 0, 'effects that are none');
      for (const effect of reading.effects) mustBeFair(effect, reading.ignored);
      return reading.effects[0]?.effect ?? '';
    },
  };
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function mustBeFair(effect: SecurityEffect, ignored: readonly string[]): void {
  must(effect.at >= 0 && effect.at <= NOW, 'an effect lies ahead of its time');
  const subjects: readonly SubjectRef[] = 'subjects' in effect ? effect.subjects : [effect.subject];
  must(subjects.length > 0, 'an effect is about nobody, and so about everybody');
  for (const { kind, id } of subjects)
    must(
      kind === 'workload' ? id.startsWith('spiffe://') : /^idp\/./su.test(id),
      'a name is of no issuer of ours',
    );
  must(!ignored.includes('application'), 'a critical member was not understood, and the event had an effect');
  if (ignored.length === 0) return;
  must(effect.effect !== 'restore' && effect.effect !== 'claims', 'more is let in than was named');
  if (effect.effect !== 'attributes') return;
  must(effect.attributes['compliant'] !== true, 'more devices are compliant than was said');
  must(effect.attributes['risk'] !== 'low', 'more is without risk than was said');
}
