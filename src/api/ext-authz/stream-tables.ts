import type { Http2Session } from 'node:http2';
import { isKnownNode } from './known-node.ts';

/**
 * Has a session that has no streams yet keep them in tables that V8 can collect. Those of Node.js are a `Map` and a `Set`: where elements come and go,
 * V8 replaces their table all the time, and each refers to the next. A full collection promotes the one in use to the old generation; soon dead, it keeps
 * all that follow alive there, and every stream in them, until the next full collection (ADR 0030). False, and nothing done, where Node.js keeps them in
 * another way than it did, or is not one that we know.
 */
export function replaceStreamTables(session: Http2Session, version = process.versions.node): boolean {
  if (!isKnownNode(version)) return false;
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state');
  const state: unknown = key && Reflect.get(session, key);
  if (typeof state !== 'object' || state === null || !('streams' in state) || !('pendingStreams' in state))
    return false;
  if (!isEmpty(state.streams) || !isEmpty(state.pendingStreams)) return false;
  state.streams = new StreamsById();
  state.pendingStreams = new PendingStreams();
  return true;
}

/** Those of Node.js are instances of neither `Map` nor `Set`, but of copies that scripts cannot patch. */
function isEmpty(table: unknown): boolean {
  return typeof table === 'object' && table !== null && 'size' in table && table.size === 0;
}

/** What Node.js calls of its `Map` of streams. There are at most as many as may be open at once, and looking through small integers is quick. */
class StreamsById<T> {
  readonly #ids: number[] = [];
  readonly #streams: T[] = [];

  get size(): number {
    return this.#ids.length;
  }

  get(id: number): T | undefined {
    return this.#streams[this.#ids.indexOf(id)];
  }

  set(id: number, stream: T): void {
    const at = this.#ids.indexOf(id);
    if (at >= 0) this.#streams[at] = stream;
    else {
      this.#ids.push(id);
      this.#streams.push(stream);
    }
  }

  delete(id: number): boolean {
    const at = this.#ids.indexOf(id);
    if (at < 0) return false;
    takeOut(this.#ids, at);
    takeOut(this.#streams, at);
    return true;
  }

  forEach(run: (stream: T, id: number) => void): void {
    // Whoever is destroyed is deleted at once.
    const [ids, streams] = [[...this.#ids], [...this.#streams]];
    for (const [index, stream] of streams.entries()) run(stream, ids[index] ?? 0);
  }
}

/** Nobody asks in which order they are. */
function takeOut(list: unknown[], at: number): void {
  const last = list.pop();
  if (last !== undefined && at < list.length) list[at] = last;
}

/** What Node.js calls of its `Set` of streams without an id: on a server one that is being made, hardly ever two. */
class PendingStreams<T> {
  readonly #streams: T[] = [];

  get size(): number {
    return this.#streams.length;
  }

  add(stream: T): void {
    if (!this.#streams.includes(stream)) this.#streams.push(stream);
  }

  delete(stream: T): boolean {
    const at = this.#streams.indexOf(stream);
    if (at < 0) return false;
    takeOut(this.#streams, at);
    return true;
  }

  forEach(run: (stream: T) => void): void {
    // Whoever is destroyed is deleted at once.
    const all = [...this.#streams];
    for (const stream of all) run(stream);
  }
}
