import { messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { SecurityEffects } from '../../pdp/security-event.ts';
import type { SharedState } from '../../pdp/shared-state.ts';
import type { CredentialFiles } from '../facts/http/secret-files.ts';
import { type KeySet, type KeySource, createKeySet } from '../jwks/jwks.ts';
import type { Issuer } from '../token/issuer.ts';
import { createChangedClaims } from './changed-claims.ts';
import type { EffectChoices } from './event-meaning.ts';
import { type EventReceiver, type EventTold, createReceiver } from './receiver.ts';
import { createReceivedEvents } from './received-events.ts';
import type { SetRules } from './set-claims.ts';
import { createSetVerifier } from './set-verifier.ts';
import { StreamHealth, type StreamReport } from './stream-health.ts';
import { type StreamRun, runStream } from './stream-run.ts';
import type { PartyMember } from './subject-identifiers.ts';
import { createSubjectNames } from './subject-names.ts';
import { openTransmitterHttp } from './transmitter-http.ts';
import { type VerificationStates, createVerificationStates } from './verification-states.ts';

/** A stream of security events as configured. */
export interface EventStreamOptions extends SetRules, StreamRun {
  readonly name: string;
  readonly algorithms: readonly string[];
  /** Where the keys of the transmitter are; absent: where its metadata say. */
  readonly keys?: KeySource;
  readonly credentials: CredentialFiles;
  readonly choices: EffectChoices;
  /** Types of events that it may send, by URI; absent: all that are known. */
  readonly allowed?: readonly string[];
  readonly issuersByIss: ReadonlyMap<string, string>;
  readonly defaultIssuers: Readonly<Partial<Record<PartyMember, string>>>;
  /** Whether it may name workloads, by their SPIFFE IDs. */
  readonly workloads: boolean;
  /** Members of subjects that must be understood, beside those of the metadata. */
  readonly criticalMembers: readonly string[];
}

/** What all streams share. */
export interface EventStreamParts {
  readonly effects: SecurityEffects;
  readonly state: SharedState;
  readonly issuers: readonly Issuer[];
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each SET. Must not throw. */
  readonly onEvent: (told: EventTold) => void;
}

/** A stream that is received. */
export interface EventStream extends AsyncDisposable {
  readonly name: string;
  readonly receive: EventReceiver;
  /** Sets the stream up, polls it and verifies it, as far as configured, in the background from now on. */
  start(): void;
  /** What is amiss, in an operator's words. */
  warnings(): readonly string[];
  report(): StreamReport;
}

/**
 * Opens a stream: it can receive, and does nothing of its own accord until it is started. Throws `InputError` for files and URLs that are not right;
 * a transmitter that does not answer is no reason not to start.
 */
export async function openEventStream(
  options: EventStreamOptions,
  parts: EventStreamParts,
): Promise<EventStream> {
  await using stack = new AsyncDisposableStack();
  const { name, issuer, credentials } = options;
  const { log, clock, state } = parts;
  const http = stack.use(await openTransmitterHttp({ name, credentials, log }));
  const health = new StreamHealth({ name, issuer, delivery: options.delivery.method });
  const states = createVerificationStates(name, state, clock);
  const held: Held = { keySet: undefined, critical: new Set(options.criticalMembers) };
  const takeKeys = async (source: KeySource, owner: AsyncDisposableStack): Promise<void> => {
    const keySet = owner.use(createKeySet({ name: `event stream ${name}`, source, clock, log }));
    await keySet.start();
    held.keySet = keySet;
  };
  if (options.keys) await takeKeys(options.keys, stack);
  const receive = receiverOf(options, parts, { health, states, held });
  const closing = new AbortController();
  const owned = stack.move();
  let running: Promise<void> | undefined;
  const run = { ...options, http, health, states, receive, clock, log, needsKeys: !options.keys };
  return {
    name,
    receive,
    start() {
      running ??= runStream(run, closing.signal, {
        takeKeys: (source) => takeKeys(source, owned),
        takeCritical: (members) => void (held.critical = new Set([...options.criticalMembers, ...members])),
      }).catch((error: unknown) => {
        health.step('set-up', `it failed in a way that it should not: ${messageOf(error)}`);
        log.error({ stream: name, err: error }, 'an event stream failed in a way that it should not');
      });
    },
    warnings: () => [
      ...(held.keySet?.keys(clock.now())
        ? []
        : [`the event stream '${name}': no usable keys of its transmitter`]),
      ...health.warnings(),
    ],
    report: () => health.report(),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
      await owned.disposeAsync();
    },
  };
}

/** What is known of the transmitter. */
interface Held {
  keySet: KeySet | undefined;
  critical: ReadonlySet<string>;
}

function receiverOf(
  options: EventStreamOptions,
  { effects, state, issuers, clock, onEvent }: EventStreamParts,
  { health, states, held }: { health: StreamHealth; states: VerificationStates; held: Held },
): EventReceiver {
  const { name: stream, issuer, choices, allowed } = options;
  return createReceiver({
    stream,
    choices,
    ...(allowed && { allowed: new Set(allowed) }),
    names: createSubjectNames({
      issuer,
      issuers,
      byIss: options.issuersByIss,
      defaults: options.defaultIssuers,
      workloads: options.workloads,
      critical: () => held.critical,
    }),
    changedClaims: createChangedClaims(issuers),
    verify: createSetVerifier({ ...options, clock, keySet: () => held.keySet }),
    effects,
    received: createReceivedEvents({ stream, state, clock }),
    states,
    health,
    clock,
    onEvent,
  });
}
