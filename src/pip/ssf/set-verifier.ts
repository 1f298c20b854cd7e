import { setTimeout as delay } from 'node:timers/promises';
import { isRefusal } from '../../pdp/decision.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { KeySet } from '../jwks/jwks.ts';
import { createSignatureLimiter } from '../limiter.ts';
import { parseCompactJws } from '../token/compact-jws.ts';
import { normaliseType } from '../token/issuer.ts';
import { signatureRefusal } from '../token/token-signature.ts';
import { type SetErrorCode, type SetProblem, type SetReading, setProblem } from './security-event-token.ts';
import { type SetRules, addressProblem, readSetClaims } from './set-claims.ts';

/** Settings of {@link createSetVerifier}. */
export interface SetVerifierOptions extends SetRules {
  /** Accepted values of `alg`. */
  readonly algorithms: readonly string[];
  /** The keys of the transmitter; `undefined` while it is not known where they are. */
  readonly keySet: () => KeySet | undefined;
  readonly clock: Clock;
  /** How long a SET that none of our keys has made waits for newer keys, in ms; default 2000. */
  readonly waitForKeysMs?: number;
}

/** Verifies the SETs of one stream. Never throws for what a SET holds. */
export type SetVerifier = (text: string) => Promise<SetReading>;

/** `typ` of a SET (RFC 8417 §2.3): nothing else of the same issuer can be taken for one, nor one for anything else. */
const SET_TYPE = 'secevent+jwt';

/**
 * Makes the verifier of one stream: one canonical spelling, explicit type, pinned algorithms, issuer, audience, signature, claims.
 */
export function createSetVerifier(options: SetVerifierOptions): SetVerifier {
  const { clock, keySet } = options;
  const check = createSignatureCheck(options);
  return async (text) => {
    const jws = parseCompactJws(text);
    if (isRefusal(jws)) return refused('invalid_request', `this is not a SET: ${jws.detail ?? 'malformed'}`);
    const early = headerProblem(options, jws.header) ?? addressProblem(options, jws.payload);
    if (early !== undefined) return { problem: early };
    const keys = keySet();
    if (keys === undefined) return { unavailable: 'the keys of the transmitter are not known yet' };
    const { alg, kid } = jws.header;
    const question = { text, algorithm: String(alg), ...(typeof kid === 'string' && { kid }) };
    const unsigned = await check(keys, question);
    if (unsigned !== undefined) return unsigned;
    const claims = readSetClaims(options, jws.payload, clock.now());
    if ('unavailable' in claims) return claims;
    return 'err' in claims ? { problem: claims } : { set: claims };
  };
}

function refused(err: SetErrorCode, description: string): SetReading {
  return { problem: setProblem(err, description) };
}

function headerProblem(
  { algorithms }: SetVerifierOptions,
  { typ, alg }: Readonly<Record<string, unknown>>,
): SetProblem | undefined {
  if (typeof typ !== 'string' || normaliseType(typ) !== SET_TYPE)
    return setProblem('invalid_request', `typ is not ${SET_TYPE}`);
  return typeof alg === 'string' && algorithms.includes(alg)
    ? undefined
    : setProblem('invalid_key', `alg is not one of ${algorithms.join(', ')}`);
}

interface SignatureQuestion {
  readonly text: string;
  readonly algorithm: string;
  readonly kid?: string;
}

/** Refusals that newer keys may turn around: an issuer that gives a new key an old id shows a rotation as a signature that does not match. */
const MAY_BE_OF_NEWER_KEYS: ReadonlySet<string> = new Set(['token_key_unknown', 'token_signature_invalid']);

/** Keys that were confirmed so shortly ago are the newest there are. */
const FRESH_MS = 1000;

/**
 * Checks signatures; `undefined`: it is right. What none of our keys has made is refused only by keys that were confirmed a moment ago: a transmitter
 * that is told `invalid_key` does not send it again. Those who wait for keys wait together, and take no room from others.
 */
function createSignatureCheck({ clock, waitForKeysMs = 2000 }: SetVerifierOptions) {
  const limiter = createSignatureLimiter();
  let waiting: Promise<void> | undefined;
  return async (keySet: KeySet, question: SignatureQuestion): Promise<SetReading | undefined> => {
    const check = () => limiter.run(() => verdictOf(keySet, question, clock.now()));
    const confirmedAt = keySet.lastSuccess;
    const first = await check();
    if (first === undefined || first === 'full') return first && BUSY;
    if (!MAY_BE_OF_NEWER_KEYS.has(first.refusal)) return answerOf(first);
    if (confirmedAt !== undefined && clock.now() - confirmedAt < FRESH_MS) return answerOf(first);
    keySet.requestRefresh(question.kid);
    waiting ??= untilConfirmed(keySet, confirmedAt, waitForKeysMs).finally(() => (waiting = undefined));
    await waiting;
    if (keySet.lastSuccess === confirmedAt)
      return { unavailable: 'newer keys of the transmitter cannot be had now' };
    const second = await check();
    return second === 'full' ? BUSY : second && answerOf(second);
  };
}

const BUSY: SetReading = { unavailable: 'too many SETs wait to be verified' };
const KEY_POLL_MS = 20;

async function untilConfirmed(keySet: KeySet, before: number | undefined, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  while (keySet.lastSuccess === before && performance.now() < end) await delay(KEY_POLL_MS);
}

interface Verdict {
  readonly refusal: string;
}

async function verdictOf(
  keySet: KeySet,
  { text, algorithm }: SignatureQuestion,
  now: number,
): Promise<Verdict | undefined> {
  const keys = keySet.keys(now);
  if (keys === undefined) {
    keySet.requestRefresh();
    return { refusal: 'no_keys' };
  }
  return await signatureRefusal(text, keys, algorithm);
}

function answerOf({ refusal }: Verdict): SetReading {
  switch (refusal) {
    case 'no_keys':
      return { unavailable: 'no keys of the transmitter are at hand' };
    case 'token_signature_invalid':
      return refused('authentication_failed', 'the signature does not match');
    case 'token_key_unknown':
      return refused('invalid_key', 'the SET is not signed with a key that its issuer publishes');
    default:
      return refused('invalid_key', 'the key that signed the SET cannot be used');
  }
}
