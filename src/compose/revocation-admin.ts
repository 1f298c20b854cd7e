import { OpsRefusal, openTokenCheck } from '../api/ops/ops-admin.ts';
import type { Route } from '../api/ops/ops-route.ts';
import {
  type RevocationAdmin,
  type RevocationChange,
  cursorText,
  revocationRoutes,
} from '../api/ops/revocations.ts';
import type { ControlKind } from '../audit/record/control-record.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { PdpError, messageOf } from '../pdp/errors.ts';
import type { WorkloadIdentity } from '../pdp/identity.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import type { EventOrigin, SecurityEffect, SecurityEffects } from '../pdp/security-event.ts';
import { type SubjectRef, subjectsKey } from '../pdp/subject-key.ts';
import { ADMIN } from '../pip/revocation/entries.ts';
import type { SharedRevocations } from '../pip/revocation/revocations.ts';
import { type Rule, timeText } from '../pip/revocation/rule.ts';
import { createSpiffeMatcher } from '../pip/spiffe/spiffe-matcher.ts';
import { createSubjectReader } from './subject-reader.ts';

interface Parts {
  readonly revocations: SharedRevocations;
  readonly writer: Pick<LogWriter, 'appendControl'>;
  readonly log: Log;
}

/**
 * Effects that are recorded in the decision log before they are put in force, so that nothing is in force that is not recorded. Where one
 * is recorded and may not have been put in force, that is recorded too. `by`: who has it done.
 */
export function createRecordedEffects({ revocations, writer, log }: Parts, by?: string): SecurityEffects {
  return {
    async apply(effects, event) {
      const kinds = event ? EVENT_KINDS : CHANGE_KINDS;
      const records = effects.map((effect) => ({ ...whoSays(effect, by, event), ...recordOf(effect) }));
      try {
        await Promise.all(
          records.map((record, i) => writer.appendControl(kinds.recorded, record, whoIn(effects[i]))),
        );
      } catch (error) {
        const words = `nothing was changed: the decision log cannot be written: ${messageOf(error)}`;
        throw new PdpError('audit_unavailable', words, { cause: error });
      }
      try {
        await revocations.apply(effects);
      } catch (error) {
        // Of events, which a transmitter sends again and again meanwhile, those who receive them tell.
        const told = event ? undefined : log;
        for (const [i, record] of records.entries()) {
          const unconfirmed = { kind: kinds.unconfirmed, about: whoIn(effects[i]) };
          tellUnconfirmed({ ...record, problem: messageOf(error) }, unconfirmed, { writer, log, told });
        }
        throw error;
      }
      if (event) return;
      for (const record of records) log.info(record, 'a revocation has changed');
    },
  };
}

interface Kinds {
  readonly recorded: ControlKind;
  readonly unconfirmed: ControlKind;
}

const CHANGE_KINDS: Kinds = { recorded: 'revocation_changed', unconfirmed: 'revocation_change_unconfirmed' };
const EVENT_KINDS: Kinds = { recorded: 'security_event', unconfirmed: 'security_event_unconfirmed' };

function tellUnconfirmed(
  record: Readonly<Record<string, string | undefined>>,
  { kind, about }: { readonly kind: ControlKind; readonly about: readonly SubjectRef[] },
  { writer, log, told }: Pick<Parts, 'writer' | 'log'> & { readonly told: Log | undefined },
): void {
  told?.error(record, 'a recorded change of a revocation may not be in force');
  writer
    .appendControl(kind, record, about)
    .catch((error: unknown) => log.error({ ...record, err: error }, 'and that is not recorded'));
}

function whoSays(effect: SecurityEffect, by: string | undefined, event: EventOrigin | undefined) {
  if (event) return { stream: event.stream, event: event.event, jti: event.id };
  return { source: effect.source, by, reason: effect.reason };
}

function whoIn(effect: SecurityEffect | undefined): readonly SubjectRef[] {
  if (!effect) return [];
  return 'subjects' in effect ? effect.subjects : [effect.subject];
}

/** Names of what has changed, never values of claims. */
function recordOf(effect: SecurityEffect) {
  const changed =
    effect.effect === 'claims'
      ? [...Object.keys(effect.claims), ...(effect.groups ? ['groups'] : [])].join(' ')
      : undefined;
  const until = effect.effect === 'shut_off' ? effect.until : undefined;
  return {
    effect: effect.effect,
    subjects: wordsOf(whoIn(effect)),
    at: timeText(effect.at),
    until: until === undefined ? undefined : timeText(until),
    attributes: effect.effect === 'attributes' ? JSON.stringify(effect.attributes) : undefined,
    claims: changed,
  };
}

function wordsOf(subjects: readonly SubjectRef[]): string {
  return subjects.map(({ kind, id }) => `${kind} ${id}`).join(' with ');
}

