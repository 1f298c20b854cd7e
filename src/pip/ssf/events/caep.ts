import { isRecord } from '../../../pdp/external-json.ts';
import {
  type EffectChoices,
  type EventMeaning,
  type EventMembers,
  type EventType,
  about,
  isOneOf,
  isWord,
} from '../event-meaning.ts';
import type { PartyMember } from '../subject-identifiers.ts';

/** Where the URIs of CAEP 1.0 §3 begin. */
export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';

const LEVELS = ['LOW', 'MEDIUM', 'HIGH'] as const;
const STATUSES = ['compliant', 'not-compliant'] as const;
const CHANGES = ['create', 'revoke', 'update', 'delete'] as const;
const DIRECTIONS = ['increase', 'decrease'] as const;

/** The events of CAEP 1.0 §3, by the ends of their URIs. */
export const CAEP_EVENTS: Readonly<Record<string, EventType>> = {
  'session-revoked': {
    // CAEP 1.0 §3.1.2: an opaque id alone is the session's; whoever names a user means all of them.
    subject: () => 'session',
    read: () => ({ kind: 'void' }),
  },
  'token-claims-change': { subject: () => 'user', read: readClaims },
  'credential-change': { subject: () => 'user', read: readCredential },
  'assurance-level-change': { subject: () => 'user', read: readAssurance },
  'device-compliance-change': { subject: () => 'device', read: readCompliance },
  'session-established': about('none'),
  'session-presented': about('none'),
  'risk-level-change': { subject: riskSubject, read: readRisk },
};

function readClaims({ claims }: EventMembers): EventMeaning | string {
  if (!isRecord(claims) || Object.keys(claims).length === 0) return 'claims is not an object with claims';
  return { kind: 'claims', claims };
}

function readCredential(
  { credential_type: credential, change_type: change }: EventMembers,
  { credentialChangeVoids }: EffectChoices,
): EventMeaning | string {
  if (!isWord(credential)) return 'credential_type is missing or not a string';
  if (!isOneOf(change, CHANGES)) return `change_type is not one of ${CHANGES.join(', ')}`;
  return { kind: change !== 'create' && credentialChangeVoids ? 'void' : 'none' };
}

function readAssurance({
  namespace,
  current_level: level,
  previous_level: previous,
  change_direction: direction,
}: EventMembers): EventMeaning | string {
  if (!isWord(namespace)) return 'namespace is missing or not a string';
  if (!isWord(level)) return 'current_level is missing or not a string';
  if (previous !== undefined && !isWord(previous)) return 'previous_level is not a string';
  if (direction !== undefined && !isOneOf(direction, DIRECTIONS))
    return `change_direction is not one of ${DIRECTIONS.join(', ')}`;
  return {
    kind: 'attributes',
    of: 'user',
    attributes: { assurance_namespace: namespace, assurance_level: level },
    // Not said is not known: it may have risen.
    loosens: direction !== 'decrease',
  };
}

function readCompliance({
  current_status: status,
  previous_status: previous,
}: EventMembers): EventMeaning | string {
  if (!isOneOf(status, STATUSES)) return `current_status is not one of ${STATUSES.join(', ')}`;
  // CAEP 1.0 §3.5.1 requires it; nothing here depends on it, and there are transmitters without.
  if (previous !== undefined && !isOneOf(previous, STATUSES))
    return `previous_status is not one of ${STATUSES.join(', ')}`;
  const compliant = status === 'compliant';
  return { kind: 'attributes', of: 'device', attributes: { compliant }, loosens: compliant };
}

function riskSubject({ principal }: EventMembers): PartyMember {
  switch (principal) {
    case 'DEVICE':
      return 'device';
    case 'SESSION':
      return 'session';
    case 'TENANT':
      return 'tenant';
    default:
      return 'user';
  }
}

function readRisk(
  { principal, current_level: level, previous_level: previous }: EventMembers,
  { highRiskVoids }: EffectChoices,
): EventMeaning | string {
  if (!isWord(principal)) return 'principal is missing or not a string';
  if (!isOneOf(level, LEVELS)) return `current_level is not one of ${LEVELS.join(', ')}`;
  if (previous !== undefined && !isOneOf(previous, LEVELS))
    return `previous_level is not one of ${LEVELS.join(', ')}`;
  if (principal === 'USER' || principal === 'DEVICE') {
    const rose = previous !== undefined && LEVELS.indexOf(level) > LEVELS.indexOf(previous);
    return {
      kind: 'attributes',
      of: principal === 'USER' ? 'user' : 'device',
      attributes: { risk: level.toLowerCase() },
      loosens: level !== 'HIGH' && !rose,
    };
  }
  const voids = level === 'HIGH' && isOneOf(principal.toLowerCase(), highRiskVoids);
  return { kind: voids ? 'void' : 'none' };
}
