import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { H2Connection, requestFrames } from '../../../bench/load/h2-connection.ts';
import { closedLoop, openLoop } from '../../../bench/load/load.ts';
import { median, percentile } from '../../../bench/load/scenario.ts';

const PATH = '/envoy.service.auth.v3.Authorization/Check';
const ALLOWED = Buffer.from('0a00', 'hex');
const DENIED = Buffer.from('0a020807', 'hex');

type Handler = (request: Buffer, answer: (bytes: Buffer) => void) => void;

/** A real grpc-js server on a free port that hands the raw bytes to `handler`. */
async function grpcServer(handler: Handler): Promise<H2Connection> {
  const identity = (bytes: Buffer) => bytes;
  const codecs = { requestDeserialize: identity, responseSerialize: identity };
  const unused = { requestSerialize: identity, responseDeserialize: identity };
  const method = { path: PATH, requestStream: false, responseStream: false, ...codecs, ...unused } as const;
  const service: ServiceDefinition = { Check: method };
  const server = new Server();
  server.addService(service, {
    Check: (call: { request: Buffer }, callback: (error: null, bytes: Buffer) => void) =>
      handler(call.request, (bytes) => callback(null, bytes)),
  });
  const credentials = ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  const connection = await H2Connection.connect(port);
  onTestFinished(() => {
    connection[Symbol.dispose]();
    server.forceShutdown();
  });
  return connection;
}

const run = (
  connection: H2Connection,
  requestAt = (_n: number) => requestFrames(PATH, Buffer.from('abc')),
) => ({
  connections: [connection],
  requestAt,
  measureMs: 200,
  warmUpMs: 20,
});

describe('the load generator', () => {
  it('speaks gRPC that grpc-js understands, and counts what is allowed and denied', async () => {
    const seen = new Set<string>();
    const connection = await grpcServer((request, answer) => {
      seen.add(request.toString());
      answer(request.toString() === 'deny' ? DENIED : ALLOWED);
    });
    const frames = [
      requestFrames(PATH, Buffer.from('allow')),
      requestFrames(PATH, Buffer.from('deny')),
    ] as const;
    const outcome = await closedLoop(
      run(connection, (n) => frames[n % 2 === 0 ? 0 : 1]),
      4,
    );
    expect(seen).toEqual(new Set(['allow', 'deny']));
    expect(outcome.failed).toBe(0);
    expect(outcome.allowed + outcome.denied).toBe(outcome.sent);
    expect(Math.abs(outcome.allowed - outcome.denied)).toBeLessThanOrEqual(1);
  });

  it('counts calls that end without an answer', async () => {
    const failed = requestFrames('/envoy.service.auth.v3.Authorization/NoSuchMethod', Buffer.from('abc'));
    const connection = await grpcServer((_request, answer) => answer(ALLOWED));
    expect(
      await closedLoop(
        run(connection, () => failed),
        3,
      ),
    ).toMatchObject({ sent: 3, failed: 3, allowed: 0 });
  });

  it.each([
    // Each such call leaves the closed loop with one less: after a warm-up there may be none to measure.
    ['closed', (connection: H2Connection) => closedLoop({ ...run(connection), warmUpMs: 0 }, 10)],
    ['open', (connection: H2Connection) => openLoop(run(connection), 200)],
  ] as const)(
    'counts calls that are never answered as failed, and as slow, in the %s loop',
    async (_kind, loop) => {
      let count = 0;
      const connection = await grpcServer((_request, answer) => {
        count += 1;
        if (count % 10 !== 0) answer(ALLOWED);
      });
      const { failed, allowed, sent, latencies } = await loop(connection);
      expect(failed).toBeGreaterThan(0);
      expect(failed).toBe(Math.floor(sent / 10));
      expect(allowed + failed).toBe(sent);
      expect(latencies.at(-1)).toBeGreaterThan(1_000_000);
      // Whoever measures next is not told of them.
      expect(connection.inFlight).toBe(0);
    },
  );

  it('gets more through than fits into one flow-control window', async () => {
    const large = requestFrames(PATH, Buffer.alloc(16_000));
    const connection = await grpcServer((_request, answer) => answer(ALLOWED));
    const outcome = await closedLoop(
      run(connection, () => large),
      50,
    );
    expect(outcome.failed).toBe(0);
    expect(outcome.allowed).toBeGreaterThan(50);
  });

  it('charges a stall to every call that was due meanwhile', async () => {
    const held: (() => void)[] = [];
    let count = 0;
    const connection = await grpcServer((_request, answer) => {
      count += 1;
      if (count !== 40 && held.length === 0) return answer(ALLOWED);
      held.push(() => answer(ALLOWED));
      if (held.length === 1) {
        setTimeout(() => held.splice(0).forEach((release) => release()), 100);
      }
    });
    const { latencies, sent } = await openLoop(run(connection), 1000);
    expect(sent).toBeGreaterThan(200);
    // About 100 calls were due in the stall, with waits spread evenly up to 100 ms: not one slow call among fast ones.
    expect([...latencies].filter((us) => us > 40_000).length).toBeGreaterThan(40);
  });
});

describe('the summary of a run', () => {
  it('takes percentiles by nearest rank', () => {
    const sorted = Float64Array.from({ length: 100 }, (_, i) => i + 1);
    expect([0, 0.5, 0.99, 0.999, 1].map((p) => percentile(sorted, p))).toEqual([1, 50, 99, 100, 100]);
    expect(percentile(new Float64Array(), 0.5)).toBe(0);
  });

  it('takes the middle round', () => {
    expect([median([3, 1, 2]), median([4, 1]), median([7]), median([])]).toEqual([2, 2.5, 7, 0]);
  });
});
