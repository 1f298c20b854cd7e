import { type EventType, about, isWord } from '../event-meaning.ts';

/** Where the URIs of RISC 1.0 §2 begin. */
export const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';

/** The events of RISC 1.0 §2, by the ends of their URIs. */
export const RISC_EVENTS: Readonly<Record<string, EventType>> = {
  'account-credential-change-required': about('void'),
  'account-purged': about('shut_off'),
  'account-disabled': about('shut_off'),
  'account-enabled': about('restore'),
  // The subject is the old identifier, or the one that is somebody else's from now on.
  'identifier-changed': about('void'),
  'identifier-recycled': about('void'),
  'credential-compromise': {
    subject: () => 'user',
    read: ({ credential_type: credential }) =>
      isWord(credential) ? { kind: 'void' } : 'credential_type is missing or not a string',
  },
  'sessions-revoked': about('void'),
  // The exchange of events and the recovery of accounts are between the user and the issuer.
  'opt-in': about('none'),
  'opt-out-initiated': about('none'),
  'opt-out-cancelled': about('none'),
  'opt-out-effective': about('none'),
  'recovery-activated': about('none'),
  'recovery-information-changed': about('none'),
};
