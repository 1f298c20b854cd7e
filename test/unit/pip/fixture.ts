import { hash } from 'node:crypto';
import { createLocalJWKSet } from 'jose';
import type { AccessRequest, Peer } from '../../../src/pdp/access-request.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import type { Log } from '../../../src/pdp/log.ts';
import type { Clock } from '../../../src/pdp/ports.ts';
import type { Received } from '../../../src/pdp/trace.ts';
import type { KeySet } from '../../../src/pip/jwks/jwks.ts';
import type { TestIssuer } from '../../support/tokens.ts';

/** The time at which tests of this folder begin, Unix ms. */
export const START = Date.UTC(2026, 10, 22, 12);

/** A clock that only the test moves. */
export interface ManualClock extends Clock {
  /** Moves both the wall and the monotonic time on. */
  advance(ms: number): void;
}

export function manualClock(): ManualClock {
  let elapsed = 0;
  return {
    now: () => START + elapsed,
    monotonic: () => elapsed,
    advance(ms) {
      elapsed += ms;
    },
  };
}

/** A log that keeps what it is told. */
export interface MemoryLog extends Log {
  readonly entries: readonly { readonly level: string; readonly fields: object; readonly message: string }[];
  /** Everything that was logged, as one text. */
  text(): string;
}

export function memoryLog(): MemoryLog {
  const entries: { level: string; fields: object; message: string }[] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void entries.push({ level, fields, message });
  return {
    entries,
    text: () => JSON.stringify(entries),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}

/** The keys of a test issuer as a key set that is always fresh; counts the refreshes asked for. */
export function keySetOf(name: string, issuer: Pick<TestIssuer, 'jwks'>): KeySet & { refreshes: number } {
  const resolver = createLocalJWKSet({ keys: [...issuer.jwks.keys] });
  return {
    name,
    refreshes: 0,
    lastSuccess: START,
    failures: 0,
    start: async () => undefined,
    keys: () => resolver,
    requestRefresh() {
      this.refreshes += 1;
    },
    [Symbol.dispose]: () => undefined,
  };
}

const PEER: Peer = { principal: '', certificate: '', service: '' };

/** What a test says about a request; everything else is empty. */
export interface RequestParts {
  readonly headers?: readonly (readonly [string, string])[];
  readonly joined?: boolean;
  readonly source?: Partial<Peer>;
  readonly destination?: Partial<Peer>;
}

export function requestWith(parts: RequestParts = {}): AccessRequest {
  return {
    source: { ...PEER, ...parts.source },
    destination: { ...PEER, ...parts.destination },
    http: {
      method: 'GET',
      path: '/',
      host: 'api.example.com',
      scheme: 'https',
      protocol: 'HTTP/2',
      headers: new HeaderFields(parts.headers ?? [], parts.joined ?? false),
      size: 0,
    },
    streamId: '',
    sni: '',
    contextExtensions: new Map(),
    metadata: new Map(),
  };
}

/** The same question as the stages get it, received at `now`. */
export function receivedWith(parts: RequestParts = {}, now = START): Received {
  return receivedOf(requestWith(parts), now);
}

/** A question as the stages get it, received at `now`. */
export function receivedOf(request: AccessRequest, now = START): Received {
  const { method, path, host } = request.http;
  return {
    id: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a',
    surface: 'ext_authz',
    pep: { address: '127.0.0.1:50000' },
    receivedAt: now,
    startedAt: 0,
    request,
    canonical: { method, path, host },
  };
}

/** How a refusal names evidence. */
export function fingerprintOf(evidence: string | Uint8Array): string {
  return `sha256:${hash('sha256', evidence, 'base64url')}`;
}
