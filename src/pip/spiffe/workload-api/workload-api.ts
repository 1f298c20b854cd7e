import { InputError } from '../../../pdp/errors.ts';
import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import type { SvidSource, SvidState } from '../../../pdp/x509-svid.ts';
import { createListeners } from '../listeners.ts';
import { connectWorkloadApi } from './workload-api-client.ts';
import { endpointProblem } from './workload-api-endpoint.ts';
import { createStreamReport } from './workload-api-report.ts';
import { createWorkloadApiState } from './workload-api-state.ts';
import { createTakers } from './workload-api-takers.ts';
import {
  type FollowedStream,
  type RetryPause,
  type StreamSetting,
  followStream,
} from './workload-api-stream.ts';

/** Settings of {@link createWorkloadApiSource}. */
export interface WorkloadApiSourceOptions {
  /** `unix:///path/to/socket` or `tcp://IP:port`; see `findWorkloadApiEndpoint`. */
  readonly endpoint: string;
  /** Be the first SVID with this hint. Absent: the first of all. */
  readonly hint?: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Pause before a stream is opened again; 1 s to 30 s where not given. */
  readonly retry?: RetryPause;
  /** Ms that `start` waits for an endpoint that does not answer; default 10 000. */
  readonly startTimeoutMs?: number;
}

/**
 * Makes the source that has our SVID and the bundles from the SPIFFE Workload API, and follows it for as long as it lives. What was
 * received stays in use while the endpoint is away, the SVID until it expires. Throws `InputError` for an endpoint of the wrong form.
 */
export function createWorkloadApiSource(options: WorkloadApiSourceOptions): SvidSource {
  const { endpoint, log, retry = { firstMs: 1_000, mostMs: 30_000 } } = options;
  const message = endpointProblem(endpoint);
  if (message !== undefined)
    throw new InputError('the SPIFFE Workload API cannot be reached', [{ where: endpoint, message }]);
  const listeners = createListeners(log);
  const held = createWorkloadApiState({
    clock: options.clock,
    changed: () => listeners.tell('our SVID or the trust bundles'),
    expired: ({ identity }) =>
      log.error({ spiffe_id: identity.id }, 'our SVID expired before the SPIFFE Workload API sent a new one'),
  });
  const takers = createTakers(held, options);
  const report = createStreamReport(options.clock, log);
  const opened = new DisposableStack();
  opened.use(held);
  const start = async (): Promise<void> => {
    if (opened.disposed) return;
    const client = opened.use(connectWorkloadApi(endpoint));
    const setting: StreamSetting = { client, retry, report };
    const streams: readonly FollowedStream[] = [
      followStream('FetchX509SVID', takers.FetchX509SVID, setting),
      followStream('FetchX509Bundles', takers.FetchX509Bundles, setting),
      followStream('FetchJWTBundles', takers.FetchJWTBundles, setting),
    ];
    for (const stream of streams) opened.use(stream);
    const answered = Promise.all(streams.map((stream) => stream.firstOutcome));
    await within(answered, options.startTimeoutMs ?? 10_000);
  };
  let started: Promise<void> | undefined;
  return {
    get state(): SvidState {
      return held.state;
    },
    get health() {
      return report.health(held);
    },
    onChange: (listener) => listeners.add(listener),
    start: () => (started ??= start()),
    async [Symbol.asyncDispose]() {
      listeners.clear();
      opened.dispose();
    },
  };
}

async function within(answered: Promise<unknown>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([answered, late.promise]);
  clearTimeout(timer);
}
