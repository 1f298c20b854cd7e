import type { ChildProcess } from 'node:child_process';
import { isRecord } from '../../pdp/external-json.ts';

/** A connection on its way to a worker. */
interface Underway {
  close(): void;
}

/**
 * Keeps account of connections that are on their way to a worker, and returns what closes them when it has ended. `node:cluster` holds such
 * a connection open until the worker has taken it, also when the worker is gone by then: whoever is at the other end would wait for minutes
 * instead of connecting anew. It tells nobody of them, so its messages (`newconn`, and the `ack` of their `seq`) are read here.
 */
export function watchHandovers(process: ChildProcess): () => void {
  const underway = new Map<unknown, Underway>();
  const send = process.send.bind(process) as (...all: unknown[]) => boolean;
  const watched = (...all: unknown[]): boolean => {
    const [message, handle] = all;
    if (isRecord(message) && message['act'] === 'newconn' && isUnderway(handle))
      underway.set(message['seq'], handle);
    return send(...all);
  };
  Object.assign(process, { send: watched });
  process.on('internalMessage', (message: unknown) => {
    if (isRecord(message)) underway.delete(message['ack']);
  });
  return () => {
    for (const handle of underway.values()) handle.close();
    underway.clear();
  };
}

function isUnderway(handle: unknown): handle is Underway {
  return typeof handle === 'object' && handle !== null && typeof Reflect.get(handle, 'close') === 'function';
}
