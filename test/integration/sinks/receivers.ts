import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { type Server as SecureServer, createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/** One request that a receiver got whole. */
export interface Received {
  readonly headers: IncomingMessage['headers'];
  /** Unpacked. */
  readonly body: string;
}

/** A receiver over HTTP that can be stopped, and told how to answer. */
export class Receiver implements AsyncDisposable {
  readonly received: Received[] = [];
  /** Requests that were answered 2xx. */
  readonly taken: Received[] = [];
  /** Status of the answer to a request; `undefined`: there is none. */
  answer: (request: Received) => number | undefined = () => 204;
  port = 0;
  readonly #tls: { readonly cert: string; readonly key: string; readonly ca: string } | undefined;
  #server: Server | SecureServer | undefined;

  constructor(tls?: { readonly cert: string; readonly key: string; readonly ca: string }) {
    this.#tls = tls;
  }

  async start(): Promise<void> {
    const handle = (request: IncomingMessage, response: ServerResponse) =>
      void this.#handle(request, response);
    this.#server = this.#tls
      ? createSecureServer({ ...this.#tls, requestCert: true, rejectUnauthorized: true }, handle)
      : createServer(handle);
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    ({ port: this.port } = this.#server.address() as AddressInfo);
  }

  /** Cuts every connection. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // What is cut off in the middle was not taken.
    const status = await this.#take(request).catch(() => undefined);
    if (status !== undefined) response.writeHead(status, { 'content-type': 'application/json' }).end();
  }

  async #take(request: IncomingMessage): Promise<number | undefined> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString();
    const received = { headers: request.headers, body };
    this.received.push(received);
    const status = this.answer(received);
    if (status !== undefined && status < 300) this.taken.push(received);
    return status;
  }
}
