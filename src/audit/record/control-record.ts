import { timestampText } from './json-value.ts';
import { RECORD_VERSION } from './record.ts';

/** Records that are about no single answer: about the log itself, and about what all answers come from. */
export type ControlKind =
  | 'boot'
  | 'shutdown'
  | 'recovered'
  | 'gap'
  | 'heartbeat'
  | 'config_changed'
  | 'key_rotated'
  | 'pruned'
  | 'erased'
  | 'log_read'
  | 'replay_run'
  | 'policy_activated'
  | 'search'
  | 'revocation_changed'
  | 'revocation_change_unconfirmed'
  | 'security_event'
  | 'security_event_unconfirmed'
  | 'grant_changed'
  | 'grant_change_unconfirmed';

/** `state` of an `erased` record that says what is about to be erased; the one that says how much was has none. */
export const ERASURE_BEGUN = 'begun';

/** Members of a control record by name; absent ones are left out. */
export type ControlFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** What a control record holds. */
export interface ControlRecord {
  readonly kind: ControlKind;
  /** Origin name of the log. */
  readonly log: string;
  readonly index: number;
  /** Unix ms. */
  readonly now: number;
  /** The members that belong to the kind, as JSON text without braces. */
  readonly fields: string;
}

/** The line of a control record, without line feed. Its first fields are those of a decision record. */
export function controlLine({ kind, log, index, now, fields }: ControlRecord): string {
  const head = `{"v":${RECORD_VERSION},"kind":"${kind}","log":${JSON.stringify(log)},"index":${index}`;
  return `${head},"timestamp":"${timestampText(now)}",${fields}}`;
}

/** What a `boot` record says of the run that begins. */
export interface Boot {
  readonly durability: string;
  /** How the run before it ended. */
  readonly previousRun: string;
  /** Names of the surfaces that take any caller, by choice (docs/mutual-tls.md). */
  readonly plaintext: readonly string[];
  /** What else is worth knowing of it. */
  readonly about?: ControlFields;
}

/** The members of a `boot` record, as JSON text without braces. */
export function bootFields({ durability, previousRun, plaintext, about }: Boot): string {
  const run = {
    durability,
    previous_run: previousRun,
    plaintext,
    pid: process.pid,
    node: process.version,
    ...about,
  };
  return JSON.stringify(run).slice(1, -1);
}
