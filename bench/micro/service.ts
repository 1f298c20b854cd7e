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
import type { DecisionTrace } from '../../src/pdp/trace.ts';
import { createMetrics } from '../../src/telemetry.ts';
import type { RequestFrames } from '../load/h2-connection.ts';
import { pdpConfig, writeFacts } from '../load/servers.ts';

/** A server without its transport: everything from the bytes of a CheckRequest to those of its answer, the decision log included. */
export interface BenchService extends AsyncDisposable {
  /** Asks what a request asks. */
  ask(request: RequestFrames): Promise<Buffer>;
}

/** What it is opened with. */
export interface ServiceSettings {
  readonly jwks: object;
  /** Users that the directory knows as members of Finance. */
  readonly users: readonly string[];
  /** Writes a policy set into a folder of its own, and gives its path; absent: the samples. */
  readonly policySet?: (folder: string) => string;
  /** Whether Cedar evaluates each question, however like another one; default no. */
  readonly evaluates?: boolean;
  /** Told of every check. */
  readonly onChecked?: (trace: DecisionTrace) => void;
}

const QUIET: Log = {
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => {
    throw new Error(message, { cause: fields });
  },
};

/** Opens it, as `pdp serve` does with the configuration of the load benchmark. */
export async function openBenchService(settings: ServiceSettings): Promise<BenchService> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'pdp-micro-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const { unary } = await openService(dir, settings, stack);
  const connection = { address: '127.0.0.1:50000', peer: undefined };
  const call = { headers: {}, connection, deadline: Infinity, onCancelled: () => undefined };
  const owned = stack.move();
  return {
    // After the head of the DATA frame and the prefix of a gRPC message.
    ask: ({ bytes, dataAt }) => unary.answer({ ...call, message: bytes.subarray(dataAt + 9 + 5) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openService(dir: string, settings: ServiceSettings, stack: AsyncDisposableStack) {
  const { jwks, users, policySet, evaluates, onChecked } = settings;
  writeFacts({ folder: dir, jwks, users });
  const text = stringify(pdpConfig(dir, 0, 0, policySet?.(join(dir, 'set')), evaluates));
  writeFileSync(join(dir, 'pdp.yaml'), text);
  const { config } = loadConfig(join(dir, 'pdp.yaml'), {});
  const common = { log: QUIET, clock: SYSTEM_CLOCK };
  const metrics = createMetrics();
  const log = { dir: join(dir, 'audit'), log: 'bench', durability: 'written', plaintext: [] } as const;
  const writer = stack.use(await openLogWriter({ ...log, clock: SYSTEM_CLOCK, logger: QUIET }));
  const recording = { httpStatus: httpStatusOf, engine: 'cedar', acceptsTokens: true };
  const recorder = createRecorder({ writer, onFailure: 'deny', ...recording });
  const shared = await openSharedState(config.shared_state, common, stack);
  const observer = {
    checked(trace: DecisionTrace): void {
      metrics.checked(trace);
      onChecked?.(trace);
    },
  };
  const core = stack.use(await composeCore(config, { recorder, observer, log: QUIET, shared }));
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
