import type { Socket } from 'node:net';
import type { Clock } from '../../pdp/ports.ts';
import { LineLimiter } from '../../pdp/line-limiter.ts';
import type { Log } from '../../pdp/log.ts';
import type { SvidProblem } from '../../pdp/x509-svid.ts';

/** Why a connection was refused or cut: what is wrong with the peer's certificate, or with the connection as such. */
export type RefusalCause = SvidProblem['cause'] | 'handshake' | 'protocol' | 'no_identity' | 'capacity';

/** Refuses connections, in words and in numbers. Disposing of it says what is still unsaid. */
export interface Refusals extends Disposable {
  /** Closes the connection at once. */
  refuse(socket: Socket, cause: RefusalCause, problem: string): void;
  /** For connections that are closed already. */
  count(cause: RefusalCause, problem: string): void;
  /** The next connection from this local port is our own check: its refusal is what is wanted, and no news. */
  expectFrom(port: number | undefined): void;
}

interface Line {
  readonly cause: RefusalCause;
  readonly problem: string;
  readonly peer: string | undefined;
}

/** Makes the refusals of one surface. */
export function createRefusals(
  surface: string,
  parts: {
    readonly clock: Clock;
    readonly log: Log;
    onRefused(surface: string, cause: RefusalCause): void;
  },
): Refusals {
  const lines = new LineLimiter<RefusalCause, Line>(parts.clock, ({ cause, problem, peer }, unsaid) =>
    parts.log.warn({ surface, cause, peer, ...unsaid }, `a connection was refused: ${problem}`),
  );
  let expected: number | undefined;
  const count = (cause: RefusalCause, problem: string, peer?: string): void => {
    parts.onRefused(surface, cause);
    lines.tell(cause, { cause, problem, peer });
  };
  return {
    count: (cause, problem) => count(cause, problem),
    refuse(socket, cause, problem) {
      const { remoteAddress, remotePort } = socket;
      socket.destroy();
      if (expected !== undefined && remotePort === expected) return;
      count(cause, problem, remoteAddress === undefined ? undefined : `${remoteAddress}:${remotePort}`);
    },
    expectFrom: (port) => void (expected = port),
    [Symbol.dispose]: () => lines[Symbol.dispose](),
  };
}