/** What the ops surface can do with revocations. */
export function createRevocationAdmin(parts: Parts & { readonly clock: Clock }): RevocationAdmin {
  const { revocations, clock } = parts;
  return {
    list(limit, after) {
      const rules = revocations.list();
      const rest = after ? rules.filter((rule) => isAfter(rule, after)) : rules;
      const page = rest.slice(0, limit);
      const last = rest.length > limit ? page.at(-1) : undefined;
      return {
        in_force: rules.length,
        lag_ms: jsonNumber(revocations.lagMs()),
        revocations: page.map((rule) => ({ ...jsonOf(rule), ...effectJson(rule, revocations) })),
        ...(last && { next: cursorText(last) }),
      };
    },
    async change(change, by) {
      refuseIdle(change, revocations);
      const effect = effectOf(change, revocations, clock.now());
      await createRecordedEffects(parts, by).apply([effect]);
      const key = subjectsKey(change.subjects);
      const inForce = revocations.list().filter(({ subjects }) => subjectsKey(subjects) === key);
      return {
        action: change.action,
        subjects: change.subjects,
        at: timeText(effect.at),
        in_force: inForce.map(jsonOf),
      };
    },
  };
}

function jsonNumber(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value) : null;
}

function isAfter(rule: Rule, after: { readonly at: number; readonly key: string }): boolean {
  return rule.at < after.at || (rule.at === after.at && rule.key > after.key);
}

function jsonOf({ effect, subjects, at, until, source, reason }: Rule) {
  return {
    effect: effect === 'void' ? 'revoked' : 'shut_off',
    subjects,
    at: timeText(at),
    ...(until !== undefined && { until: timeText(until) }),
    source,
    ...(reason !== undefined && { reason }),
  };
}

/** What it has done in this process; others count for themselves. */
function effectJson(rule: Rule, revocations: SharedRevocations) {
  const { refused, lastAt } = revocations.effectOf(rule) ?? { refused: 0 };
  return { refused, ...(lastAt !== undefined && { last_refused: timeText(lastAt) }) };
}

/** The clock of another replica may be ahead of ours: what is done last here counts last. */
function effectOf(change: RevocationChange, revocations: SharedRevocations, now: number): SecurityEffect {
  const { action, subjects, forS, reason } = change;
  const told = { subjects, source: ADMIN, reason };
  if (action === 'revoke') return { ...told, effect: 'void_before', at: now };
  const at = Math.max(now, revocations.changedAt(subjects) + 1);
  if (action === 'restore') return { ...told, effect: 'restore', at };
  return { ...told, effect: 'shut_off', at, ...(forS !== undefined && { until: now + forS * 1000 }) };
}

/** An operator who lifts what is not there has mistyped, or means another. */
function refuseIdle({ action, subjects }: RevocationChange, revocations: SharedRevocations): void {
  if (action !== 'restore') return;
  const key = subjectsKey(subjects);
  const rules = revocations.list().filter((rule) => subjectsKey(rule.subjects) === key);
  const held = rules.filter(({ effect }) => effect === 'off');
  const voided = rules.length > held.length;
  if (held.some(({ source }) => source !== 'file')) return;
  if (held.length === 0 && !Number.isFinite(revocations.lagMs()))
    throw new PdpError(
      'state_unavailable',
      'nothing was changed: revocations were never read since the start',
    );
  throw new OpsRefusal(409, `${wordsOf(subjects)} ${idleWords(held, voided)}`);
}

function idleWords(held: readonly Rule[], voided: boolean): string {
  if (held.length > 0) return 'is shut off by revocation.file: take it out there';
  return voided
    ? 'is not shut off: what is void stays void, and what is issued now is good'
    : 'is not shut off';
}

/** Who does what the routes are asked for, and whom they do not listen to. */
export interface RevocationRouteSource {
  readonly admin: RevocationAdmin;
  isShutOff(workload: WorkloadIdentity): boolean | Promise<boolean>;
}

/** The routes of revocation on the ops surface, by the configuration. Throws `InputError` for a token that cannot be used. */
export function revocationRoutesOf(
  config: Config,
  source: RevocationRouteSource,
): ReadonlyMap<string, readonly Route[]> {
  const { admins, admin_token_file: tokenFile } = config.revocation;
  const matcher = createSpiffeMatcher(admins);
  return revocationRoutes({
    admin: source.admin,
    isAdmin: (workload) => matcher.matches(workload),
    isShutOff: (workload) => source.isShutOff(workload),
    ...(isPlaintext('ops', config.ops) && tokenFile !== undefined && { token: openTokenCheck(tokenFile) }),
    readSubject: createSubjectReader(config),
  });
}
