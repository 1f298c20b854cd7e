import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestIssuer, createTestIssuer } from './tokens.ts';

/** An answer of a transmitter in the place of the usual one. */
export interface Instead {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A request that a transmitter got. */
export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A transmitter of the Shared Signals Framework, over real HTTP on loopback. Its token is {@link TRANSMITTER_TOKEN}. */
export interface TestTransmitter extends AsyncDisposable {
  /** `iss`, with a path. */
  readonly issuer: string;
  readonly jwksUrl: string;
  readonly pollUrl: string;
  readonly signer: TestIssuer;
  readonly asked: readonly Asked[];
  /** The streams that were made, by id. */
  readonly streams: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** Merged over what the metadata say. */
  metadata: Readonly<Record<string, unknown>>;
  /** What the status endpoint says. */
  status: string;
  /** Whether verification events are sent where they are asked for. */
  verifies: boolean;
  /** Asked first for each request; what it returns is answered. */
  instead: (asked: Asked) => Instead | undefined;
  /** Signs a SET: our issuer, the usual audience, now. */
  set(type: string, event: object, subject: object, claims?: object): Promise<string>;
  /** Leaves a SET to be polled, under its `jti`. */
  enqueue(jti: string, set: string): void;
  /** Ids of the SETs that wait to be polled or acknowledged. */
  waiting(): readonly string[];
  /** What was said of SETs that were refused, by id. */
  readonly errors: ReadonlyMap<string, unknown>;
  /** Pushes a SET as RFC 8935 says. */
  push(url: string, set: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
}

/** Bearer token of the management and of polls. */
export const TRANSMITTER_TOKEN = 'transmitter-token-canary-5b1d';
/** `aud` of its SETs. */
export const RECEIVER = 'https://pdp.example.com/events';

const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';

/** Starts a transmitter; long polls are answered within 200 ms. */
export async function startTransmitter(alg = 'RS256'): Promise<TestTransmitter> {
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${origin}/tenant-1/`;
  const signer = await createTestIssuer({ issuer, audience: RECEIVER, alg, typ: 'secevent+jwt' });
  const streams = new Map<string, Record<string, unknown>>();
  const queue = new Map<string, string>();
  const errors = new Map<string, unknown>();
  const asked: Asked[] = [];
  const transmitter: TestTransmitter = {
    issuer,
    jwksUrl: `${origin}/jwks`,
    pollUrl: `${origin}/poll`,
    signer,
    asked,
    streams,
    errors,
    metadata: {},
    status: 'enabled',
    verifies: true,
    instead: () => undefined,
    set: (type, event, subject, claims = {}) =>
      signer.sign({
        sub: undefined,
        exp: undefined,
        jti: crypto.randomUUID(),
        sub_id: subject,
        events: { [type]: event },
        ...claims,
      }),
    enqueue: (jti, set) => void queue.set(jti, set),
    waiting: () => [...queue.keys()],
    push: (url, set, headers = {}) =>
      fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/secevent+jwt', ...headers },
        body: set,
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  const routes: Readonly<Record<string, (given: Asked, response: ServerResponse) => Promise<void> | void>> = {
    'GET /.well-known/ssf-configuration/tenant-1': (_given, response) =>
      json(response, 200, {
        spec_version: '1_0',
        issuer,
        jwks_uri: `${origin}/jwks`,
        configuration_endpoint: `${origin}/stream`,
        status_endpoint: `${origin}/status`,
        verification_endpoint: `${origin}/verify`,
        ...transmitter.metadata,
      }),
    'GET /jwks': (_given, response) => json(response, 200, signer.jwks),
    'GET /stream': ({ url }, response) => {
      const id = new URL(url, origin).searchParams.get('stream_id');
      if (id === null) return json(response, 200, [...streams.values()]);
      return streams.has(id) ? json(response, 200, streams.get(id)) : void response.writeHead(404).end();
    },
    'POST /stream': ({ body }, response) => {
      const id = `stream-${streams.size + 1}`;
      streams.set(id, configuration(id, body));
      json(response, 201, streams.get(id));
    },
    'PATCH /stream': ({ body }, response) => {
      const id = String(body['stream_id']);
      streams.set(id, { ...streams.get(id), ...configuration(id, body) });
      json(response, 200, streams.get(id));
    },
    'GET /status': (_given, response) => json(response, 200, { status: transmitter.status }),
    'POST /verify': async ({ body }, response) => {
      response.writeHead(204).end();
      if (!transmitter.verifies) return;
      const jti = `verification-${asked.length}`;
      const { stream_id: id, state } = body;
      const set = await transmitter.set(VERIFICATION, { state }, { format: 'opaque', id }, { jti });
      const delivery = (streams.get(String(id))?.['delivery'] ?? {}) as Record<string, string>;
      if (delivery['method'] === 'urn:ietf:rfc:8936') return transmitter.enqueue(jti, set);
      await transmitter.push(delivery['endpoint_url'] ?? '', set, {
        authorization: delivery['authorization_header'] ?? '',
      });
    },
    'POST /poll': async ({ body }, response) => {
      for (const jti of (body['ack'] as string[] | undefined) ?? []) queue.delete(jti);
      for (const [jti, error] of Object.entries((body['setErrs'] as object | undefined) ?? {})) {
        errors.set(jti, error);
        queue.delete(jti);
      }
      const until =
        performance.now() + (body['returnImmediately'] === true || body['maxEvents'] === 0 ? 0 : 200);
      while (queue.size === 0 && performance.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 5));
      const sets = [...queue].slice(0, Number(body['maxEvents']));
      json(response, 200, {
        sets: Object.fromEntries(sets),
        ...(queue.size > sets.length && { moreAvailable: true }),
      });
    },
  };
  const configuration = (id: string, body: Readonly<Record<string, unknown>>) => {
    const delivery = body['delivery'] as Record<string, string>;
    return {
      ...body,
      stream_id: id,
      iss: issuer,
      aud: RECEIVER,
      events_delivered: body['events_requested'],
      delivery:
        delivery['method'] === 'urn:ietf:rfc:8936'
          ? { ...delivery, endpoint_url: `${origin}/poll` }
          : delivery,
    };
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '', headers } = request;
    const raw = await text(request);
    const body = (raw === '' ? {} : JSON.parse(raw)) as Record<string, unknown>;
    const given = { method, url, authorization: headers.authorization, body };
    asked.push(given);
    const instead = transmitter.instead(given);
    if (instead) return void response.writeHead(instead.status, instead.headers).end(instead.body);
    const path = url.replace(/\?.*$/, '');
    const isPublic = path === '/jwks' || path.startsWith('/.well-known/');
    if (!isPublic && headers.authorization !== `Bearer ${TRANSMITTER_TOKEN}`)
      return void response.writeHead(401).end();
    const route = routes[`${method} ${path}`];
    if (!route) return void response.writeHead(404).end();
    await route(given, response);
  };
  return transmitter;
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
