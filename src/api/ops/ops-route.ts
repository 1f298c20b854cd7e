import type { IncomingMessage } from 'node:http';
import type { Pep } from '../../pdp/access-request.ts';

/** An answer of the ops surface. */
export interface Sent {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the ops surface does at one path for one method. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Whether it takes a query. */
  readonly query?: true;
  /** `own`: it looks itself who may call; the allow list of the surface counts for nothing. */
  readonly callers?: 'own';
  /** Throws an `OpsRefusal`, or a `PdpError` for what cannot be done now. */
  answer(request: IncomingMessage, caller: Pep): Sent | Promise<Sent>;
}

/** One line of text. */
export function text(status: number, words: string): Sent {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${words}\n` };
}

/** A value as JSON. */
export function json(status: number, value: object): Sent {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}
