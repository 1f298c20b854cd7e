import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ExtAuthzService } from '../../src/api/ext-authz/service.ts';
import { InFlight } from '../../src/api/in-flight.ts';
import { loadExtAuthzTypes } from '../../src/api/protos.ts';
import { httpStatusOf } from '../../src/api/status.ts';
import { openLogWriter } from '../../src/audit/log/log-writer.ts';
import { createRecorder } from '../../src/audit/record/recorder.ts';
import { SYSTEM_CLOCK, composeCore } from '../../src/compose/core.ts';
import { openSharedState } from '../../src/compose/shared-state.ts';
import { loadConfig } from '../../src/config/file.ts';
import type { Log } from '../../src/pdp/log.ts';
import { createMetrics } from '../../src/telemetry.ts';
import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { pdpConfig, writeFacts } from '../load/servers.ts';

/** What is asked again and again. */
export const QUESTIONS = {
  /** A user reads a report: token, workload, device, two information points. */
  hot: (maker: RequestMaker) => maker.report('alice'),
  /** One workload calls another. */
  mesh: (maker: RequestMaker) => maker.meshCall(),
} as const;

/** A server without its transport: everything from the bytes of a CheckRequest to those of its answer, the decision log included. */
export interface HotService extends AsyncDisposable {
  /** Asks the question once more. */
  ask(): Promise<Buffer>;
}

const QUIET: Log = {
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => {
    throw new Error(message, { cause: fields });
  },
};

/** Opens it, as `pdp serve` does with the configuration of the load benchmark, for one question. */
export async function openHotService(question: keyof typeof QUESTIONS): Promise<HotService> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'pdp-hot-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const maker = requestMaker();
  const service = await openService(dir, maker, stack);
  const { bytes, dataAt } = QUESTIONS[question](maker);
  const message = bytes.subarray(dataAt + 9 + 5);
  const { unary } = service;
  const connection = { address: '127.0.0.1:50000', peer: undefined };
  const call = { message, headers: {}, connection, deadline: Infinity, onCancelled: () => undefined };
  const owned = stack.move();
  return { ask: () => unary.answer(call), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function openService(dir: string, { jwks }: RequestMaker, stack: AsyncDisposableStack) {
  writeFacts({ folder: dir, jwks, users: ['alice'] });
  writeFileSync(join(dir, 'pdp.yaml'), stringify(pdpConfig(dir, 0, 0)));
  const { config } = loadConfig(join(dir, 'pdp.yaml'), {});
  const common = { log: QUIET, clock: SYSTEM_CLOCK };
  const metrics = createMetrics();
  const log = { dir: join(dir, 'audit'), log: 'bench', durability: 'written', plaintext: [] } as const;
  const writer = stack.use(await openLogWriter({ ...log, clock: SYSTEM_CLOCK, logger: QUIET }));
  const recording = { httpStatus: httpStatusOf, engine: 'cedar', acceptsTokens: true };
  const recorder = createRecorder({ writer, onFailure: 'deny', ...recording });
  const shared = await openSharedState(config.shared_state, common, stack);
  const core = stack.use(await composeCore(config, { recorder, observer: metrics, log: QUIET, shared }));
  return new ExtAuthzService({
    decisionPoint: core.decisionPoint,
    clock: SYSTEM_CLOCK,
    types: loadExtAuthzTypes(),
    encoding: { realm: 'bench', faultsAsError: false },
    plaintext: true,
    timeoutMs: 2000,
    inFlight: new InFlight(2000),
    maxRequestBytes: 65_536,
    onEncoded: (microseconds) => metrics.encoded(microseconds),
    onFault: (error) => {
      throw error;
    },
  });
}

/** Asks `count` times, as many at once as come in one turn of the event loop under load. */
export async function askOften({ ask }: Pick<HotService, 'ask'>, count: number): Promise<void> {
  const AT_ONCE = 50;
  for (let asked = 0; asked < count; asked += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
}

/**
 * Bytes that an answer allocates on the heap: the median of some rounds, each too short for the collector to run in it. `collect` collects
 * the garbage.
 */
export async function bytesPerAnswer(service: HotService, collect: () => void): Promise<number> {
  const ROUNDS = 9;
  const ANSWERS = 200;
  await askOften(service, 5000);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    await askOften(service, ANSWERS);
    rounds.push((process.memoryUsage().heapUsed - before) / ANSWERS);
  }
  return rounds.sort((a, b) => a - b)[(ROUNDS - 1) / 2] ?? 0;
}
