import { PdpError } from '../../../../src/pdp/errors.ts';
import type { SecurityEffect, SecurityEffects } from '../../../../src/pdp/security-event.ts';
import type { SharedState } from '../../../../src/pdp/shared-state.ts';
import { openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { createChangedClaims } from '../../../../src/pip/ssf/changed-claims.ts';
import { CAEP } from '../../../../src/pip/ssf/events/caep.ts';
import { RISC } from '../../../../src/pip/ssf/events/risc.ts';
import { type EventTold, createReceiver } from '../../../../src/pip/ssf/receiver.ts';
import { createReceivedEvents } from '../../../../src/pip/ssf/received-events.ts';
import type { EffectRules } from '../../../../src/pip/ssf/event-effects.ts';
import { createSetVerifier } from '../../../../src/pip/ssf/set-verifier.ts';
import { StreamHealth } from '../../../../src/pip/ssf/stream-health.ts';
import { createSubjectNames } from '../../../../src/pip/ssf/subject-names.ts';
import { createVerificationStates } from '../../../../src/pip/ssf/verification-states.ts';
import { type IssuerOptions, createIssuer } from '../../../../src/pip/token/issuer.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock, memoryLog } from '../fixture.ts';

/** `iss` of the transmitter. */
export const TRANSMITTER = 'https://idp.example.com/123456789/';
/** What SETs of a test are for. */
export const AUDIENCE = 'https://pdp.example.com/events';
/** Unix seconds of {@link START}. */
export const NOW = START / 1000;

/** Alice as the transmitter names her. */
export const ALICE = { format: 'iss_sub', iss: TRANSMITTER, sub: 'alice' };
/** Her laptop. */
export const LAPTOP = { format: 'iss_sub', iss: TRANSMITTER, sub: 'laptop-1' };

const IDP: IssuerOptions = {
  name: 'idp',
  issuer: TRANSMITTER,
  use: 'user',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  types: ['at+jwt'],
  claims: {
    groups: 'groups',
    deviceId: 'device_id',
    attributes: {
      role: { claim: 'role', type: 'string' },
      realm_role: { claim: '/realm/role', type: 'string' },
    },
  },
};

/** The claims of a SET about `event`; a claim that is `undefined` is left out. */
export function setClaims(
  type: string,
  event: Readonly<Record<string, unknown>> = {},
  subject: unknown = ALICE,
  claims: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    sub: undefined,
    exp: undefined,
    jti: 'set-1',
    sub_id: subject,
    events: { [type]: event },
    ...claims,
  };
}

/** URI of a CAEP event. */
export function caep(name: string): string {
  return `${CAEP}${name}`;
}

/** URI of a RISC event. */
export function risc(name: string): string {
  return `${RISC}${name}`;
}

/** Effects that are kept, until it fails. */
export interface KeptEffects extends SecurityEffects {
  readonly applied: SecurityEffect[];
  /** The next `apply` calls reject while it is set. */
  fails: boolean;
}

export function keptEffects(): KeptEffects {
  const applied: SecurityEffect[] = [];
  return {
    applied,
    fails: false,
    async apply(effects) {
      if (this.fails) throw new PdpError('state_unavailable', 'the test says so');
      applied.push(...effects);
    },
  };
}

/** How a test changes the stream. */
export interface StreamChanges extends Partial<Pick<EffectRules, 'choices' | 'allowed'>> {
  readonly issuers?: readonly IssuerOptions[];
  readonly byIss?: ReadonlyMap<string, string>;
  readonly defaults?: Parameters<typeof createSubjectNames>[0]['defaults'];
  readonly workloads?: boolean;
  readonly critical?: readonly string[];
  readonly state?: SharedState;
}

/** Settings of a stream of {@link TRANSMITTER}, whose users are those of our issuer `idp`. */
export function effectRules(changes: StreamChanges = {}): EffectRules {
  const issuers = (changes.issuers ?? [IDP]).map(createIssuer);
  return {
    stream: 'idp-events',
    choices: changes.choices ?? { credentialChangeVoids: true, highRiskVoids: ['session'] },
    ...(changes.allowed && { allowed: changes.allowed }),
    names: createSubjectNames({
      issuer: TRANSMITTER,
      issuers,
      byIss: changes.byIss ?? new Map(),
      defaults: changes.defaults ?? {},
      workloads: changes.workloads ?? true,
      critical: () => new Set(changes.critical),
    }),
    changedClaims: createChangedClaims(issuers),
  };
}

/** A stream that receives for real, with effects that are kept in a list. */
export async function receivingStream(changes: StreamChanges = {}) {
  const clock = manualClock();
  const log = memoryLog();
  const transmitter: TestIssuer = await createTestIssuer({
    issuer: TRANSMITTER,
    audience: AUDIENCE,
    typ: 'secevent+jwt',
    now: () => clock.now(),
  });
  const state = changes.state ?? (await openEmbeddedState({ clock, log, maxEntries: 1000, timeoutMs: 1000 }));
  const effects = keptEffects();
  const told: EventTold[] = [];
  const health = new StreamHealth({ name: 'idp-events', delivery: 'push', issuer: TRANSMITTER });
  const states = createVerificationStates('idp-events', state, clock);
  const keySet = keySetOf('idp-events', transmitter);
  const receive = createReceiver({
    ...effectRules(changes),
    verify: createSetVerifier({
      issuer: TRANSMITTER,
      audiences: [AUDIENCE],
      algorithms: ['ES256'],
      maxAgeSeconds: 3600,
      skewSeconds: 30,
      keySet: () => keySet,
      clock,
      waitForKeysMs: 0,
    }),
    effects,
    received: createReceivedEvents({ stream: 'idp-events', state, clock }),
    states,
    health,
    clock,
    onEvent: (event) => void told.push(event),
  });
  return { clock, log, transmitter, state, effects, told, health, states, keySet, receive };
}
